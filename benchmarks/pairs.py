"""CPU-bound maps by taskq and by a bare Pool, one right after the other, many times.

In the table beside others minutes lie between two systems, in which a machine may become half as fast. Within a
pair it is a second, and what happens to one pair or the other hardly changes the median of all. And as a process
may be a tenth faster than another for as long as it lives, both sides are started anew several times.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from benchmarks import alone, works
from benchmarks.measure import seconds
from benchmarks.peers import pool
from benchmarks.report import Row
from benchmarks.works import Scale

HEAD = ("items", "starts x pairs", "taskq's time / the Pool's, median", "middle half", "fastest / fastest")

Run = Callable[[], object]

_CALIBRATION, _TIMES = 30_000, 20  # integers, and how often: the fastest time is one that nothing disturbed


def beside_pool(scale: Scale) -> list[Row]:
    """How much longer taskq takes; the Pool gets a chunk size where that is better for it, taskq none."""
    brief = [_integers(scale.brief)] * scale.brief_items
    return [
        _row(scale, "of the seed", works.compute, range(scale.compute_items), one_each=True),
        _row(scale, f"of {scale.brief * 1000:g} ms", works.compute_some, brief, one_each=False),
    ]


def _integers(wanted: float) -> int:
    """How many ``compute_some`` gets through in so many seconds on this machine."""
    count = _CALIBRATION
    return int(wanted * count / min(seconds(lambda: works.compute_some(count)) for _ in range(_TIMES)))


def _row(scale: Scale, what: str, function: Callable[[int], int], items: Sequence[int], *, one_each: bool) -> Row:
    ours, theirs = [], []
    for _ in range(scale.starts):
        with (
            pool.start("") as bare,
            alone.queue() as q,
        ):  # in this order: the queue leaves no process that came later
            one, other = in_turn(
                lambda: q.map(function, items).get(),
                lambda: bare.map(function, items, alone=one_each),
                scale.pairs,
            )
        ours += one
        theirs += other
    return f"{len(items)} {what}", f"{scale.starts} x {scale.pairs}", *compared(ours, theirs)


def in_turn(one: Run, other: Run, pairs: int) -> tuple[list[float], list[float]]:
    """The seconds that each took, each being the first of every second pair."""
    one()
    other()  # these don't count: they import what they need
    ones, others = [], []
    for number in range(pairs):
        if number % 2:
            ones.append(seconds(one))
            others.append(seconds(other))
        else:
            others.append(seconds(other))
            ones.append(seconds(one))
    return ones, others


def compared(ours: list[float], theirs: list[float]) -> tuple[str, str, str]:
    low, median, high = statistics.quantiles([a / b for a, b in zip(ours, theirs, strict=True)], n=4)
    return f"{median:.3f}", f"{low:.2f} to {high:.2f}", f"{min(ours) / min(theirs):.3f}"
