"""The benchmarks' medians, ratios, tables and picture, from findings that are made up."""

from __future__ import annotations

import pytest

from benchmarks import measure
from benchmarks.harness import Findings, Growth, Idle
from benchmarks.peers import SYSTEMS, System
from benchmarks.report import Comparison, middle, number, ratio, table, times
from benchmarks.works import FULL, QUICK, WORKS, Work

MORE = Work("map", "map", "items/s", more_is_better=True, explained="")
LESS = Work("latency", "latency", "ms", more_is_better=False, explained="")


def system(name: str) -> System:
    return System(name, name.title(), "nowhere:start", (), "as is")


def findings(**values: dict[str, list[float]]) -> dict[System, Findings]:
    return {system(name): Findings(values=its) for name, its in values.items()}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0012345, "0.00123"),
        (0.0000836, "0.0000836"),
        (1.0, "1"),
        (37.26, "37.3"),
        (999.4, "999"),
        (1234567.8, "1,234,568"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(2.5, "2.5x"), (0.1, "0.1x"), (0.0000836, "1/11,962")])
def test_small_ratios_are_fractions(value, text):
    assert times(value) == text


def test_a_ratio_is_the_median_of_the_rounds_own():
    # The machine was half as fast in the second round: both lost as much.
    assert ratio([100.0, 50.0, 100.0], [200.0, 100.0, 150.0], more_is_better=True) == 2.0
    assert ratio([4.0, 8.0], [2.0, 4.0], more_is_better=False) == 2.0


def test_a_ratio_needs_both():
    assert ratio([], [1.0], more_is_better=True) is None
    assert ratio([1.0, 1.0], [3.0], more_is_better=True) == 3.0


def test_the_best_is_bold_whoever_it_is():
    found = findings(taskq={"map": [100.0], "latency": [2.0]}, peer={"map": [300.0], "latency": [4.0]})
    rows = Comparison(found, [MORE, LESS]).medians().splitlines()
    assert rows[2] == "| Taskq | 100 | **2** |"
    assert rows[3] == "| Peer | **300** (3x) | 4 (0.5x) |"


def test_what_failed_is_said_and_not_left_out():
    found = findings(taskq={"map": [100.0]}, broken={}, partly={"latency": [3.0]})
    by_name = {system.name: its for system, its in found.items()}
    by_name["broken"].failures["start"] = "not installed (No module named\n 'broken')"
    by_name["partly"].failures["map"] = "no answer within 60 s: <x> | y"
    text = Comparison(found, [MORE, LESS]).medians()
    assert "| Broken | no [2] | no [3] |" in text
    assert "2. Broken: not installed (No module named 'broken')\n" in text
    assert "| Partly | no [4] | **3** |" in text
    assert "4. Partly: no answer within 60 s: &lt;x> \\| y\n" in text
    assert "1. Taskq: not measured" in text


def test_growth_says_where_a_system_stopped():
    found = findings(taskq={}, slow={})
    steps = [Growth(1000, 0.001, 8000), Growth(10_000, 0.01, -5)]
    for its, count in zip(found.values(), (2, 1), strict=True):
        its.growth = steps[:count]
    found[list(found)[1]].failures["growth"] = "10,000 items would take about 60 s"
    lines = Comparison(found, []).growth().splitlines()
    assert lines[2] == "| Taskq | 1 µs, 8 B | 1 µs, 0 B |"
    assert lines[3] == "| Slow | 1 µs, 8 B | no [1] |"
    assert lines[5] == "1. Slow: 10,000 items would take about 60 s"


def test_growth_says_so_too_where_nobody_came_further():
    found = findings(taskq={})
    only = found[next(iter(found))]
    only.growth = [Growth(1000, 0.001, 8000)]
    only.failures["growth"] = "10,000 items would take about 60 s"
    assert "| Taskq | 1 µs, 8 B [1] |" in Comparison(found, []).growth()


def test_idle():
    found = findings(taskq={})
    found[next(iter(found))].idle = Idle(0.0042, 5.5)
    assert "| Taskq | 0.4% | 5.5 |" in Comparison(found, []).idle()


def test_tables_are_markdown():
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n|---|--:|\n| 1 | 2 |\n"


def test_the_middle_of_rounds():
    assert middle(Findings(values={"map": [1.0, 9.0, 2.0]}), MORE) == 2.0
    assert middle(Findings(), MORE) is None


def test_every_work_is_measured_and_explained():
    assert set(measure.MEASURES) == {work.name for work in WORKS}
    for scale in (FULL, QUICK):
        for work in WORKS:
            assert "{" not in work.explained.format(**vars(scale), ideal=scale.ideal)
    assert FULL.ideal == pytest.approx(3.15)


def test_names_are_told_apart():
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)


def test_two_workers_have_been_at_work_at_the_same_time():
    assert measure.overlap([(3.0, 4.0), (1.0, 2.0), [1.5, 2.5]])
    assert not measure.overlap([(3.0, 4.0), (1.0, 2.0), (2.0, 3.0)])
    assert not measure.overlap([])


def test_a_rate_is_measured_for_long_enough(monkeypatch):
    counts = []

    def seconds(work):
        work()
        return 0.4 + counts[-1] * 0.001  # a wait that says nothing of the rate, and 1,000 a second

    monkeypatch.setattr(measure, "seconds", seconds)
    assert measure._rate(counts.append, 1.5, 1_000_000) == pytest.approx(1000, rel=0.35)
    assert counts[0] == 20
    assert len(counts) < 5


def test_a_rate_stops_at_the_most(monkeypatch):
    counts = []
    monkeypatch.setattr(measure, "seconds", lambda work: work() or 1e-4)
    measure._rate(counts.append, 1.5, 5000)
    assert counts[-1] == 5000
