"""What a sweep has shown, in a table that fits a page: the longest waits, and how many mixes were wrong.

    python -m tests.sweep.summary FILE...

Each file holds rows of ``make sweep``; several are shown beside each other, in their order.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_COLUMNS = 9

Kind = tuple[float, int, int]  # seconds of an item, maps, services


@dataclass
class Waits:
    """Of all mixes of a kind.

    Args:
        job: Seconds, at most.
        small: Of the small map.
        mixes: How many.
        wrong: How many of these were not as they should be.
    """

    job: float = 0.0
    small: float = 0.0
    mixes: int = 0
    wrong: int = 0


def waits(text: str) -> dict[Kind, Waits]:
    """The rows of a sweep, put together."""
    found: dict[Kind, Waits] = defaultdict(Waits)
    for line in text.splitlines():
        row = [cell.strip() for cell in line.split("|")]
        if len(row) != _COLUMNS or " x " not in row[0]:
            continue
        maps, seconds = row[1].removesuffix(" s").split(" x ")
        one = found[float(seconds), int(maps), int(row[0].split(" x ")[0])]
        one.job = max(one.job, float(row[4].removesuffix(" s")))
        one.small = max(one.small, float(row[5].removesuffix(" s")))
        one.mixes += 1
        one.wrong += row[-1] != "ok"
    return found


def table(sweeps: list[dict[Kind, Waits]]) -> Iterator[str]:
    """A row for each length of items and number of maps; cells for each number of services and each sweep."""
    services = sorted({kind[2] for sweep in sweeps for kind in sweep})
    columns = [f"{number} service{'s' if number > 1 else ''}" for number in services for _sweep in sweeps]
    yield " | ".join(["| maps", *columns]) + " |"
    yield "|".join(["", *("---" for _ in range(len(columns) + 1)), ""])
    for seconds, maps in sorted({kind[:2] for sweep in sweeps for kind in sweep}):
        cells = [_cell(sweep.get((seconds, maps, number))) for number in services for sweep in sweeps]
        yield " | ".join([f"| {maps} x {seconds:g} s", *cells]) + " |"


def _cell(one: Waits | None) -> str:
    if one is None:
        return ""
    wrong = f" ({one.wrong} of {one.mixes})" if one.wrong else ""
    return f"{one.job:.2f}, {one.small:.2f}{wrong}"


if __name__ == "__main__":
    print(*table([waits(Path(path).read_text()) for path in sys.argv[1:]]), sep="\n")
