"""What the monkey does and what is pushed, as functions of the seed alone.

A deed says when, what, for how long, and (``pick``, from 0 to 1) to which of those there are then. Who they are
when the time has come depends on the run; what is done does not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

WEIGHTS = {
    "kill pool process": 10,
    "kill service": 5,
    "kill manager": 3,
    "kill forkserver": 1,
    "kill host": 2,  # the whole tree, so that nobody can clean up
    "stop pool process": 3,
    "stop service": 4,
    "stop manager": 2,
    "stop host": 2,
    "cut connections": 3,
    "cut subscriptions": 2,
    "kill Redis": 2,
    "restart Redis": 1,
    "stop Redis": 1,
    "roll Redis back": 2,  # to what it was so long before
    "set clock": 3,  # of the second host
    "reload": 1,
    "terminate": 1,
    "upgrade": 1,  # of the first host to the next version, or back
}
"""Every kind of deed, and how often it is done in relation to the others."""

_LONG = 0.4  # of the stops last longer than the lease


@dataclass(frozen=True)
class Deed:
    """One thing that the monkey does."""

    at: float  # seconds since the start
    kind: str
    pick: float
    seconds: float  # which a stop lasts


@dataclass(frozen=True)
class Order:
    """One job that is pushed; its items are ``range(size)``, 0 of them mean a plain job."""

    number: int
    kind: str  # the name of a function in works.py
    size: int
    chunksize: int | None
    queue: str
    cancel: bool = False  # as soon as it runs
    after: bool = False  # it depends on the order before
    replaced: bool = False  # as soon as it runs, by another map of the same id


def deeds(seed: int, seconds: float, lease: float) -> list[Deed]:
    """First each kind once, then as their weights say; at random times, about one a second."""
    chance = random.Random(f"deeds {seed}")
    kinds = list(WEIGHTS)
    chance.shuffle(kinds)
    pace = min(1.0, seconds / (len(kinds) + 2))
    plan: list[Deed] = []
    at = chance.uniform(0.5, 1.5) * pace
    while at < seconds:
        kind = kinds[len(plan)] if len(plan) < len(kinds) else _weighted(chance)
        longest = lease * (chance.uniform(1.2, 1.8) if chance.random() < _LONG else chance.uniform(0.05, 0.6))
        plan.append(Deed(at, kind, chance.random(), longest))
        at += chance.uniform(0.2, 1.8) * pace
    return plan


def _weighted(chance: random.Random) -> str:
    return chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]


_SIZES = {  # least and most items, chunk sizes to choose from
    "tiny": (200, 3000, (None, 50)),
    "burn": (8, 60, (None, 1, 4)),
    "nap": (8, 60, (None, 1, 3)),
    "bulky": (4, 20, (1, 2)),
    "failing": (40, 200, (None, 7)),
    "flaky": (20, 100, (None, 5)),
    "poison": (4, 10, (None, 4)),
}
_PLAIN = ("tiny", "burn", "nap", "broken")


def orders(seed: int, queues: tuple[str, ...]) -> Iterator[Order]:
    """Jobs without end: first each kind of map once, then mixed, two plain jobs for each map."""
    chance = random.Random(f"orders {seed}")
    number = 0
    kinds = list(_SIZES)
    chance.shuffle(kinds)
    while True:
        kind = kinds.pop() if kinds else chance.choice(list(_SIZES))
        least, most, chunksizes = _SIZES[kind]
        size, chunksize = chance.randint(least, most), chance.choice(chunksizes)
        cancel, replaced = chance.random() < 0.05, chance.random() < 0.1
        after = chance.random() < 0.1
        yield Order(number, kind, size, chunksize, chance.choice(queues), cancel, after, replaced and not cancel)
        for further in (1, 2):
            after = chance.random() < 0.3
            yield Order(number + further, chance.choice(_PLAIN), 0, None, chance.choice(queues), after=after)
        number += 3
