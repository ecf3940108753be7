"""Plans, each drawn from its seed: a mixture of all that may happen, or a theme.

What takes two rare things at once, each at its moment, hardly ever comes to pass in a mixture. A theme is a world
in which these two are what happens: there is one for each kind of guard in the product.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.simulation.plan import CONFUSIONS, LONGEST, SPOILS, WAYS, Deed, Order, Plan, mixed, order

Drawn = tuple[list[Order], list[Deed], dict[str, Any]]

_LATE = ("late", "twice", "last words")  # how what was said may come after what was said later
_QUIET: dict[str, Any] = {"skews": (0.0, 0.0, 0.0), "cleans": None, "loss": 0.0}


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    rng = random.Random(seed)
    theme = rng.choices(list(_THEMES), list(_THEMES.values()))[0]
    if seed % _EACH == _EACH - 1:
        # These have their seeds to themselves: the others' worlds are what they were.
        theme = _told if seed // _EACH % _TOLD == _TOLD - 1 else _fed
    if seed % _EACH_MEMO[0] == _EACH_MEMO[1]:
        theme = _remembered
    if seed % _EACH == _OTHER:
        theme = _capped
    if seed % _EACH_RACE[0] == _EACH_RACE[1]:
        theme = _raced
    if seed % _EACH_CHAIN[0] == _EACH_CHAIN[1]:
        theme = _chained
    orders, deeds, more = theme(rng)
    skews = tuple(rng.choice([0.0, 0.0, -3600.0, -20.0, 2.0, 20.0, 3600.0]) for _ in range(3))
    hosts, services = rng.choice([(1, 1), (1, 2), (2, 1), (2, 1), (2, 2)])
    plan = Plan(
        seed, hosts, services, rng.randint(1, 2), rng.choice([1.5, 3.0]),
        tuple(sorted(orders, key=lambda one: one.at)), tuple(sorted(deeds, key=lambda one: one.at)),
        skews if rng.random() < 0.3 else (0.0, 0.0, 0.0), rng.choice([None, None, None, 1, 5]),
        rng.choice([0.0, 0.0, 0.0, 0.3, 1.0]),
    )  # fmt: skip
    return replace(plan, **more)


def _everything(rng: random.Random) -> Drawn:
    return *mixed(rng, few=False), {}


def _few(rng: random.Random) -> Drawn:
    return *mixed(rng, few=True), {}


def _late(rng: random.Random, at: float, operation: str, *seconds: float) -> Deed:
    """What is said next of this kind comes once more, or only later."""
    return Deed(round(at, 3), "network", rng.randrange(1000), rng.choice(seconds), (rng.choice(_LATE), operation))


def _crash(rng: random.Random, at: float, operation: str, *lost: float) -> Deed:
    away = rng.choice([0.005, 0.02, 0.3])
    return Deed(round(at, 3), "crash", rng.randrange(1000), away, (rng.choice(lost), operation))


def _written(rng: random.Random) -> Drawn:
    """The server loses what a producer has just written, or the answer to it."""
    one = Order(0, 0.1, "m0", rng.randint(6, 12), 1, 0.03, pushing=0.05, patient=True)
    other = Order(1, 0.2, "m1", 3, 1, 0.03)
    until = one.at + one.count * one.pushing
    kind = rng.choice(["written", "written", "begun", "announced"])
    if kind == "written":
        meanwhile = rng.uniform(0.15, until), "write"
        at, operation = rng.choice([meanwhile, meanwhile, (until - 0.02, "write"), (until, "exec")])
        return [one], [_crash(rng, at, operation, 0.0, 0.0, 0.05, 0.1)], _QUIET
    if kind == "begun":
        deed = Deed(
            other.at - 0.01, "network", 0, 0.02, (rng.choice(["reply lost", "reply lost", "late"]), "begin")
        )
        return [one, other], [deed], _QUIET
    deeds = [Deed(0.2, "confuse", 0, 0.0, "span twice"), _crash(rng, until, "close", 0.1, 0.2)]
    deeds.append(Deed(until, "deaf", 0, 2.5, "all"))  # no fault, but it goes on for as long
    return [one], deeds, {**_QUIET, "hosts": 1, "services": 1, "processes": 1}


def _replaced(rng: random.Random) -> Drawn:
    """A map is pushed again under its id, and something that was said of the earlier one comes late."""
    first = Order(0, 0.1, "m0", rng.randint(6, 10), rng.choice([1, 2]), 0.1, callers=(rng.choice(WAYS),))
    at = rng.uniform(0.2, 0.6)
    second = Order(1, round(at, 3), "m0", rng.randint(6, 10), rng.choice([1, 2]), 0.1, again=True)
    operation = rng.choice(["claim", "commit", "close", "close", "expire", "release"])
    deed = _late(rng, at - rng.uniform(0.0, 0.05), operation, 0.03, 0.1, 0.3)
    if operation in ("close", "expire"):  # their producer lives
        deed = replace(deed, what=(rng.choice(["late", "twice"]), operation))
    return [first, second], [deed], {**_QUIET, "loss": rng.choice([0.0, 1.0])}


def _reopened(rng: random.Random) -> Drawn:
    """A map has failed, and is tried again; what was said at its end comes late."""
    special = dict.fromkeys(range(rng.randint(3, 6)), "fails once")
    one = Order(0, 0.1, "m0", 6, 1, 0.2, special, tries=rng.choice([0, 1]))
    deeds = [_late(rng, 0.1, operation, 0.1, 0.3, 0.6) for operation in ("close", "expire")]
    deeds += [Deed(0.3, "requeue", 0, 0.0, "m0") for _ in range(2)]
    return [one], rng.sample(deeds[:2], rng.randint(1, 2)) + deeds[2:], _QUIET


def _cancelled(rng: random.Random) -> Drawn:
    """A map is cancelled, and those who work on it do not hear of it; or the server forgets it."""
    one = Order(0, 0.1, "m0", 12, 1, 0.2)
    at = rng.uniform(0.2, 0.4)
    deeds = [Deed(round(at, 3), "cancel", 0, 0.0, "m0")]
    if rng.random() < 0.4:
        deeds.append(_crash(rng, at, rng.choice(["close", "expire"]), 0.0, 0.05))
    else:
        deeds.append(Deed(round(at, 3), "deaf", 0, 0.6, "all"))
    return [one], deeds, {**_QUIET, "hosts": 2, "services": 2, "processes": 2}


def _lost(rng: random.Random) -> Drawn:
    """Somebody reads while the server loses what it has got last."""
    ways = ("each", rng.choice(["follow", "follow as completed"]), rng.choice(WAYS))
    one = Order(0, 0.1, "m0", rng.choice([4, 8, 10, 12]), 1, 0.1, callers=ways)
    times = (rng.uniform(0.2, 0.2 + one.count * 0.025) for _ in range(rng.randint(1, 2)))
    deeds = [_crash(rng, at, rng.choice(["commit", "commit", "close"]), 0.05, 0.1, 0.2) for at in times]
    return [one], deeds, {**_QUIET, "hosts": 2, "services": 1, "processes": 2}


def _outlived(rng: random.Random) -> Drawn:
    """What a service has said comes when it is dead, and others have what it had."""
    one = Order(0, 0.1, "m0", rng.randint(6, 10), rng.choice([1, 2]), 0.1)
    deeds = []
    for _ in range(2):
        at, seconds = round(rng.uniform(0.1, 0.5), 3), rng.choice([0.05, 0.1, 0.2])
        operation = rng.choice(["commit", "commit", "release", "claim"])
        deeds.append(Deed(at, "network", 0, seconds, ("last words", operation)))
    return [one], deeds, _QUIET


def _deadly(rng: random.Random) -> Drawn:
    """Items kill their processes, while others wait behind them."""
    special = {rng.randrange(12): rng.choice(["poison", "deadly once", "long"]) for _ in range(3)}
    limit = 1.0 if "long" in special.values() else None
    one = Order(
        0, 0.1, "m0", 12, rng.choice([1, 2, 3]), rng.choice([0.002, 0.03]), special, limit, errors="return"
    )
    deeds = [_late(rng, 0.1, rng.choice(["release", "split", "split"]), 0.02, 0.05, 0.1, 0.3) for _ in range(2)]
    if rng.random() < 0.3:
        times = (rng.uniform(0.12, 0.6) for _ in range(rng.randint(2, 6)))
        deeds = [Deed(round(at, 3), "kill process", rng.randrange(1000)) for at in times]
    return [one], deeds, _QUIET


def _away(rng: random.Random) -> Drawn:
    """Hosts' clocks are wrong, and the server is away, for longer than a lease or than all that expires."""
    one = Order(0, 0.1, "m0", rng.randint(6, 10), 1, 0.2)
    seconds = rng.choice([0.0, 0.0, 3.0, 6.0, 6.0, LONGEST, LONGEST])
    deed = Deed(round(rng.uniform(0.2, 0.6), 3), "outage", 0, seconds)
    if not seconds:
        deed = Deed(0.1, "deaf", 0, 6.0, "all")  # no fault, but it goes on for as long
    skews = tuple(rng.choice([-3600.0, -20.0, 20.0, 3600.0]) for _ in range(3))
    return [one], [deed], {"skews": skews, "hosts": 2, "loss": 0.0, "cleans": rng.choice([None, 1, 1])}


