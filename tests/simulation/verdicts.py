"""Whether what somebody was told of a map is true."""

from __future__ import annotations

from typing import Any

from taskq.errors import (
    DamagedError,
    ItemTimeoutError,
    MapCanceledError,
    MapFailedError,
    ReplacedError,
    ResultsGoneError,
    SourceFailedError,
    WorkerLostError,
)
from tests.simulation import items
from tests.simulation.ledger import Value
from tests.simulation.oracle import Violation


def check(world: Any, push: Any, values: list[Any]) -> None:
    """See that what ``get`` has returned is right.

    Raises:
        Violation: If not.
    """
    order = push.order
    if order.first and len(values) == order.first:
        for value in values:
            check_one(push, value, "a result")
        indexes = [value.index for value in values]
        if indexes != sorted(set(indexes)):
            raise Violation(f"get() returned results of {indexes}")
        return
    if len(values) != order.count and not may_lack(world, push, len(values)):
        raise Violation(f"get() returned {len(values)} values of {order.count} items")
    for index, value in enumerate(values):
        if isinstance(value, Value):
            if not _is_of(push, value) or value.index != index:
                raise Violation(f"get() returned {value} for item {index} of push {order.number}")
        elif not isinstance(value, BaseException) or order.errors == "raise":
            raise Violation(f"get() returned {value!r} for item {index}")
        elif problem := _blameless(world, push, index, value):
            raise Violation(problem)


def may_lack(world: Any, push: Any, count: int) -> bool:
    """Whether so few of an open map's items are all, for its producer could put, or say again, no more."""
    order = push.order
    return bool(order.orphan) and count < order.count and (not push.returned or world.is_bereft(push))


def check_one(push: Any, value: Any, what: str, index: int | None = None) -> None:
    """See that a result is one of this push; and of this item, if it is said of which.

    Raises:
        Violation: If not.
    """
    right = isinstance(value, Value) and _is_of(push, value)
    if not right or (index is not None and value.index != index):
        raise Violation(f"{what} of push {push.order.number} is {value}")


def _is_of(push: Any, value: Value) -> bool:
    """Whether it is a result of this push; or may be one that was in its memo, which the oracle knows."""
    return value.function == value.item and (value.function == push.order.number or bool(push.order.memo))


def check_all(world: Any, push: Any, indexes: list[int]) -> None:
    """See that each item was among these, once.

    Raises:
        Violation: If not.
    """
    if push.order.first:
        if len(indexes) < push.order.first or len(set(indexes)) < len(indexes):
            raise Violation(f"{indexes} are all of {push.order.first} results")
        return
    fewer = may_lack(world, push, len(indexes))
    if sorted(indexes) != list(range(len(indexes) if fewer else push.order.count)):
        raise Violation(f"{indexes} are all results of {push.order.count} items")


def _blameless(world: Any, push: Any, index: int, error: BaseException) -> str:
    what = push.order.items.get(index, "")
    if isinstance(error, SourceFailedError):
        source = world.pushes[push.order.source].order if push.order.source >= 0 else None
        fails = source is not None and (
            source.items.get(index, "").startswith("fails") or world.ledger.deaths.get((source.number, index), 0)
        )
        return "" if fails else f"item {index} of push {push.order.source} does not fail"
    if isinstance(error, WorkerLostError):
        return "" if world.ledger.deaths.get((push.order.number, index), 0) else f"item {index} killed nobody"
    if isinstance(error, ItemTimeoutError):
        slow = what == "long" or world.ledger.was_stopped(push.order.number, index)
        return "" if slow else f"item {index} is not long"
    return "" if what.startswith("fails") else f"item {index} does not fail"


def unfed(world: Any, push: Any, error: BaseException) -> str:
    """Why the producer of an open map should not have been told this; "" if it is true."""
    if "silent for longer than its lease" in str(error):
        return "" if world.faults.done else "nothing has befallen it"
    if "has lost items of the map" in str(error):
        return "" if world.lost_from(push) else "it was not lost"
    if isinstance(error, DamagedError):
        return "it is damaged"
    return unsound(world, push, error)


def _tried_again(world: Any, push: Any, error: BaseException) -> bool:
    """Whether it was told that: by an operator, or as its owner had closed the map, and died before it said so."""
    number, count = push.order.number, push.order.count
    again = push.order.id in world.requeued or any(world.ledger.tries(number, one) > 1 for one in range(count))
    return "was tried again" in str(error) and again


def unsound(world: Any, push: Any, error: BaseException) -> str:
    """Why a caller should not have been told this; "" if it is true."""
    if isinstance(error, SourceFailedError) or "whose results are its items" in str(error):
        return _unsound_chain(world, world.pushes[push.order.source], error)
    return _unsound(world, push, error)


def _unsound(world: Any, push: Any, error: BaseException) -> str:
    order = push.order
    if isinstance(error, (DamagedError, MapFailedError, ResultsGoneError)) and order.id in world.damaged:
        return ""
    if isinstance(error, ReplacedError):
        later = [
            one for one in world.pushes.values() if one is not push and one.order.id == order.id and one.began
        ]
        earlier = push.tries > 1 and world.lost_from(push)  # of its producer's, which the server knows again
        return "" if later or earlier else "nobody has pushed its id again"
    if isinstance(error, ResultsGoneError):
        lost = order.id in world.deleted or world.lost_since(push) or _tried_again(world, push, error)
        lost = lost or (bool(order.orphan) and world.lost_from(push))
        later = [one for one in world.of_id(order.id) if one is not push and not 0 < one.returned < push.returned]
        return "" if lost or later else "it was neither deleted nor lost"
    if isinstance(error, MapCanceledError):
        others = world.replacers.get(order.id, set()) - {order.number if push.tries == 1 else None}
        orphan = order.orphan == "cancel" and world.faults.done
        return "" if order.id in world.cancels or others or orphan else "nobody has cancelled it"
    if isinstance(error, MapFailedError):
        return "" if order.id in world.deleted or world.lost_since(push) else "nothing of it can fail as a whole"
    if isinstance(error, WorkerLostError):
        return "" if world.ledger.deaths else "no process has died"
    if isinstance(error, ItemTimeoutError):
        slow = "long" in order.items.values() or world.ledger.stopped
        return "" if slow else "none of its items is long"
    if isinstance(error, items.Bad):
        return "" if any(what.startswith("fails") for what in order.items.values()) else "none of its items fails"
    return "it is none of what may happen"


def _unsound_chain(world: Any, source: Any, error: BaseException) -> str:
    """The same of what is told of the map whose results are its items."""
    order = source.order
    if isinstance(error, SourceFailedError):
        fails = any(what.startswith("fails") for what in order.items.values()) or world.ledger.deaths
        return "" if fails else "nothing fails in its source"
    others = [one for one in world.of_id(order.id) if one is not source]
    again = any(world.ledger.tries(order.number, one) > 1 for one in range(order.count))
    ended = order.id in world.deleted | world.cancels | world.damaged
    return "" if ended or again or others or world.lost_from(source) else "nothing has befallen its source"
