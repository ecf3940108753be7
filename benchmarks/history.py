"""What each release measured: kept as JSON beside the page, shown as a table and a picture."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.harness import Findings
from benchmarks.peers import System
from benchmarks.report import OURS, middle, number, table
from benchmarks.works import WORKS, Work


@dataclass(frozen=True)
class Entry:
    """One run of all measurements.

    Args:
        release: The version of taskq that was measured, or what it was to become.
        date: Of the run, as YYYY-MM-DD.
        machine: Where.
        figures: Name of a work -> name of a system -> the median.
    """

    release: str
    date: str
    machine: str
    figures: dict[str, dict[str, float]]


def entry(
    release: str, date: str, machine: str, findings: Mapping[System, Findings], works: Sequence[Work] = WORKS
) -> Entry:
    """What is kept of a run."""
    figures = {
        work.name: {
            system.name: float(f"{value:.4g}")
            for system, found in findings.items()
            if (value := middle(found, work)) is not None
        }
        for work in works
    }
    return Entry(release, date, machine, figures)


def load(path: Path) -> list[Entry]:
    """All of them, the oldest first; none if there is no such file."""
    return [Entry(**one) for one in json.loads(path.read_text())] if path.exists() else []


def keep(path: Path, new: Entry) -> list[Entry]:
    """Add one, and return all. A release that is measured again has its last run kept only."""
    entries = [old for old in load(path) if old.release != new.release] + [new]
    path.write_text(json.dumps([asdict(one) for one in entries], indent=1) + "\n")
    return entries


def beside(one: Entry, work: Work) -> float | None:
    """How many times as well as the middle of the other systems taskq did in the same run.

    Machines and days differ, so that figures of two releases can't be compared; these can, a little.
    """
    figures = one.figures.get(work.name, {})
    others = [value for system, value in figures.items() if system != OURS]
    if OURS not in figures or not others:
        return None
    middle_one = statistics.median(others)
    return figures[OURS] / middle_one if work.more_is_better else middle_one / figures[OURS]


def compared(entries: Sequence[Entry], works: Sequence[Work] = WORKS) -> str:
    """The table."""
    rows = [(f"{one.release}, {one.date}", *(_cell(one, work) for work in works)) for one in entries]
    return table(("taskq", *(f"{work.title}, {work.unit}" for work in works)), rows)


def _cell(one: Entry, work: Work) -> str:
    value, ratio = one.figures.get(work.name, {}).get(OURS), beside(one, work)
    if value is None:
        return "-"
    return number(value) if ratio is None else f"{number(value)} ({number(ratio)})"