def _full(rng: random.Random) -> Drawn:
    """The server has no memory, now and then."""
    special = {rng.randrange(10): rng.choice(["fails", "fails once", "poison", "deadly once"]) for _ in range(2)}
    one = Order(0, 0.1, "m0", 10, rng.choice([1, 2, 3]), 0.1, special, tries=rng.choice([0, 1]), errors="return")
    times = (rng.uniform(0.1, 0.6) for _ in range(rng.randint(2, 4)))
    return [one], [Deed(round(at, 3), "full", 0, rng.choice([0.02, 0.05, 0.3])) for at in times], _QUIET


def _deposed(rng: random.Random) -> Drawn:
    """A service is stopped at the end of a map, for so long that it is given up for dead."""
    one = Order(0, 0.1, "m0", rng.randint(2, 4), 1, 0.05, tries=rng.choice([0, 1]))
    operation = rng.choice(["commit", "close", "expire", "exec"])
    at, seconds = round(rng.uniform(0.115, 0.15), 3), rng.choice([4.0, 6.0])
    deeds = [Deed(at, "network", 0, seconds, ("stall", operation)), Deed(at, "deaf", 0, seconds + 2.0, "all")]
    return [one], deeds, {**_QUIET, "hosts": 2, "lease": 1.5}


def _damaged(rng: random.Random) -> Drawn:
    """A process says what is not true, or somebody takes something out of a map's keys."""
    one = Order(0, 0.1, "m0", rng.randint(6, 12), rng.choice([1, 2, 3]), 0.1)
    at, which = round(rng.uniform(0.15, 0.5), 3), rng.randrange(1000)
    deed = Deed(at, "confuse", which, 0.0, rng.choice([*CONFUSIONS, "value lost"]))
    if rng.random() < 0.4:
        deed = Deed(at, "spoil", which, 0.0, ("m0", rng.choice(SPOILS)))
    return [one], [deed], _QUIET


