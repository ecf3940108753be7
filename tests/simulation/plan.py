"""What is to happen in one world: who pushes what, and which faults there are."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

HOSTS = ("ann", "bob")
PUSHES = 1.5  # seconds in which maps are pushed, but for those which replace an earlier one


@dataclass(frozen=True)
class Order:
    """One push.

    Args:
        items: index -> what is special about it: see ``items.py``.
        seconds: Each item takes, about.
        again: The id is taken by an earlier one, which is cancelled first.
        callers: Who wait for it besides the producer, each in one of ``WAYS``.
        tries: RQ's retries.
        pushing: Seconds between two items, as their producer makes them.
        patient: Its producer waits for a server that is away.
        orphan: Of an open map: what becomes of it without its producer; "": it is none.
        max_running: Of its items; 0: any number.
        rate: At which they may begin; "": any.
        item_tries: How often an item that fails is tried again.
        memo: Of a map with a memo: whether it keeps or forgets what is there of another push; "": it has none.
        results: "keep" or "discard".
        first: So many results are enough; 0: all.
        initializer: What that does: "loads", "deadly once"; "": there is none.
        speculates: What takes too long runs a second time.
        source: Number of the push whose results are its items; -1: it has items of its own.
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
    pushing: float = 0.0
    patient: bool = False
    orphan: str = ""
    max_running: int = 0
    rate: str = ""
    item_tries: int = 0
    memo: str = ""
    results: str = "keep"
    first: int = 0
    initializer: str = ""
    speculates: bool = False
    source: int = -1

    @property
    def discards(self) -> bool:
        return self.results == "discard"

    @property
    def seconds_in_all(self) -> float:
        """From the beginning of the push to the map's end, about."""
        return 0.2 + self.count * (self.pushing + self.seconds)

    def __str__(self) -> str:
        special = ", ".join(f"{index} {what}" for index, what in sorted(self.items.items()))
        return (
            f"push {self.number} at {self.at:g} s: {self.id}, {self.count} items of {self.seconds:g} s"
            f"{f' in chunks of {self.chunksize}' if self.chunksize else ''}{f' ({special})' if special else ''}"
            f"{f', the results of push {self.source}' if self.source >= 0 else ''}"
            f"{', of an open map' if self.orphan else ''}{', which keeps no results' if self.discards else ''}"
            f"{f', {self.memo} the memo' if self.memo else ''}"
            f"{f', of which {self.first} are enough' if self.first else ''}"
            f"{f', whose initializer {self.initializer}' if self.initializer else ''}"
            f"{', of which what takes long runs twice' * self.speculates}"
            f"{', made slowly' if self.pushing else ''}{', patiently' * self.patient}"
            f"{f', {self.tries} retries' if self.tries else ''}"
            f"{f', {self.max_running} at once' if self.max_running else ''}{f', {self.rate}' if self.rate else ''}"
            f"{f', {self.item_tries} retries of each item' if self.item_tries else ''}"
            f"{', in place of an earlier one' if self.again else ''}"
            f"{', and besides ' * bool(self.callers)}{', '.join(self.callers)}"
        )


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

    def __str__(self) -> str:
        what = f" ({', '.join(map(str, self.what))})" if isinstance(self.what, tuple) else f" ({self.what})"
        what = "" if self.what is None else what
        return f"at {self.at:g} s: {self.kind}{what}{f' for {self.seconds:g} s' if self.seconds else ''}"


