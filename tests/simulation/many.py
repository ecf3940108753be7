"""Many worlds, in processes of their own: what came of them, and how what went wrong is told."""

from __future__ import annotations

import multiprocessing
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar
from unittest.mock import patch

from tests.simulation import themes, written
from tests.simulation.mutate import Mutation
from tests.simulation.mutations import MUTATIONS, by_name
from tests.simulation.plan import Plan
from tests.simulation.shrink import Shrinker

T = TypeVar("T")

MAKE_TEST = 300
"""Seeds that ``make test`` runs, from 0 on: about 40 s of CPU."""

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
    own = patch.dict(os.environ, PYTHONHASHSEED="0")  # else their sets are in another order each time
    with own, ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def command(seed: int, mutation: str = "") -> str:
    """What tells the story of a seed."""
    return f"make simulate SEED={seed}" + (f" MUTATION={shlex.quote(mutation)}" if mutation else "")


def run_all(pool: ProcessPoolExecutor, first: int, seeds: int) -> Iterator[Tally]:
    """Run the worlds of so many seeds; what came of each slice of them, as it comes."""
    end = first + seeds
    slices = [pool.submit(run_slice, at, min(SLICE, end - at)) for at in range(first, end, SLICE)]
    for one in as_completed(slices):
        yield one.result()


# -- what the processes do -----------------------------------------------------------------------------


def _wanted(seeds: Iterable[T]) -> Iterator[T]:
    """The seeds, or plans, as long as somebody is there who wants to know what comes of them."""
    parent = multiprocessing.parent_process()
    for seed in seeds:
        if parent is not None and not parent.is_alive():
            os._exit(1)
        yield seed


def run_slice(first: int, count: int) -> Tally:
    """Run the worlds of ``count`` seeds."""
    from tests.simulation.run import run_seed

    tally = Tally()
    for seed in _wanted(range(first, first + count)):
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
    from tests.simulation import patches
    from tests.simulation.run import run

    patches.apply()  # beneath the mutation, which is taken back
    with by_name(mutation).applied() if mutation else nullcontext():
        came = run(themes.draw(seed))
        kind = came.failure.partition(":")[0]
        if came.failure and shrunk:
            shrinker = Shrinker(lambda tried: run(tried).failure.partition(":")[0] == kind)
            came = run(shrinker.shrink(came.plan))
    return bool(came.failure), str(came)


def first_seed(mutation: str, most: int) -> tuple[int | None, str]:
    """The first seed that shows a mutation, and what it shows; None if none of the first ``most`` does.

    Of one for which worlds are written it is the number of the first of these.
    """
    one = by_name(mutation)
    for number, plan in enumerate(_wanted(_worlds_of(one, most))):
        if failure := _shows(one, plan):
            return (number if one.worlds else plan.seed), failure
    return None, ""


def _worlds_of(mutation: Mutation, most: int) -> Iterator[Plan]:
    return written.lives(mutation.worlds) if mutation.worlds else map(themes.draw, range(most))


def _shows(mutation: Mutation, plan: Plan) -> str:
    """What is wrong in this world, and only with this mutation; "" if nothing is."""
    from tests.simulation import patches
    from tests.simulation.run import run

    patches.apply()  # beneath the mutation, which is taken back
    with mutation.applied():
        failure = run(plan).failure
    return failure if failure and not run(plan).failure else ""


def shown_by(names: list[str]) -> dict[str, bool]:
    """Of each of these mutations whether a world shows it: one that is written for it, or one of ``make test``.

    Of the latter the seed that a mutation has is tried first. Each change of the product makes other worlds of the
    same seeds, so that now and then it shows nothing any more.
    """
    found: dict[str, bool] = {}
    for one in map(by_name, names):
        drawn = map(themes.draw, [one.seed])
        tried = _worlds_of(one, MAKE_TEST) if one.worlds else chain(drawn, _worlds_of(one, MAKE_TEST))
        found[one.name] = any(_shows(one, plan) for plan in _wanted(tried))
    return found


def found_after(pool: ProcessPoolExecutor, most: int, part: str) -> Iterator[tuple[str, int | None, str]]:
    """Of each mutation, with this in its name, the first seed that shows it, and what it shows."""
    tried = {pool.submit(first_seed, one.name, most): one.name for one in MUTATIONS if part in one.name}
    for one in as_completed(tried):
        yield tried[one], *one.result()
