"""A map's results in the order of completion, each checked against the span that tells of which item it is."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from taskq.errors import DamagedError
from taskq.maps.info import MapInfo
from taskq.maps.reader import MapReader
from taskq.maps.spans_read import SpansRead, came_back_older, covered
from taskq.payload import results


class Completed:
    """Reads ahead, a batch at a time, and keeps nothing of what lies behind: a map may have millions of chunks.

    Spans come first, and then elements of which they tell. The server may come back as it was some moments before
    between any two reads; so what was read is right if these spans are there still, at the end (``prove``).

    Args:
        store: The map's.
    """

    def __init__(self, store: MapReader) -> None:
        self._store = store
        self._begin()

    def _begin(self) -> None:
        self._first = 0  # position of the first element of the batch
        self._batch: list[bytes] = []
        self._read = SpansRead(self._store)
        self._start = self._end = 0  # of the positions of which the spans tell that are kept
        self._ends: list[int] = []  # of each of these: the position after its last element
        self._spans: list[tuple[int, int]] = []

    def has(self, position: int) -> bool:
        """Whether there is a result at this position; it is read, and those behind it.

        Raises:
            ResultsGoneError: If it is seen that the server has lost some that were read.
        """
        if self._first <= position < self._first + len(self._batch):
            return True
        if position < self._start:
            self._begin()
        while position >= self._end:
            if not self._read_spans():
                return False
        batch = self._store.results.batch(position, self._end)
        if batch:
            self._first, self._batch = position, batch
        return bool(batch)

    def _read_spans(self) -> bool:
        """Learn of the next elements, in place of those before; whether there were any."""
        spans = self._read.more()
        if spans:
            self._spans, self._batch = spans, []
            self._start = end = self._end
            self._ends = [end := end + count for _start, count in spans]
            self._end = end
        return bool(spans)

    def value(self, position: int) -> Any:
        """The result at a position at which there is one.

        Raises:
            SignatureError: If there is a secret key, and it is not signed for its item.
            DamagedError: If it is no pickle.
            ResultsGoneError: Instead of these, if the server has lost some that were read.
            ItemError: If it can't be unpickled in this process.
        """
        number = bisect_right(self._ends, position)
        start, count = self._spans[number]
        index = start + position - (self._ends[number] - count)
        try:
            return results.value_of(self._store.place, index, self._batch[position - self._first])
        except DamagedError as error:
            if self._came_back_older(position):
                raise came_back_older(self._store.keys.id) from error
            raise

    def prove(self, info: MapInfo) -> None:
        """At the end of a map all of whose items have results: see that each was among those that were read.

        To be called once ``has`` has said that there are no more.

        Raises:
            DamagedError: If an item is missing, or was there twice; or the list has lost elements, or has others.
            ResultsGoneError: If the server has lost some that were read, and has others in their places.
        """
        there = self._store.at_end(0, 1).results
        coverage, everything = covered(self._store, info.total)
        wanted = info.terms.first if info.enough else info.total
        (coverage.check if info.enough else coverage.prove)()
        if not everything.is_as(self._read):
            raise came_back_older(self._store.keys.id)
        if there != wanted:
            raise DamagedError(f"{self._store.keys.results} has {there} elements, and the map {wanted} items")

    def _came_back_older(self, position: int) -> bool:
        """Whether the server says something else now of what was read, up to this position."""
        element = self._batch[position - self._first]
        return not self._read.stand() or self._store.results.batch(position, position + 1) != [element]