@dataclass(frozen=True)
class Plan:
    """All of it.

    Args:
        seed: Decides about latencies and the like.
        skews: Seconds by which the clock of each host is ahead; of the others, the last one.
        services: On each of ``hosts`` hosts.
        processes: Of each service.
        lease: Seconds.
        cleans: Seconds between two cleanings of RQ's registries; None: nobody cleans them.
        loss: Share of the messages that nobody hears.
        exact: Nobody is taken for dead who lives, and no server forgets anything: caps hold to the item.
        slow: How much longer items take on the first host.
    """

    seed: int
    hosts: int
    services: int
    processes: int
    lease: float
    orders: tuple[Order, ...]
    deeds: tuple[Deed, ...]
    skews: tuple[float, ...] = (0.0, 0.0, 0.0)
    cleans: int | None = None
    loss: float = 0.0
    exact: bool = False
    slow: float = 1.0

    @property
    def last(self) -> float:
        """When the last push has begun, and the last fault is over."""
        return max([deed.at + deed.seconds for deed in self.deeds] + [order.at for order in self.orders])

    def __str__(self) -> str:
        clean = f", RQ's registries cleaned every {self.cleans} s" if self.cleans else ""
        skews = f", clocks ahead by {', '.join(f'{one:g}' for one in self.skews)} s" if any(self.skews) else ""
        loss = f", {self.loss:.0%} of messages are lost" if self.loss else ""
        loss += f", {HOSTS[0]} takes {self.slow:g} times as long" if self.slow != 1 else ""
        head = (
            f"{self.hosts} hosts, {self.services} services on each, {self.processes} processes of each; a lease "
            f"{self.lease:g} s{clean}{skews}{loss}"
        )
        return "\n".join([head, *map(str, self.orders), *map(str, self.deeds)])


WAYS = ("get", "each", "follow", "follow as completed")
SPECIAL = ("fails", "fails once", "fails later", "poison", "deadly once", "long", "")
OPERATIONS = {
    "claim": 3, "commit": 4, "open": 2, "close": 3, "expire": 3, "begin": 2, "write": 2, "exec": 3, "hold": 1,
    "take": 2, "renew": 1, "unrecorded": 2, "": 1,
}  # fmt: skip
AFTER_DEATHS = {"release": 1, "split": 1}
FATES = {"reply lost": 2, "request lost": 1, "torn": 1, "late": 3, "last words": 3, "twice": 3, "stall": 2}
LONGEST = 30.0  # seconds: longer than all that RQ's workers let expire while they run, see services.py
SPOILS = ("results", "spans", "errors", "pending")
CONFUSIONS = ("error beside", "span beside", "span twice", "value lost")


def _weighed(rng: random.Random, table: dict[str, float] | dict[str, int]) -> str:
    return rng.choices(list(table), list(table.values()))[0]


def mixed(rng: random.Random, *, few: bool) -> tuple[list[Order], list[Deed]]:
    """All that may happen; or ``few`` kinds of it, many times, during the same operation."""
    orders: list[Order] = []
    for number in range(rng.randint(1, 3)):
        before = rng.choice(orders) if orders and rng.random() < 0.5 else None
        orders.append(order(rng, number, before))
    weights = WEIGHTS
    if few:
        kinds = rng.choices(list(WEIGHTS), [1.0 + weight / 2 for weight in WEIGHTS.values()], k=rng.randint(1, 3))
        weights = dict.fromkeys(kinds, 1.0)
    deeds = [_deed(rng, orders, _weighed(rng, weights)) for _ in range(rng.randint(1, 8))]
    if few:
        wanted = rng.choice([*OPERATIONS, *AFTER_DEATHS])
        deeds = [replace(one, what=(one.what[0], wanted)) if one.kind in _AT else one for one in deeds]
    return orders, deeds


def order(rng: random.Random, number: int, before: Order | None) -> Order:
    """A push of any kind; or in place of an earlier one."""
    count = rng.randint(1, 12)
    special = {index: rng.choice(SPECIAL) for index in range(count) if rng.random() < rng.choice([0.0, 0.1, 0.3])}
    at = rng.uniform(0.0, PUSHES) if before is None else before.at + rng.uniform(0.05, before.seconds_in_all)
    return Order(
        number, round(at, 3), before.id if before else f"m{number}", count, rng.choice([None, 1, 2, 3, 5, 12]),
        rng.choice([0.002, 0.03, 0.1, 0.2]), special,
        rng.choice([None, 1.0]) if "long" in special.values() else None, rng.choice([0, 0, 1, 2]),
        before is not None, tuple(rng.choice(WAYS) for _ in range(rng.randint(0, 2))),
        rng.choice(["raise", "return"]), rng.choice([0.0, 0.0, 0.05]), rng.choice([False, True]),
    )  # fmt: skip


