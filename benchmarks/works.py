"""The functions that every system runs, importable by workers and pools alike, and what is measured of them."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass


def noop(_n: int) -> None:
    return None


def fails(n: int) -> None:
    raise ValueError(n)


def compute(_n: int) -> int:
    """The seed's job: about 0.2 s of pure Python."""
    return sum([random.randint(1, 100) for _ in range(1_000_000)])


def compute_some(count: int) -> int:
    """The same of so many integers."""
    return sum([random.randint(1, 100) for _ in range(count)])


def nap(seconds: float) -> tuple[float, float]:
    """When it began and ended, as Unix times."""
    began = time.time()
    time.sleep(seconds)
    return began, time.time()


@dataclass(frozen=True)
class Work:
    """One column of the table."""

    name: str  # as on the command line
    title: str
    unit: str
    more_is_better: bool
    explained: str
    tiny: bool = False  # jobs of no length: what is measured is the system


WORKS = (
    Work("compute", "seed compute", "s", more_is_better=False,
         explained="the seed's job, the sum of a million random integers, mapped over {compute_items} items"),
    Work("jobs", "no-op jobs", "jobs/s", more_is_better=True,
         explained="independent jobs, enqueued in bulk where there is a call for it, until the caller knows that "
                   "all are done; their results are kept",
         tiny=True),
    Work("latency", "latency", "ms", more_is_better=False,
         explained="one no-op job on an idle worker, from enqueue to the result in the caller's hands; the next "
                   "one comes as soon as that is there",
         tiny=True),
    Work("rested", "latency after a rest", "ms", more_is_better=False,
         explained="the same with {rest:g} s between two jobs, after which a processor has forgotten most of what "
                   "it needs",
         tiny=True),
    Work("map", "no-op map", "items/s", more_is_better=True,
         explained="a map of no-op items, up to {most_items:,} of them, the list of results in the caller's hands",
         tiny=True),
    Work("uneven", "uneven items", "s", more_is_better=False,
         explained="a map of 6 items that sleep {long} s, then 6 that sleep {short} s; ideal: {ideal:.4g} s"),
    Work("arrays", "1 MiB results", "MiB/s", more_is_better=True,
         explained="a map whose results are NumPy arrays of 1 MiB each, up to {most_arrays} of them"),
)  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """How much of it is done. Rates are compared, so slow systems get fewer jobs in the same time."""

    compute_items: int = 8
    brief_items: int = 200
    brief: float = 0.01  # seconds that each of them takes
    pairs: int = 12  # of maps by taskq and by a Pool
    starts: int = 6  # of both, with so many pairs each
    budget: float = 1.5  # seconds for which a rate is measured
    most_jobs: int = 20_000
    most_items: int = 1_000_000
    most_arrays: int = 200
    samples: int = 300  # of the latency
    rest: float = 0.01  # seconds between two of those after a rest
    long: float = 1.0  # seconds
    short: float = 0.05
    sizes: tuple[int, ...] = tuple(10**n for n in range(3, 8))  # of growing maps
    huge: int = 10**8  # items of the largest map, of which the memory is watched
    wide: tuple[int, ...] = (16, 64)  # processes that sleep
    growth_limit: float = 30.0  # seconds a map of the next size may be expected to take
    idle: float = 5.0  # seconds
    memory: int = 2**30  # bytes that are made ready before a work

    @property
    def ideal(self) -> float:
        """Seconds the uneven items take on two processes at best."""
        return 3 * (self.long + self.short)


FULL = Scale()
QUICK = Scale(
    compute_items=2, brief_items=20, pairs=2, starts=1, budget=0.2, most_jobs=2000, most_items=100_000,
    most_arrays=20, samples=20, long=0.1, short=0.005, sizes=(1_000, 10_000, 100_000), growth_limit=3.0, idle=1.0,
    huge=10**6, wide=(16,), memory=2**26,
)  # fmt: skip
