"""One measurement of one work on a system that is ready."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import works
from benchmarks.peers import Session
from benchmarks.works import Scale

_FIRST = 20  # jobs of the first attempt at a rate; the slowest system needs less than a second for them
_STEP = 30  # how many times more the next attempt may do
_NAPS, _NAP = 8, 0.1  # of the warm-up


class WrongResultError(Exception):
    """A system returned something else than the results."""


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def warm_up(session: Session) -> None:
    """Until both worker processes have been seen at work at the same time, however often that takes."""
    session.one()
    while not overlap(session.map(works.nap, [_NAP] * _NAPS, alone=True)):
        pass
    session.jobs(2)
    session.map(works.noop, range(2), alone=False)


def overlap(naps: Sequence[Sequence[float]]) -> bool:
    """Whether one began before another had ended."""
    spans = sorted(naps, key=lambda nap: nap[0])
    return any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))


def compute(session: Session, scale: Scale) -> float:
    return _map_seconds(session, works.compute, range(scale.compute_items))


def uneven(session: Session, scale: Scale) -> float:
    return _map_seconds(session, works.nap, [scale.long] * 6 + [scale.short] * 6)


def latency(session: Session, scale: Scale) -> float:
    return _latency(session, scale, 0.0)


def rested(session: Session, scale: Scale) -> float:
    return _latency(session, scale, scale.rest)


def _latency(session: Session, scale: Scale, pause: float) -> float:
    """The median, in ms."""
    for _ in range(5):
        session.one()
    times: list[float] = []
    deadline = time.perf_counter() + 2 * scale.budget
    while len(times) < scale.samples and time.perf_counter() < deadline:
        time.sleep(pause)
        times.append(seconds(session.one))
    return statistics.median(times) * 1000


def jobs(session: Session, scale: Scale) -> float:
    return _rate(session.jobs, scale.budget, scale.most_jobs)


def map_(session: Session, scale: Scale) -> float:
    return _rate(lambda count: growth(session, count), scale.budget, scale.most_items)


def arrays(session: Session, scale: Scale) -> float:
    """In MiB/s."""
    from benchmarks.arrays import BYTES, array  # NumPy is not imported where it is not needed

    def some(count: int) -> None:
        values = session.map(array, range(count), alone=True)
        _check(values, count)
        if any(value.nbytes != BYTES or value[0] != n for n, value in enumerate(values)):
            raise WrongResultError("the arrays are not those that were returned")

    return _rate(some, scale.budget, scale.most_arrays) * BYTES / 2**20


def growth(session: Session, count: int) -> float:
    """Seconds of one map of no-op items."""
    began = time.perf_counter()
    _check(session.map(works.noop, range(count), alone=False), count)
    return time.perf_counter() - began


def _map_seconds(session: Session, function: Callable[[Any], Any], items: Sequence[Any]) -> float:
    began = time.perf_counter()
    _check(session.map(function, items, alone=True), len(items))
    return time.perf_counter() - began


def _check(values: Sequence[Any], count: int) -> None:
    if len(values) != count:
        raise WrongResultError(f"{len(values)} results of {count} items")


def _rate(work: Callable[[int], object], budget: float, most: int) -> float:
    """How many a second, of as many as take about ``budget`` seconds, but ``most`` at most."""
    count, before = min(_FIRST, most), 0.0
    while True:
        took = seconds(lambda: work(count))  # noqa: B023 - it is called at once
        if count == most or took > budget / 2:
            return count / took
        # Where more did not take longer, what was measured is a wait, and says nothing of the rate.
        step = _STEP if took < 2 * before else min(_STEP, budget / took)
        count, before = min(most, int(count * step)), took


MEASURES: dict[str, Callable[[Session, Scale], float]] = {
    "compute": compute,
    "jobs": jobs,
    "latency": latency,
    "rested": rested,
    "map": map_,
    "uneven": uneven,
    "arrays": arrays,
}
