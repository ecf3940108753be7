"""Medians, ratios and tables, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.harness import Findings
from benchmarks.peers import System
from benchmarks.works import Work

Row = tuple[str, ...]
OURS = "taskq"


def table(head: Row, rows: Sequence[Row]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"


def number(value: float) -> str:
    """Three significant digits, and no exponent."""
    if value >= 1000:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{float(f'{value:.3g}'):.10f}".rstrip("0").rstrip(".")


def times(value: float) -> str:
    """A ratio; small ones as a fraction, which is easier to read."""
    return f"{number(value)}x" if value >= 0.1 else f"1/{number(1 / value)}"  # noqa: PLR2004


def ratio(ours: Sequence[float], theirs: Sequence[float], *, more_is_better: bool) -> float | None:
    """How many times as well a system does as taskq: the median of the rounds' own ratios; below 1: worse.

    Rounds are compared with themselves, because a machine drifts. None if they can't be compared.
    """
    pairs = list(zip(ours, theirs, strict=False))  # a system that failed later has fewer
    if not pairs:
        return None
    return statistics.median(their / our if more_is_better else our / their for our, their in pairs)


class Comparison:
    """The findings about all systems, as tables.

    Args:
        findings: In the order of the rows.
        works: In the order of the columns.
    """

    def __init__(self, findings: Mapping[System, Findings], works: Sequence[Work]) -> None:
        self._findings = findings
        self._works = works
        self._notes: list[str] = []
        self._ours = next((found for system, found in findings.items() if system.name == OURS), Findings())

    def medians(self) -> str:
        """The table, its best values in bold, and below it why what is missing is missing."""
        head = ("", *(f"{work.title}, {work.unit}" for work in self._works))
        rows = [
            (system.title, *(self._cell(system, found, work) for work in self._works))
            for system, found in self._findings.items()
        ]
        return table(head, rows) + self._take_notes()

    def best(self, work: Work) -> float | None:
        values = [median for found in self._findings.values() if (median := middle(found, work)) is not None]
        return (max if work.more_is_better else min)(values, default=None)

    def _cell(self, system: System, found: Findings, work: Work) -> str:
        value = middle(found, work)
        note = self._note(system, found, work.name) if work.name in found.failures or value is None else ""
        if value is None:
            return f"no{note}"
        text = number(value)
        if value == self.best(work):
            text = f"**{text}**"
        compared = ratio(
            self._ours.values.get(work.name, []), found.values[work.name], more_is_better=work.more_is_better
        )
        if compared is not None and found is not self._ours:
            text += f" ({times(compared)})"
        return text + note

    def growth(self) -> str:
        """Time and memory for each item of growing maps."""
        sizes = sorted({step.items for found in self._findings.values() for step in found.growth})
        head = ("µs and bytes an item", *(f"{size:,} items" for size in sizes))
        rows = []
        for system, found in self._findings.items():
            steps = {step.items: step for step in found.growth}
            cells = [
                f"{number(step.seconds / size * 1e6)} µs, {number(max(step.memory, 0) / size)} B"
                if (step := steps.get(size)) else "no"
                for size in sizes
            ]  # fmt: skip
            if cells and ("growth" in found.failures or len(steps) < len(sizes)):
                # All columns are filled where no system came further.
                cells[min(len(steps), len(sizes) - 1)] += self._note(system, found, "growth")
            rows.append((system.title, *cells))
        return table(head, rows) + self._take_notes()

    def idle(self) -> str:
        """What systems cost that have nothing to do."""
        rows = [
            (system.title, f"{found.idle.cpu:.1%}", number(found.idle.commands))
            if found.idle else (system.title, f"no{self._note(system, found, 'growth')}", "no")
            for system, found in self._findings.items()
        ]  # fmt: skip
        return table(("idle", "of a core", "Redis commands/s"), rows) + self._take_notes()

    def _note(self, system: System, found: Findings, what: str) -> str:
        why = found.failures.get(what) or found.failures.get("start") or "not measured"
        why = " ".join(why.split()).replace("|", "\\|").replace("<", "&lt;")
        self._notes.append(f"{system.title}: {why[:300]}")
        return f" [{len(self._notes)}]"

    def _take_notes(self) -> str:
        lines = [f"{n}. {note}\n" for n, note in enumerate(self._notes, 1)]
        self._notes = []
        return "\n" + "".join(lines) if lines else ""


def middle(found: Findings, work: Work) -> float | None:
    """The median of all rounds."""
    values = found.values.get(work.name)
    return statistics.median(values) if values else None
