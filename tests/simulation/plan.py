"""What is to happen in one world: who pushes what, and which faults there are. Drawn from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

HOSTS = ("ann", "bob", "cyd")
CALM = 5.0  # seconds in which faults begin


@dataclass(frozen=True)
class Order:
    """One push.

    Args:
        items: index -> what is special about it: see ``items.py``.
        seconds: Each item takes.
        again: The id is taken by an earlier one, which is cancelled first.
        callers: Who wait for it besides the producer, each in one of these ways: "get", "each" (as completed).
        tries: RQ's retries.
    """

    number: int
    at: float
    id: str
    count: int
    chunksize: int | None
    seconds: float
    items: dict[int, str] = field(default_factory=dict)
    item_timeout: float | None = None
    tries: int = 0
    again: bool = False
    callers: tuple[str, ...] = ()
    errors: str = "raise"


@dataclass(frozen=True)
class Deed:
    """One fault, or something that an operator does.

    Args:
        which: Picks among those to whom it may happen.
        seconds: How long it lasts.
        what: More of it.
    """

    at: float
    kind: str
    which: int = 0
    seconds: float = 0.0
    what: Any = None


@dataclass(frozen=True)
class Plan:
    """All of it; ``seed`` decides about latencies and the like."""

    seed: int
    hosts: int
    services: int  # on each
    processes: int  # of each
    lease: float
    orders: tuple[Order, ...]
    deeds: tuple[Deed, ...]

    def without(self, deeds: set[int], orders: set[int] = frozenset()) -> Plan:  # type: ignore[assignment]
        return replace(
            self,
            deeds=tuple(one for number, one in enumerate(self.deeds) if number not in deeds),
            orders=tuple(one for one in self.orders if one.number not in orders),
        )


SPECIAL = ("fails", "fails once", "poison", "deadly once", "long", "")
OPERATIONS = ("claim", "commit", "release", "split", "open", "close", "expire", "begin", "write", "exec", "")
FATES = ("reply lost", "request lost", "torn", "late", "twice")


def draw(seed: int) -> Plan:
    rng = random.Random(seed)
    orders = tuple(_orders(rng))
    deeds = tuple(sorted((_deed(rng, orders) for _ in range(rng.randint(1, 8))), key=lambda one: one.at))
    return Plan(
        seed, rng.randint(1, 2), rng.randint(1, 2), rng.randint(1, 2), rng.choice([1.5, 3.0]), orders, deeds
    )


def _orders(rng: random.Random) -> list[Order]:
    orders: list[Order] = []
    for number in range(rng.randint(1, 3)):
        again = bool(orders) and rng.random() < 0.4
        count = rng.randint(1, 12)
        special = {
            index: rng.choice(SPECIAL) for index in range(count) if rng.random() < rng.choice([0.0, 0.1, 0.3])
        }
        orders.append(
            Order(
                number, round(rng.uniform(0.0, CALM if again else CALM / 2), 3),
                rng.choice(orders).id if again else f"m{number}", count, rng.choice([None, 1, 2, 3, 5, 12]),
                rng.choice([0.002, 0.03, 0.1, 0.3]), special,
                rng.choice([None, 1.0]) if "long" in special.values() else None, rng.choice([0, 0, 1, 2]), again,
                tuple(rng.choice(["get", "each"]) for _ in range(rng.randint(0, 2))),
                rng.choice(["raise", "return"]),
            )
        )  # fmt: skip
    return sorted(orders, key=lambda one: one.at)


def _deed(rng: random.Random, orders: tuple[Order, ...]) -> Deed:
    near = rng.choice(orders).at + rng.expovariate(1.0)  # while there is something to be broken
    at, which = round(min(near, CALM), 3), rng.randrange(1000)
    kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    seconds, what = 0.0, None
    if kind == "pause":
        seconds = rng.choice([0.05, 0.5, 2.0, 5.0])
    elif kind in ("outage", "full", "deaf"):
        seconds = rng.choice([0.05, 0.5, 3.0, 6.0, 130.0 if kind == "outage" else 1.0])
    elif kind == "rollback":
        seconds, what = rng.choice([0.01, 0.3, 3.0]), rng.choice([0.005, 0.05, 0.3, 1.0, 2.5])
    elif kind == "network":
        what = rng.choice(FATES), rng.choice(OPERATIONS)
        seconds = rng.choice([0.001, 0.02, 0.3, 2.0])
    elif kind in ("cancel", "requeue", "delete"):
        what = rng.choice(orders).id
    elif kind == "kill host":
        seconds = rng.choice([0.5, 5.0])
    return Deed(at, kind, which, seconds, what)


WEIGHTS = {
    "kill service": 3, "kill process": 3, "kill host": 1, "stop service": 1, "pause": 4, "outage": 2, "full": 1,
    "deaf": 1, "rollback": 3, "network": 8, "cancel": 1, "requeue": 1, "delete": 0.3,
}  # fmt: skip
