"""Measures one mix on a worker that serves the queues ``high`` and ``low``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from taskq import MapJob, Queue
from taskq.views import timeline
from tests import jobs
from tests.sweep.mixes import Mix
from tests.waiting import HANGS, wait_until

ITEMS = 60_000  # of all maps together, at most
BEGINNING = (0.5, 3.0)
"""Seconds until all maps are known to all services; of items below ``SHORT`` these have the machine's two cores to
share with each other."""
SHORT = 0.1
MIDDLE = 2.0  # seconds after that, after which the newcomers come
SPREAD = 0.1  # by which equal maps may differ, of what they have got
WARM = 0.3  # seconds of an item before anything is measured
ENOUGH = 40  # items of a map, after which that can be said
MARGIN = (0.3, 1.0)  # seconds which a newcomer may wait beside the shortest of what runs: one service, several


@dataclass(frozen=True)
class Seen:
    """What came of it.

    Args:
        job: Seconds until the no-op job had ended.
        small: Seconds until the first item of the small map had ended.
        between: Items of the maps that ended meanwhile.
        items: That the map has got in the middle which has got the fewest.
        least: Seconds of processes that the map has got then which has got the least.
        most: Of the one that has got the most.
    """

    job: float
    small: float
    between: int
    items: int
    least: float
    most: float


def warm_up(connection: Any, processes: int) -> None:
    """Have each process import what items are of: to do that while maps are compared would take the most of it."""
    Queue("low", connection=connection).map(jobs.nap, [WARM] * 4 * processes, chunksize=1).get(timeout=HANGS)


def measure(connection: Any, mix: Mix, processes: int) -> Seen:
    """Run it; the worker has nothing to do before and after.

    Args:
        connection: To the worker's server.
        mix: What runs.
        processes: Of all services.
    """
    low = Queue("low", connection=connection)
    queue = Queue("high" if mix.before else "low", connection=connection)
    beginning = BEGINNING[mix.seconds < SHORT]
    needed = int(6 * (beginning + MIDDLE) * processes / mix.seconds / mix.maps) + 2 * processes
    items = [mix.seconds] * max(4, min(needed, ITEMS // mix.maps))
    maps = [low.map(jobs.nap, items, chunksize=mix.chunksize) for _ in range(mix.maps)]
    try:
        wait_until(lambda: _has_begun(mix, processes, _done(maps)))
        time.sleep(beginning)
        before, began = _done(maps), time.time()
        time.sleep(MIDDLE)
        items = [now - then for then, now in zip(before, _done(maps), strict=True)]
        seconds = _seconds(connection, maps, began, time.time())
        return Seen(*_newcomers(queue, maps), min(items), min(seconds), max(seconds))
    finally:
        for one in maps:
            if not one.ready():
                one.cancel(kill=True)
        wait_until(lambda: not connection.keys("taskq:held:*"), "the worker has nothing to do")


def _has_begun(mix: Mix, processes: int, done: list[int]) -> bool:
    """Whether the maps compete: each of them has begun, if all have had their turn in a moment; else any has.

    Who is known before the others has all processes until then, and is in nobody's debt for it.
    """
    return all(done) if mix.maps * mix.seconds / processes < BEGINNING[0] else any(done)


def _seconds(connection: Any, maps: list[MapJob], began: float, until: float) -> list[float]:
    """How long processes have run each of these maps between two moments."""
    had = dict.fromkeys([one.id for one in maps], 0.0)
    for entry in timeline.between(connection, began, until):
        if entry.job in had:
            had[entry.job] += max(0.0, min(entry.end, until) - max(entry.start, began))
    return [*had.values()]


def _newcomers(queue: Queue, maps: list[MapJob]) -> tuple[float, float, int]:
    before, began = sum(_done(maps)), time.monotonic()
    job = queue.enqueue(jobs.square, 3)
    small = queue.map(jobs.square, range(4), chunksize=1)
    assert job.latest_result(timeout=HANGS)
    waited = time.monotonic() - began
    wait_until(lambda: small.progress.done)
    through, done = time.monotonic() - began, _done(maps)
    small.get(timeout=HANGS)
    return waited, through, sum(done) - before


def _done(maps: list[MapJob]) -> list[int]:
    return [one.progress.done for one in maps]


def faults(mix: Mix, services: int, processes: int, seen: Seen) -> list[str]:
    """What is not as it should be, by the clock: on a machine that has nothing else to do.

    Equal maps run in rounds, all processes of one at once: of two that have got the same, one may have a round
    more within the time in which they were watched.
    """
    bound = mix.chunk + MARGIN[services > 1]
    found = [
        f"{what} waited {waited:.2f} s, more than {bound:.2f}"
        for what, waited in (("the job", seen.job), ("the small map", seen.small))
        if waited > bound
    ]
    apart = max(SPREAD * seen.most, mix.seconds * processes / mix.maps)
    if mix.maps > 1 and mix.chunksize and seen.items >= ENOUGH and seen.most - seen.least > apart:
        found.append(f"one map has got {seen.least:.2f} s, another {seen.most:.2f}")
    return found