def _begun(rng: random.Random) -> Drawn:
    """Something goes wrong while a service begins a job, or records its end."""
    if rng.random() < 0.4:  # and meanwhile the map is another one
        one, seconds = Order(0, 0.1, "m0", 3, 1, 0.1), round(rng.uniform(0.05, 0.3), 3)
        other = Order(1, round(0.1 + rng.uniform(0.015, 0.03), 3), "m0", 6, 1, 0.1, again=True)
        return [one, other], [Deed(0.1, "network", 0, seconds, ("stall", "hold"))], {**_QUIET, "hosts": 2}
    first = order(rng, 0, None)
    orders = [first, order(rng, 1, first)] if rng.random() < 0.7 else [first]
    deeds = []
    for _ in range(rng.randint(1, 4)):
        at, seconds = round(rng.uniform(first.at, orders[-1].at), 3), rng.choice([0.02, 0.3, 2.0])
        fate = rng.choice(["reply lost", "stall", *_LATE])
        operation = rng.choice(["take", "hold", "hold", "exec", "open"])
        deeds.append(Deed(at, "network", rng.randrange(1000), seconds, (fate, operation)))
    return orders, deeds, {}


def _fed(rng: random.Random) -> Drawn:
    """An open map is fed, and its producer, the server or what they say to each other is lost meanwhile."""
    special = {rng.randrange(12): rng.choice(["fails", "deadly once", ""]) for _ in range(rng.choice([0, 0, 2]))}
    one = Order(
        0, 0.1, "m0", rng.randint(4, 12), rng.choice([None, 1]), rng.choice([0.002, 0.03, 0.1]), special,
        tries=rng.choice([0, 0, 1]), callers=tuple(rng.choice(WAYS) for _ in range(rng.randint(0, 2))),
        errors="return", pushing=rng.choice([0.0, 0.01, 0.05, 0.05]), patient=rng.choice([False, True]),
        orphan=rng.choice(["finish", "finish", "cancel"]),
    )  # fmt: skip
    until = 0.2 + one.count * max(one.pushing, one.seconds / 2)
    deeds = []
    for _ in range(rng.randint(1, 3)):
        at = round(rng.uniform(0.11, until), 3)
        kind = rng.choice(["said", "said", "crash", "crash", "person", "other"])
        operation = rng.choice(["put", "put", "put", "seal", "commit", "claim", "open"])
        if kind == "said":
            fate = rng.choice(["reply lost", "request lost", "stall", *_LATE])
            seconds = rng.choice([0.02, 0.1, 0.5, 6.0])
            deeds.append(Deed(at, "network", rng.randrange(1000), seconds, (fate, operation)))
        elif kind == "crash":
            deeds.append(_crash(rng, at, operation, 0.0, 0.05, 0.1, 0.5))
        elif kind == "person":
            deeds.append(Deed(at, "kill person", rng.randrange(1000)))
        else:
            what = rng.choice(["kill service", "kill process", "cancel", "outage", "kill host"])
            of = "m0" if what == "cancel" else None
            deeds.append(Deed(at, what, rng.randrange(1000), rng.choice([0.3, 6.0]), of))
    return [one], deeds, {"loss": rng.choice([0.0, 0.0, 1.0])}


