"""Many worlds, in processes of their own: what came of them, and how what went wrong is told."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from tests.simulation import plan
from tests.simulation.mutations import MUTATIONS, by_name
from tests.simulation.shrink import Shrinker

SLICE = 25  # seeds that a process takes at a time


@dataclass
class Tally:
    """What came of some worlds.

    Args:
        failed: Seed -> what was as it must never be.
        faults: How often each kind of fault was done.
        seconds: Of CPU.
    """

    worlds: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    seconds: float = 0.0

    def add(self, other: Tally) -> None:
        self.worlds += other.worlds
        self.failed |= other.failed
        self.faults += other.faults
        self.steps += other.steps
        self.seconds += other.seconds

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {kind}" for kind, count in self.faults.most_common())
        return (
            f"{self.worlds} worlds, {len(self.failed)} failed, {self.steps:,} steps, {self.seconds:.1f} s of CPU\n"
            f"{self.faults.total()} faults: {faults}"
        )


@contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that do nothing but simulate; there the same seed always ends alike."""
    os.environ["PYTHONHASHSEED"] = "0"  # else their sets are in another order each time
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def run_all(pool: ProcessPoolExecutor, first: int, seeds: int) -> Iterator[Tally]:
    """Run the worlds of so many seeds; what came of each slice of them, as it comes."""
    end = first + seeds
    slices = [pool.submit(run_slice, at, min(SLICE, end - at)) for at in range(first, end, SLICE)]
    for one in as_completed(slices):
        yield one.result()


# -- what the processes do -----------------------------------------------------------------------------


def run_slice(first: int, count: int) -> Tally:
    """Run the worlds of ``count`` seeds."""
    from tests.simulation.run import run_seed

    tally = Tally()
    for seed in range(first, first + count):
        came = run_seed(seed)
        tally.add(Tally(1, {seed: came.failure} if came.failure else {}, came.faults, came.steps, came.seconds))
    return tally


def tell(seed: int, mutation: str = "", *, shrunk: bool = True) -> tuple[bool, str]:
    """Whether this seed's world fails, and its story; if it fails, of the smallest plan that does.

    Args:
        seed: Of the world.
        mutation: How the product is made wrong; "": it is as it is.
        shrunk: Or of the very world, whatever happens in it.
    """
    from tests.simulation.run import run

    with by_name(mutation).applied() if mutation else nullcontext():
        came = run(plan.draw(seed))
        kind = came.failure.partition(":")[0]
        if came.failure and shrunk:
            shrinker = Shrinker(lambda tried: run(tried).failure.partition(":")[0] == kind)
            came = run(shrinker.shrink(came.plan))
    return bool(came.failure), str(came)


def seeds_until(mutation: str, most: int) -> tuple[int | None, str]:
    """After how many seeds a mutation is found, and by what; None if it is not within ``most``."""
    from tests.simulation.run import run_seed

    with by_name(mutation).applied():
        for seed in range(most):
            if failure := run_seed(seed).failure:
                return seed + 1, failure
    return None, ""


def missed(names: list[str]) -> list[str]:
    """Those of the mutations that the world of their seed does not show; or which shows something without them."""
    from tests.simulation.run import run_seed

    found = []
    for one in map(by_name, names):
        with one.applied():
            wrong = run_seed(one.seed).failure
        if not wrong or run_seed(one.seed).failure:
            found.append(one.name)
    return found


def check_mutations(pool: ProcessPoolExecutor, parts: int) -> list[str]:
    """As ``missed``, of all that there are."""
    names = [one.name for one in MUTATIONS]
    return [one for part in pool.map(missed, [names[at::parts] for at in range(parts)]) for one in part]


def found_after(pool: ProcessPoolExecutor, most: int) -> Iterator[tuple[str, int | None, str]]:
    """Of each mutation after how many seeds it is found, and by what."""
    tried = {pool.submit(seeds_until, one.name, most): one.name for one in MUTATIONS}
    for one in as_completed(tried):
        yield tried[one], *one.result()
