"""The spans of a map as they were read, one batch after the other; and the proof that they stand there still.

A server that died may come back as it was some moments before, and another that takes its place may be as far
behind. What is added then comes in another order, and a position in the result list means another item.
"""

from __future__ import annotations

import hashlib

from taskq.errors import ResultsGoneError
from taskq.maps.coverage import Coverage
from taskq.maps.reader import MapReader

BATCH = 10_000
"""Spans read in one round trip."""


class SpansRead:
    """Reads on from where it was, and keeps a digest of what it has read: that costs no memory.

    Args:
        store: The map's.
    """

    def __init__(self, store: MapReader) -> None:
        self._store = store
        self.count = 0  # read so far
        self._last: tuple[int, int] | None = None
        self._digest = hashlib.sha256()

    def more(self) -> list[tuple[int, int]]:
        """The next spans, ``BATCH`` of them at most.

        Raises:
            ResultsGoneError: If the last one is not in its place any more.
            Others: As ``MapReader.spans``.
        """
        first = max(0, self.count - 1)  # also the last one: mostly this shows what ``prove`` would
        batch = self._store.spans(first, BATCH + 1)
        if self._last is not None:
            if batch[:1] != [self._last]:
                self._store.info()  # raises, if the map is gone
                raise came_back_older(self._store.keys.id)
            batch = batch[1:]
        batch = batch[:BATCH]
        self.note(batch)
        return batch

    def note(self, batch: list[tuple[int, int]]) -> None:
        """Take these for the next ones that were read."""
        if batch:
            self._last = batch[-1]
            self.count += len(batch)
            _add(self._digest, batch)

    def prove(self) -> None:
        """See that all that was read stands where it was.

        Raises:
            ResultsGoneError: If it does not.
            Others: As ``MapReader.spans``.
        """
        if not self.stand():
            raise came_back_older(self._store.keys.id)

    def stand(self) -> bool:
        """Whether all that was read stands where it was."""
        digest, first = hashlib.sha256(), 0
        while first < self.count and (batch := self._store.spans(first, min(BATCH, self.count - first))):
            _add(digest, batch)
            first += len(batch)
        return digest.digest() == self._digest.digest()

    def is_as(self, other: SpansRead) -> bool:
        """Whether both have read the same, in the same order."""
        return self.count == other.count and self._digest.digest() == other._digest.digest()


def covered(store: MapReader, total: int) -> tuple[Coverage, SpansRead]:
    """Of which items the spans tell that stand there now, and these.

    Args:
        store: The map's.
        total: How many items it has.

    Raises:
        DamagedError: If a span tells of items that there are not.
        ResultsGoneError: If the server has lost some meanwhile.
        Others: As ``MapReader.spans``.
    """
    coverage, read = Coverage(total), SpansRead(store)
    while spans := read.more():
        for start, count in spans:
            coverage.add(start, count)
    return coverage, read


def covered_by_runs(store: MapReader, total: int) -> Coverage:
    """As ``covered``, of a map that keeps no results: they were merged to runs, and still are while it runs.

    So a run may have been read twice, the second time longer; or have gone into one that was read before.

    Raises:
        As ``MapReader.merged``; and DamagedError if a run tells of items that there are not.
    """
    runs: set[tuple[int, int]] = set()
    cursor = -1
    while cursor:
        part = store.merged(max(cursor, 0), BATCH)
        runs.update(part.runs)
        cursor = part.cursor
    coverage, at = Coverage(total), 0
    for start, end in sorted(runs):
        if end > at:
            coverage.add(max(start, at), end - max(start, at))
            at = end
    return coverage


def came_back_older(map_id: str) -> ResultsGoneError:
    """For whoever has read some results that the server has lost since, so that others are in their places now."""
    return ResultsGoneError(
        f"the server came back as it was some moments before, while the results of the map {map_id} were read one "
        "by one, and others are in their places now: read them again, from the first"
    )


def _add(digest: hashlib._Hash, spans: list[tuple[int, int]]) -> None:
    digest.update("".join(f"{start}:{count} " for start, count in spans).encode())