def _capped(rng: random.Random) -> Drawn:
    """Little of a map may run, or its items are tried again; those who work on it die, or are not heard."""
    special = {rng.randrange(10): rng.choice(["fails", "fails", "fails once", "fails once", "deadly once"])
               for _ in range(rng.choice([0, 3, 5]))}  # fmt: skip
    one = Order(
        0, 0.1, "m0", rng.randint(5, 10), rng.choice([None, 1, 3]), rng.choice([0.01, 0.05, 0.1]), special,
        tries=rng.choice([0, 0, 1]), errors="return", orphan=rng.choice(["", "", "finish"]),
        max_running=rng.choice([0, 1, 2]), rate=rng.choice(["", "", "3/s", "5/s"]),
        item_tries=rng.choice([0, 1, 2, 2]),
    )  # fmt: skip
    deeds = []
    for _ in range(rng.randint(1, 4)):
        at = round(rng.uniform(0.1, 0.3 + one.count * (0.2 if one.rate else one.seconds)), 3)
        kind = rng.choice(
            ["said", "said", "kill service", "kill service", "kill process", "kill host", "full", "full"]
        )
        if kind == "said":
            operation = rng.choice(["claim", "claim", "commit", "commit", "release", "look"])
            fate = rng.choice(["reply lost", "request lost", "late", "twice", "last words"])
            seconds = rng.choice([0.02, 0.1, 0.3])
            deeds.append(Deed(at, "network", rng.randrange(1000), seconds, (fate, operation)))
        else:
            deeds.append(Deed(at, kind, rng.randrange(1000), rng.choice([0.02, 0.3])))
    return [one], deeds, {**_QUIET, "loss": rng.choice([0.0, 1.0]), "lease": 3.0, "exact": True}


