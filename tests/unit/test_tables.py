"""Tables on a terminal of 80 columns, and where nobody looks."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from taskq.payload.outcome import ItemFailure
from taskq.redis.services import ServiceInfo
from taskq.views.activity import Activity, ProcessActivity
from taskq.views.backlog import MapLine, QueueLine
from taskq.views.error_groups import ErrorGroup, Frame
from taskq.views.progress import Progress
from taskq.views.waits import Wait
from taskq_workers.cli import tables
from taskq_workers.cli.job_view import Items, JobView
from taskq_workers.cli.jobs import _JOBS, _row
from taskq_workers.cli.show import _ERRORS
from taskq_workers.cli.show import _row as _error_row
from taskq_workers.cli.status import maps_table, queues_table, services_table
from taskq_workers.cli.tables import Column, table
from taskq_workers.cli.top import Snapshot, frame

MAP = "ade17d05-3072-4453-86d1-7226526ffb0c"
NAMES = ("queued", "started", "finished", "failed", "deferred", "scheduled")
MANY = Progress(194_000, 6000, 3_000_000, 1264.3, 44_000.0)
LINE = QueueLine(
    "reports-of-the-night", dict.fromkeys(NAMES, 12_345), 284, 4,
    [MapLine(MAP, "compute_all_of_it", "default", "started", 284, 4, MANY)],
    Wait(90.0, "no worker serves this queue"),
)  # fmt: skip
QUIET = QueueLine("default", dict.fromkeys(NAMES, 0) | {"finished": 7}, 0, 0, [])
PROCESS = ProcessActivity(0, 11, 0.0, 30_000_000, 1.0, 2, "map-0", 4, 1.0)
SERVICE = ServiceInfo(
    "taskq-host-number-7-42-0-56-2a356b", "host-number-7", 4242, 16, ("high", "default"), "3.13", 0.0
)
DOING = Activity(SERVICE.name, SERVICE.host, 4242, 10.0, 40_000_000, 1.0, (PROCESS,) * 16)
JOB = JobView(
    MAP, "map", "finished", "reports-of-the-night", "map compute_all_of_it over 3,000,000 items",
    None, None, None, None, Items(3_000_000, 194_000, 6000),
)  # fmt: skip
SAMPLE = ItemFailure(2_999_999, "billing.errors.NoSuchCustomerError", "no customer 4711 in this year's books")
GROUP = ErrorGroup(SAMPLE.type, Frame("/srv/billing/reports/monthly.py", 1234, "compute_all_of_it"), 6000, SAMPLE)

TABLES: dict[str, Callable[[], Any]] = {
    "queues": lambda: queues_table([LINE, QUIET]),
    "services": lambda: services_table([SERVICE], {SERVICE.name: DOING}, 99_000.0),
    "maps": lambda: maps_table([LINE]),
    "jobs": lambda: table("Jobs", _JOBS, [_row(JOB)]),
    "errors": lambda: table("Errors", _ERRORS, [_error_row(GROUP)]),
    "top": lambda: frame(Snapshot(99_000.0, 0, [LINE, QUIET], [DOING]), width=80),
}


def drawn(made: Any, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(made)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "looked_at", lambda: True)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("name", TABLES)
def test_eighty_columns(name: str) -> None:
    """Nothing that is told is cut, and no number and no heading is broken."""
    lines = drawn(TABLES[name](), 80)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "…" not in text.replace("compute_…", "")  # of a map in `top`, which has one line
    assert [name for name in _columns(TABLES[name]()) if name not in text] == []
    if name in ("maps", "jobs", "top"):
        assert MAP[:8] in text
        assert MAP[:12] not in text


def test_of_a_very_long_message_the_beginning_is_shown() -> None:
    long = replace(GROUP, sample=replace(SAMPLE, message="x" * 20_000))
    text = "\n".join(drawn(table("Errors", _ERRORS, [_error_row(long)]), 80))
    assert len(text.splitlines()) < 30
    assert "(20,000" in text


def _columns(made: Any) -> list[str]:
    if hasattr(made, "renderables"):
        return [name for part in made.renderables for name in _columns(part)]
    return [str(column.header) for column in getattr(made, "columns", ())]


def test_where_nobody_looks_ids_and_names_are_whole() -> None:
    for name in ("maps", "jobs"):
        assert MAP in "\n".join(drawn(TABLES[name](), 200))
    assert SERVICE.name in "\n".join(drawn(TABLES["services"](), 200))


COLUMNS = (Column("name", long=6), Column("failed", number=True, rare=True), Column("why", rare=True))


@pytest.mark.usefixtures("terminal")
def test_what_says_nothing_is_left_out() -> None:
    assert _columns(table("T", COLUMNS, [("a", 0, ""), ("b", 0, "")])) == ["name"]
    assert _columns(table("T", COLUMNS, [("a", 0, ""), ("b", 1, "")])) == ["name", "failed"]


def test_but_not_where_nobody_looks() -> None:
    assert _columns(table("T", COLUMNS, [("a", 0, "")])) == ["name", "failed", "why"]
