"""Reads a long list from Redis in round trips of bounded size, as far as the last elements tell of the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

_BYTES = 8 << 20  # of one round trip: more takes longer, as it no longer fits a processor's cache
_FIRST = 16  # elements of the first one, while nothing is known of their size
_MOST = 10_000  # elements of one round trip
_GROWTH = 4  # times as many as in the one before, at most


class ListReader:
    """Remembers how large the elements of one list are.

    Args:
        connection: A redis-py connection.
        key: Of the list.
        ask: Has a function say one command to the server, and returns the reply; for whoever wants to know more in
            the same round trip.
    """

    def __init__(
        self, connection: Any, key: str, ask: Callable[[Callable[[Any], object]], Any] | None = None
    ) -> None:
        self._ask: Callable[[Callable[[Any], object]], Any] = ask or (lambda command: command(connection))
        self._key = key
        self._count = _FIRST

    def batch(self, start: int, end: int | None = None) -> list[bytes]:
        """Some elements from position ``start`` to before ``end``: none only if there is none there."""
        stop = start + self._count if end is None else min(start + self._count, end)
        if start >= stop:
            return []
        batch: list[bytes] = self._ask(lambda server: server.lrange(self._key, start, stop - 1))
        if batch:
            size = sum(map(len, batch)) / len(batch)
            fitting = int(_BYTES / max(size, 1))
            self._count = max(1, min(_MOST, _GROWTH * self._count, fitting))  # the next ones may be larger
        return batch

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The elements from position ``start`` to before ``end``, or to where the list ends when that is reached.

        A batch is in memory at a time.
        """
        while batch := self.batch(start, end):
            start += len(batch)
            yield from batch