def _remembered(rng: random.Random) -> Drawn:
    """Maps have a memo, and are lost, cancelled and pushed again while they put results there."""
    orders: list[Order] = []
    for number in range(rng.randint(2, 4)):
        before = rng.choice(orders) if orders and rng.random() < 0.4 else None
        special = (
            {rng.randrange(12): rng.choice(["fails once", "fails", "deadly once"])} if rng.random() < 0.3 else {}
        )
        at = 0.1 if not orders else orders[-1].at + rng.uniform(0.05, 0.6)
        orders.append(Order(
            number, round(at, 3), before.id if before else f"m{number}", rng.randint(2, 12),
            rng.choice([None, 1, 2, 3]), rng.choice([0.002, 0.03, 0.1]), special, tries=rng.choice([0, 1]),
            again=before is not None, callers=tuple(rng.choice(WAYS) for _ in range(rng.randint(0, 1))),
            errors="return", patient=rng.choice([False, True]),
            memo=rng.choice(["keep", "keep", "keep", "forget"]),
        ))  # fmt: skip
    deeds = []
    for _ in range(rng.randint(0, 3)):
        at, which = round(rng.uniform(0.1, orders[-1].at + 0.3), 3), rng.randrange(1000)
        operation = rng.choice(["commit", "commit", "write_memo", "write_memo", "memo", "exec"])
        kind = rng.choice(["said", "said", "crash", "crash", "other"])
        if kind == "said":
            fate = rng.choice(["reply lost", "request lost", "stall", *_LATE])
            deeds.append(Deed(at, "network", which, rng.choice([0.02, 0.1, 0.5]), (fate, operation)))
        elif kind == "crash":
            deeds.append(_crash(rng, at, operation, 0.0, 0.05, 0.1, 0.5))
        else:
            what = rng.choice(["kill service", "kill process", "kill person", "cancel", "requeue", "full"])
            of = rng.choice(orders).id if what in ("cancel", "requeue") else None
            deeds.append(Deed(at, what, which, 0.05 if what == "full" else 0.0, of))
    return orders, deeds, _QUIET


def _raced(rng: random.Random) -> Drawn:
    """What takes long runs twice, and those who run it die, are slow or stuck, or are not heard."""
    count = rng.randint(5, 10)
    kinds = ["hangs once", "hangs once", "fails", "fails once", "deadly once", "poison"]
    special = {rng.randrange(count): rng.choice(kinds) for _ in range(rng.choice([0, 1, 2]))}
    if [*special.values()] == [
        "hangs once"
    ] * 2:  # two may have all processes, and nobody is there to run them again
        special.popitem()
    one = Order(
        0, 0.1, "m0", count, rng.choice([1, 1, 2]), rng.choice([0.05, 0.1, 0.2]), special, errors="return",
        tries=rng.choice([0, 0, 1]), orphan=rng.choice(["", "", "finish"]), item_tries=rng.choice([0, 0, 2]),
        results=rng.choice(["keep", "keep", "discard"]), speculates=True,
        callers=tuple(rng.choice(WAYS) for _ in range(rng.randint(0, 1))),
    )  # fmt: skip
    deeds = []
    until = 0.3 + one.count * one.seconds
    for _ in range(rng.randint(0, 4)):
        at, which = round(rng.uniform(0.2, until), 3), rng.randrange(1000)
        kind = rng.choice(["said", "said", "crash", "kill service", "kill process", "kill process", "kill host",
                           "cancel", "full"])  # fmt: skip
        operation = rng.choice(["copy", "copy", "commit", "commit", "release", "look"])
        if kind == "said":
            fate = rng.choice(["reply lost", "request lost", "stall", *_LATE])
            deeds.append(Deed(at, "network", which, rng.choice([0.02, 0.1, 0.5, 4.0]), (fate, operation)))
        elif kind == "crash":
            deeds.append(_crash(rng, at, operation, 0.0, 0.05, 0.2))
        else:
            of = "m0" if kind == "cancel" else None
            deeds.append(Deed(at, kind, which, rng.choice([0.02, 0.3]), of))
    more = {"hosts": 2, "services": 1, "slow": rng.choice([1.0, 4.0, 8.0]), "loss": rng.choice([0.0, 0.0, 1.0])}
    return [one], deeds, {**_QUIET, **more}


def _told(rng: random.Random) -> Drawn:
    """A map was told more than others, and something befalls those who work on it."""
    count = rng.randint(6, 12)
    special = {rng.randrange(count): rng.choice(["fails", "fails once", "deadly once"]) for _ in range(2)}
    one = Order(
        0, 0.1, "m0", count, rng.choice([1, 1, 2, 3]), rng.choice([0.03, 0.1]),
        special if rng.random() < 0.4 else {}, tries=rng.choice([0, 0, 1]),
        results=rng.choice(["keep", "discard"]), first=rng.choice([0, 0, 1, 2, 4, count]),
        initializer=rng.choice(["", "", "loads", "deadly once"]),
        callers=tuple(rng.choice(WAYS) for _ in range(rng.randint(0, 2))),
    )  # fmt: skip
    deeds = []
    for _ in range(rng.randint(1, 3)):
        at = round(rng.uniform(0.11, 0.2 + one.count * one.seconds / 2), 3)
        kind = rng.choice(["said", "said", "crash", "crash", "kill service", "kill process", "requeue", "outage"])
        if kind == "said":
            what = rng.choice(["reply lost", *_LATE]), rng.choice(["commit", "commit", "close", "expire", "open"])
            deeds.append(Deed(at, "network", rng.randrange(1000), rng.choice([0.02, 0.1, 0.5]), what))
        elif kind == "crash":
            deeds.append(_crash(rng, at, rng.choice(["commit", "commit", "close"]), 0.0, 0.05, 0.1))
        else:
            deeds.append(Deed(at, kind, rng.randrange(1000), 0.3, "m0" if kind == "requeue" else None))
    return [one], deeds, _QUIET


