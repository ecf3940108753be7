"""Reads a map's results as they come, in input order or as completed, in bounded memory.

Results lie in Redis in the order of completion. For the input order only their positions are kept here, a few
numbers for each chunk that is ahead of its turn; a value is fetched when its turn has come.

A server that came back as it was some moments before may have other results at these positions. So what was told
is right only if the spans that were read stand there still, at the end; a hash of them is kept here.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from taskq.errors import DamagedError, ResultsGoneError
from taskq.maps import spans_read
from taskq.maps.reader import MapReader
from taskq.maps.spans_read import SpansRead
from taskq.payload.outcome import ItemFailure

_BATCH = 1000  # failures fetched in one round trip
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
        start: Passes over so many: items if in order, else results. All failures are told then, all the same.
        discards: The map keeps no results: only failures are told, as they come.
    """

    def __init__(self, store: MapReader, *, in_order: bool = True, start: int = 0, discards: bool = False) -> None:
        self._store, self._discards = store, discards
        self._results = store.results
        self.in_order = in_order and not discards
        self._spans = SpansRead(store)
        self._position = 0  # in the result list: where the next span to be read begins
        # Spans that were read and not told of yet: in order a heap of (item index, position, count), else a queue
        # of (position, item index, count).
        self._ahead: list[tuple[int, int, int]] = []
        self._read: deque[tuple[int, int, int]] = deque()
        self.next = start
        """The item that is told next, if in order; else how many results were told, or passed over."""
        self._told: set[int] = set()  # failures, while they are few
        self._failures = 0  # how many were told
        self._late = False  # at the last check there was more than was read

    def new(self, *, failures: bool, ended: bool) -> Iterator[Arrival]:
        """What has come since the last call. It may be left at any point: the next call goes on from there.

        Args:
            failures: Whether failures are final, for no retry will replace them.
            ended: Whether nothing more will come: items without any outcome are passed over.
        """
        if not self.in_order:
            yield from self._as_completed(failures=failures, ended=ended)
            return
        while True:
            more = self._read_spans()
            yield from self._run(failures=failures, ended=ended and not more)
            if not more:
                return

    def _read_spans(self) -> bool:
        """Note where a batch of results lies; whether there may be more."""
        if self._discards:
            return False
        batch = self._spans.more()
        for start, count in batch:
            if not self.in_order:
                self._read.append((self._position, start, count))
            elif start + count > self.next:
                heapq.heappush(self._ahead, (start, self._position, count))
            self._position += count
        return len(batch) == spans_read.BATCH

    def check(self) -> bool:
        """See that all that was told is right; to be called at the end.

        Returns:
            Whether all results were read. Else some have come since: RQ's job may end (it is cancelled) a moment
            before its map does.

        Raises:
            ResultsGoneError: If the server has lost some of what was read, and has others in their places; or if
                what had failed was tried again meanwhile, and has results now.
            DamagedError: If there are more results, or fewer, than spans tell of: then they are other items'.
        """
        if self._discards:
            self._check_failures(self._store.info().failed)
            return True
        # That twice, for the server may come back as it was some moments before between the two looks it takes.
        if self._trouble() and (trouble := self._trouble()):
            raise DamagedError(trouble)
        return not self._late

    def _trouble(self) -> str:
        """How the result list and its spans don't fit each other; "": they do.

        Raises:
            ResultsGoneError: As ``check``.
        """
        self._spans.prove()
        end = self._store.at_end(self._spans.count, spans_read.BATCH)
        self._check_failures(end.info.failed)
        self._late = bool(end.spans)
        told = self._position + sum(count for _start, count in end.spans)
        if told == end.results or len(end.spans) == spans_read.BATCH:
            return ""
        return f"{self._store.keys.results} has {end.results} elements, and its spans tell of {told}"

    def _check_failures(self, failed: int) -> None:
        if self._failures > failed:
            raise ResultsGoneError(
                f"the map {self._store.keys.id} was tried again meanwhile: of the {self._failures} items of which "
                f"it was told that they have failed, {failed} have. Read its results again"
            )

    def _run(self, *, failures: bool, ended: bool) -> Iterator[Arrival]:
        while True:
            while self._ahead and self._ahead[0][0] <= self.next:
                start, position, count = self._ahead[0]
                yield from self._values(start, position, count, self.next - start)
                self.next = max(self.next, start + count)
                heapq.heappop(self._ahead)
            if failures:
                yield from self._failed()
            if self._ahead and self._ahead[0][0] <= self.next:
                continue
            if not (ended and self._ahead):
                return
            self.next = self._ahead[0][0]  # what lies before it never ran

    def _failed(self) -> Iterator[Arrival]:
        """The failures that come next, as long as there is no gap between them."""
        while True:
            until = min(self.next + _BATCH, self._ahead[0][0]) if self._ahead else self.next + _BATCH
            found = self._store.failures_at(range(self.next, until))
            for failure in found:
                if failure is None:
                    return
                self._failures += 1
                self.next += 1
                yield Arrival(failure.index, failure=failure)
            if not found:
                return

    def _values(self, start: int, position: int, count: int, told: int) -> Iterator[Arrival]:
        """Those of one span; ``told``: how many of them were told, or are passed over."""
        for number, data in enumerate(self._results.read(position + told, position + count), start + told):
            self.next += 1
            yield Arrival(number, data)

    def _as_completed(self, *, failures: bool, ended: bool) -> Iterator[Arrival]:
        more = True
        while more:
            more = self._read_spans()
            while self._read:
                position, start, count = self._read[0]
                told = max(0, self.next - position)
                if told < count:
                    yield from self._values(start, position, count, told)
                    self.next = position + count
                self._read.popleft()
        if not failures or not (ended or len(self._told) < self._store.failed() <= _FAILURES):
            return
        for failure in self._store.each_failure():
            if failure.index not in self._told:
                self._told.add(failure.index)
                self._failures += 1
                yield Arrival(failure.index, failure=failure)