def _deed(rng: random.Random, orders: Sequence[Order], kind: str) -> Deed:
    order = rng.choice(orders)  # while it runs there is something to be broken
    at = order.at + rng.uniform(0.0, order.seconds_in_all)
    seconds, what = _MORE.get(kind, _no_more)(rng, orders)
    return Deed(round(at, 3), kind, rng.randrange(1000), seconds, what)


def _no_more(_rng: random.Random, _orders: Sequence[Order]) -> tuple[float, Any]:
    return 0.0, None


def _network(rng: random.Random, orders: Sequence[Order]) -> tuple[float, Any]:
    deadly = any(what in ("poison", "deadly once") for order in orders for what in order.items.values())
    wanted = _weighed(rng, AFTER_DEATHS if deadly and rng.random() < 0.5 else OPERATIONS)
    return rng.choice([0.001, 0.02, 0.3, 2.0, 5.0]), (_weighed(rng, FATES), wanted)


def _crash(rng: random.Random, _orders: Sequence[Order]) -> tuple[float, Any]:
    return rng.choice([0.005, 0.02, 0.3, 3.0]), (rng.choice([0.0, 0.05, 0.2, 0.5, 1.0]), _weighed(rng, OPERATIONS))


_AT = ("network", "crash")  # happen when somebody does a certain thing
_MORE: dict[str, Callable[[random.Random, Sequence[Order]], tuple[float, Any]]] = {
    "pause": lambda rng, _: (rng.choice([0.05, 0.5, 2.0, 5.0]), None),
    "pause process": lambda rng, _: (rng.choice([0.05, 0.5, 2.0, 5.0]), None),
    "outage": lambda rng, _: (rng.choice([0.05, 0.5, 3.0, 6.0, LONGEST]), None),
    "full": lambda rng, _: (rng.choice([0.05, 0.5, 3.0, 6.0]), None),
    "deaf": lambda rng, _: (rng.choice([0.05, 0.5, 3.0, 6.0]), rng.choice(["all", "one"])),
    "rollback": lambda rng, _: (rng.choice([0.005, 0.02, 0.3, 3.0]), rng.choice([0.005, 0.05, 0.3, 1.0, 2.5])),
    "crash": _crash,
    "network": _network,
    "cancel": lambda rng, orders: (0.0, rng.choice(orders).id),
    "requeue": lambda rng, orders: (0.0, rng.choice(orders).id),
    "delete": lambda rng, orders: (0.0, rng.choice(orders).id),
    "clock": lambda rng, _: (0.0, rng.choice([-3600.0, -20.0, -2.0, 2.0, 20.0, 3600.0])),
    "server's clock": lambda rng, _: (0.0, rng.choice([-10.0, -1.0, 1.0, 10.0])),
    "kill host": lambda rng, _: (rng.choice([0.5, 5.0]), None),
    "confuse": lambda rng, _: (0.0, rng.choice(CONFUSIONS)),
    "spoil": lambda rng, orders: (0.0, (rng.choice(orders).id, rng.choice(SPOILS))),
}

WEIGHTS = {
    "kill service": 3, "kill process": 3, "kill host": 1, "kill person": 0.7, "stop service": 1, "pause": 3,
    "pause process": 1, "outage": 2, "full": 1, "deaf": 1, "rollback": 2, "crash": 4, "network": 12, "cancel": 1,
    "requeue": 1, "delete": 0.3, "clock": 1, "server's clock": 0.3, "confuse": 1.6, "spoil": 0.3,
}  # fmt: skip