def _chained(rng: random.Random) -> Drawn:
    """The results of a map are another's items, and what works on either, or says so, is lost meanwhile."""
    count = rng.randint(3, 10)
    kinds = ["fails", "fails once", "deadly once", "poison"]
    first, second = (
        {rng.randrange(count): rng.choice(kinds) for _ in range(rng.choice([0, 0, 1, 2]))} for _ in range(2)
    )
    one = Order(
        0, 0.1, "m0", count, rng.choice([None, 1, 1, 3]), rng.choice([0.002, 0.03, 0.1]), first,
        tries=rng.choice([0, 0, 1]), callers=("get",) * rng.randint(0, 1), errors="return",
        patient=rng.choice([False, True]),
    )  # fmt: skip
    until = one.at + 0.2 + count * one.seconds / 2
    two = Order(
        1, round(rng.uniform(0.12, until), 3), "m1", count, rng.choice([None, 1, 2]),
        rng.choice([0.002, 0.03, 0.1]), second, tries=rng.choice([0, 0, 1]),
        callers=tuple(rng.choice(WAYS) for _ in range(rng.randint(0, 2))), errors="return",
        patient=rng.choice([False, True]), source=0,
    )  # fmt: skip
    orders = [one, two]
    if rng.random() < 0.2:  # the first is another one by then
        orders.append(Order(2, round(rng.uniform(two.at, until + 0.3), 3), "m0", count, 1, 0.03, again=True))
    deeds = []
    for _ in range(rng.randint(1, 4)):
        at, which = round(rng.uniform(0.11, until + 0.4), 3), rng.randrange(1000)
        kind = rng.choice(["said", "said", "crash", "crash", "person", "other", "other"])
        operation = rng.choice(
            ["feed", "feed", "feed", "pass_on", "commit", "commit", "close", "unfollow", "open", "exec"]
        )
        if kind == "said":
            fate = rng.choice(["reply lost", "request lost", "stall", *_LATE])
            deeds.append(Deed(at, "network", which, rng.choice([0.02, 0.1, 0.5, 2.0]), (fate, operation)))
        elif kind == "crash":
            deeds.append(_crash(rng, at, operation, 0.0, 0.05, 0.1, 0.5))
        elif kind == "person":
            deeds.append(Deed(at, "kill person", which))
        else:
            what = rng.choice(["kill service", "kill process", "cancel", "requeue", "outage", "kill host", "full"])
            of = rng.choice(["m0", "m0", "m1"]) if what in ("cancel", "requeue") else None
            deeds.append(Deed(at, what, which, rng.choice([0.05, 0.3]), of))
    return orders, deeds, {"loss": rng.choice([0.0, 0.0, 1.0]), "skews": (0.0, 0.0, 0.0)}


_EACH = 12  # of the seeds one is of an open map
_TOLD = 5  # of these one is of a map with options
_EACH_MEMO = (24, 10)  # of so many seeds one, that with this rest, is of maps with a memo
_EACH_RACE = (24, 18)  # the same, of a map of which what takes long runs twice
_EACH_CHAIN = (24, 22)  # the same, of maps whose items are another's results
_OTHER = 4  # of as many as _EACH one is of a map with caps, or retries of its items

_THEMES: dict[Callable[[random.Random], Drawn], int] = {
    _everything: 6, _few: 4,
    _written: 2, _replaced: 3, _reopened: 2, _cancelled: 2, _lost: 2, _outlived: 2, _away: 2, _deposed: 1,
    _full: 2, _deadly: 3, _damaged: 3, _begun: 2,
}  # fmt: skip
