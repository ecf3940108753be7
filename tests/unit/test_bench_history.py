"""What releases have measured, and whether the machine is quiet."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import history, page, quiet
from benchmarks.harness import Findings
from benchmarks.history import Entry
from benchmarks.peers import SYSTEMS
from benchmarks.works import WORKS, Work

MORE = Work("map", "map", "items/s", more_is_better=True, explained="")
LESS = Work("latency", "latency", "ms", more_is_better=False, explained="")
OURS, ONE, OTHER = SYSTEMS[:3]


def entry(release: str, **figures: dict[str, float]) -> Entry:
    return Entry(release, "2026-11-26", "two cores", figures)


def test_the_median_of_each_is_kept_and_read_again(tmp_path: Path) -> None:
    found = {OURS: Findings(values={"map": [1.0, 12.34567, 99.0]}), ONE: Findings()}
    new = history.entry("0.2.0", "2026-11-30", "two cores", found, [MORE])
    assert new.figures == {"map": {"taskq": 12.35}}
    assert history.keep(tmp_path / "it.json", new) == history.load(tmp_path / "it.json") == [new]


def test_a_release_that_is_measured_again_has_one_entry(tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    history.keep(path, entry("0.1.0", map={"taskq": 1.0}))
    history.keep(path, entry("0.2.0", map={"taskq": 2.0}))
    history.keep(path, entry("0.2.0", map={"taskq": 3.0}))
    assert [(one.release, one.figures["map"]["taskq"]) for one in history.load(path)] == [
        ("0.1.0", 1.0),
        ("0.2.0", 3.0),
    ]


@pytest.mark.parametrize(("work", "ratio"), [(MORE, 5.0), (LESS, 0.2)])
def test_beside_the_middle_of_the_others(work: Work, ratio: float) -> None:
    one = entry("0.2.0", **{work.name: {"taskq": 10.0, "a": 1.0, "b": 2.0, "c": 300.0}})
    assert history.beside(one, work) == ratio


def test_nobody_to_compare_with() -> None:
    assert history.beside(entry("0.2.0", map={"taskq": 10.0}), MORE) is None
    assert history.beside(entry("0.2.0", map={"a": 10.0}), MORE) is None
    assert history.beside(entry("0.2.0"), MORE) is None


def test_the_table_has_a_row_for_each() -> None:
    entries = [entry("0.1.0", map={"taskq": 10.0, "a": 2.0}), entry("0.2.0", latency={"taskq": 0.5})]
    rows = history.compared(entries, [MORE, LESS]).splitlines()
    assert rows[2:] == ["| 0.1.0, 2026-11-26 | 10 (5) | - |", "| 0.2.0, 2026-11-26 | - | 0.5 |"]


def test_what_is_in_the_docs_can_be_read_and_is_shown() -> None:
    entries = history.load(command.PAGE.with_suffix(".json"))
    assert entries
    for one in entries:
        assert set(one.figures) <= {work.name for work in WORKS}
        assert all(figures["taskq"] > 0 for figures in one.figures.values())


@pytest.mark.parametrize(("used", "enough"), [(0.0, True), (quiet.MOST, True), (0.06, False)])
def test_others_may_use_little(used: float, enough: bool, tmp_path: Path) -> None:
    seen = quiet.Quiet(used, 1.25)
    assert seen.enough == enough
    page.write(tmp_path / "it.md", 3, seen, ["the rest"])
    text = " ".join((tmp_path / "it.md").read_text().split())
    assert ("was NOT quiet" in text) != enough
    assert f"others used {used:.0%} of its processors" in text


def test_nothing_is_measured_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "look", lambda: quiet.Quiet(0.5, 2.0))
    monkeypatch.setattr(command.processes, "adopting_orphans", lambda: pytest.fail("it was measured"))
    done = CliRunner().invoke(command.main, ["--system", "taskq"])
    assert done.exit_code == 1
    assert "others used 50% of its processors" in done.output
    assert "--busy" in done.output


def test_the_machine_is_looked_at() -> None:
    seen = quiet.look(0.01)
    assert 0 <= seen.used <= 1
    assert seen.spread >= 1
