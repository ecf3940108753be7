"""The screen of ``taskq top`` from made-up snapshots, and what tables say of times."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from taskq.views.activity import Activity, ProcessActivity
from taskq.views.backlog import MapLine, QueueLine
from taskq.views.progress import Progress
from taskq_workers.cli.tables import ago, duration
from taskq_workers.cli.top import Snapshot, frame


def drawn(now: Snapshot, before: Snapshot | None = None, lines: int = 60, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(frame(now, before, lines, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def snapshot(at: float, items: float, maps: int = 1) -> Snapshot:
    lines = [
        MapLine(f"map-{n}", "compute", "default", "started", 5, 2, Progress(60, 3, 100, 12.5, 190.0))
        for n in range(maps)
    ]
    jobs = dict.fromkeys(("queued", "started", "finished", "failed", "deferred", "scheduled", "canceled"), 1)
    processes = (
        ProcessActivity(0, 11, at - 50, 30_000_000, 1.0, 2, "map-0", 4, at - 75),
        ProcessActivity(1, 12, at - 50, 30_000_000, 1.0),
    )
    service = Activity("w", "hosta", 10, at, 40_000_000, 1.0, processes)
    return Snapshot(at, items, [QueueLine("default", jobs, 5, 2, lines)], [service])


def test_the_screen() -> None:
    shown = drawn(snapshot(1010.0, 500), snapshot(1000.0, 300))
    assert "20 items/s  1/2 cores busy  7 chunks outstanding" in shown
    for part in ("map-0", "63/100", "12.5", "3 m 10 s", "hosta", "█·", "1 m 15 s", "100 MB"):
        assert part in shown, part


def test_the_first_screen_has_no_rate() -> None:
    assert "  0 items/s" in drawn(snapshot(1000.0, 300))


def test_nothing_runs() -> None:
    assert "0/0 cores busy" in drawn(Snapshot(1000.0, 0, [], []))


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("lines", [10, 24, 40])
def test_many_maps_fit_the_screen(lines: int, width: int) -> None:
    shown = drawn(snapshot(1000.0, 0, maps=200), lines=lines, width=width)
    assert "more" in shown
    assert len(shown.splitlines()) <= max(lines, 20)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 m 00 s"),
        (185, "3 m 05 s"),
        (7800, "2 h 10 m"),
        (4 * 86400, "4 d 00 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_ago() -> None:
    assert ago(None) == ""
    assert ago("2020-01-01T00:00:00Z").endswith(" h ago")
