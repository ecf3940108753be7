"""Reads a map's results as they come, in input order or as completed, in bounded memory.

Results lie in Redis in the order of completion. For the input order only their positions are kept here, a few
numbers for each chunk that is ahead of its turn; a value is fetched when its turn has come.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from taskq.errors import DamagedError
from taskq.maps.coverage import Coverage
from taskq.maps.reader import MapReader
from taskq.maps.spans_read import SpansRead
from taskq.payload.outcome import ItemFailure

_BATCH = 1000  # failures fetched in one round trip
_SPANS = 10_000  # spans read in one round trip
_FAILURES = 1000  # up to so many are looked through again and again; more are told at the end


@dataclass(frozen=True)
class Arrival:
    """One item that has ended: its pickled result, or its failure."""

    index: int
    data: bytes = b""
    failure: ItemFailure | None = None


class Arrivals:
    """Gives every item once.

    Args:
        store: The map's.
        in_order: Item 0 first; else as completed, values before the failures of the same look.
    """

    def __init__(self, store: MapReader, *, in_order: bool = True) -> None:
        self._store = store
        self._results = store.results
        self._in_order = in_order
        self._spans = SpansRead(store)
        self._position = 0  # in the result list: where the next span to be read begins
        self._ahead: list[tuple[int, int, int]] = []  # heap of (item index, position, count)
        self._next = 0  # item index
        self._passed: int | None = None  # the first item that was passed over
        self._told: set[int] = set()  # failures, as completed
        self._given: Coverage | None = None  # results, as completed

    def new(self, *, failures: bool, ended: bool) -> Iterator[Arrival]:
        """What has come since the last call.

        Args:
            failures: Whether failures are final, for no retry will replace them.
            ended: Whether nothing more will come: items without any outcome are passed over.

        Raises:
            ResultsGoneError: If it is seen that what was read before is not there any more: see ``SpansRead``.
            DamagedError: If spans and results don't fit each other.
        """
        if not self._in_order:
            yield from self._as_completed(failures=failures, ended=ended)
            return
        while True:
            more = self._read_spans()
            yield from self._run(failures=failures, ended=ended and not more)
            if not more:
                return

    def _read_spans(self) -> bool:
        """Note where a batch of results lies; whether there may be more."""
        batch = self._spans.more(_SPANS)
        for start, count in batch:
            heapq.heappush(self._ahead, (start, self._position, count))
            self._position += count
        return len(batch) == _SPANS

    def _run(self, *, failures: bool, ended: bool) -> Iterator[Arrival]:
        while True:
            while self._ahead and self._ahead[0][0] <= self._next:
                start, position, count = heapq.heappop(self._ahead)
                if start == self._next:
                    yield from self._values(start, position, count)
                    self._next += count
            if failures:
                yield from self._failed()
            if self._ahead and self._ahead[0][0] <= self._next:
                continue
            if not (ended and self._ahead):
                return
            self._pass_over(self._ahead[0][0])  # what lies before it never ran

    def _pass_over(self, until: int) -> None:
        self._passed = self._next if self._passed is None else self._passed
        self._next = until

    def _failed(self) -> Iterator[Arrival]:
        """The failures that come next, as long as there is no gap between them."""
        while True:
            until = min(self._next + _BATCH, self._ahead[0][0]) if self._ahead else self._next + _BATCH
            found = self._store.failures_at(range(self._next, until))
            for failure in found:
                if failure is None:
                    return
                yield Arrival(failure.index, failure=failure)
                self._next += 1
            if not found:
                return

    def _values(self, start: int, position: int, count: int) -> Iterator[Arrival]:
        number = start
        for data in self._results.read(position, position + count):
            yield Arrival(number, data)
            number += 1
        if number < start + count:
            self._store.info()  # raises, if the map is gone
            self._spans.prove()
            raise DamagedError(f"{self._store.keys.results} has fewer elements than its spans say")

    def _as_completed(self, *, failures: bool, ended: bool) -> Iterator[Arrival]:
        more = True
        while more:
            more = self._read_spans()
            spans, self._ahead = sorted(self._ahead, key=lambda span: span[1]), []
            self._given = self._given or Coverage(self._store.info().total)
            for span in spans:
                yield from self._values(*span)
                self._given.add(span[0], span[2])
        if not failures or not (ended or len(self._told) < self._store.failed() <= _FAILURES):
            return
        for failure in self._store.each_failure():
            if failure.index not in self._told:
                self._told.add(failure.index)
                yield Arrival(failure.index, failure=failure)

    def prove(self) -> None:
        """To be called when ``new`` was told that the map has ended: see that each item was given, and once.

        Raises:
            ResultsGoneError: If what was read before is not there any more: see ``SpansRead``; or the map is gone.
            DamagedError: If not, and every item was tried.
        """
        info = self._store.info()
        self._spans.prove()
        if self._given:
            self._given.check()
        missing = self._missing(info.total) if info.complete else None
        if missing is not None:
            raise DamagedError(f"nothing tells what became of item {missing}, of {info.total} items")

    def _missing(self, total: int) -> int | None:
        """The first item that was not given."""
        if self._in_order:
            return self._next if self._passed is None and self._next < total else self._passed
        gaps = (self._given or Coverage(total)).gaps(_BATCH)
        items = (index for start, count in gaps for index in range(start, start + count))
        return next((index for index in items if index not in self._told), None)
