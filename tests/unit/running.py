"""Runs the items of one chunk as a pool process does, and reads what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from taskq.maps import body
from taskq.maps.body import Body
from taskq.maps.runner import run_chunk
from taskq.payload import codec
from taskq.payload.function import Function
from taskq.payload.outcome import ChunkOutcome, Part
from taskq.payload.ranges import Range
from taskq.redis.keys import MapKeys

LIMIT = 10_000
KEYS = MapKeys("job", "0" * 32)


def run(
    target: Any,
    items: Any,
    *,
    start: int = 0,
    only: Iterable[int] = (),
    part: Range | None = None,
    star: bool = False,
    limit: int = LIMIT,
    **options: Any,
) -> ChunkOutcome:
    """Run the items: those at the positions ``only``, or all; of them those in the range ``part``, or all."""
    payload = body.write(KEYS, start, items)
    span = Range(start, len(items))
    if only := sorted(only):
        span, payload = Body.read(KEYS, payload).part(only)
    outcome = run_chunk(Function.of(target), KEYS, star, part or span, payload, limit, **options)
    assert isinstance(outcome, ChunkOutcome)
    return outcome


def items_of(parts: Iterable[Part]) -> dict[int, Any]:
    """Item index -> item, of the bodies of these parts."""
    found: dict[int, Any] = {}
    for part in parts:
        one = Body.read(KEYS, part.body)
        assert one.header.range == part.range
        indexes, _first, items = one.within(part.range)
        found.update(zip(indexes, [one.loads(item) for item in items] if one.loads else items, strict=True))
    return found


def values(outcome: ChunkOutcome) -> list[Any]:
    return [codec.loads(data) for data in outcome.values]


class Unreadable:
    """An item that raises where it is read."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        return _raise, (self.error,)


def _raise(error: BaseException) -> None:
    raise error
