"""Reads what has ended of a session's map, in the order of completion: mostly all that is new at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from taskq.errors import DamagedError
from taskq.maps.arrivals import Arrival
from taskq.maps.reader import MapReader, replaced
from taskq.redis import checked
from taskq.redis.keys import MapField

_SPANS = 1000  # read in one round trip
_GUESS = (32, 4096)
"""Results that are read together with their spans, as long as the last ones had fewer bytes than so."""
_FAILURES = 200  # error records read in one round trip: each may be large
_TRIES = 3  # to read all again
_FIELDS = (MapField.INCARNATION, MapField.STATE, MapField.FAILED, MapField.NEXT, MapField.DONE)


class Returns:
    """What has ended of one map.

    A server that came back as it was some moments before has other results in the places of those that were read.
    Then all is read again: what was told is true all the same, and who asks drops what he knows.

    Args:
        store: The map's.
    """

    def __init__(self, store: MapReader) -> None:
        self._store = store
        self._size = 0.0  # bytes of one of the last results
        self.again()

    def again(self) -> None:
        """Read all from the first one on."""
        self._spans = self._position = self._failed = 0
        self._last: bytes | None = None
        self.open = True
        self.items = self.unfinished = 0  # as the server says

    def new(self, waited: Callable[[], Sequence[int]]) -> Iterator[Arrival]:
        """What has come since the last call; afterwards ``open`` says whether more may come.

        Args:
            waited: The items whose end is waited for, the first of them first; asked if one has failed.

        Raises:
            ResultsGoneError, ReplacedError, SignatureError, DamagedError: As ``MapReader.info``.
        """
        more, tries = True, _TRIES
        while more:
            spans, results, failed, is_open = self._ask()
            yield from self._values(spans, results)
            more = len(spans) == _SPANS
            if spans and not self._spans:  # the server has lost elements since
                more, tries = True, tries - 1
                if not tries:
                    raise DamagedError(f"{self._store.keys.results} has fewer elements than its spans say")
            if failed != self._failed:
                yield from self._failures(waited(), failed - self._failed)
                self._failed = failed
        self.open = is_open

    def _ask(self) -> tuple[list[bytes], list[bytes], int, bool]:
        """New spans, the first results that they tell of, how many items have failed, and whether it is open."""
        k = self._store.known
        back = 1 if self._spans else 0
        guess = _GUESS[0] if self._size < _GUESS[1] else 0
        with self._store.connection.pipeline(transaction=False) as pipe:
            pipe.hmget(k.hash, _FIELDS)
            pipe.lrange(k.spans, self._spans - back, self._spans + _SPANS - 1)
            pipe.lrange(k.results, self._position, self._position + guess - 1)  # of 0 results: an empty range
            (incarnation, state, *numbers), spans, results = pipe.execute()
        if incarnation is None:
            self._store.info()  # raises
        if incarnation != k.incarnation.encode():
            raise replaced(k.id)
        if back and spans[:1] != [self._last]:
            self.again()
            return self._ask()
        failed, self.items, done = map(checked.count, numbers)
        self.unfinished = self.items - done - failed
        return spans[back:], results if guess else [], failed, state == b"open"

    def _values(self, spans: list[bytes], results: list[bytes]) -> Iterator[Arrival]:
        for span in spans:
            try:
                start, count = map(int, span.split(b":"))
            except ValueError as error:
                raise DamagedError(f"{self._store.keys.spans} holds {span!r:.80}, which is no span") from error
            while len(results) < count:
                reached = self._position + len(results)
                batch = self._store.results.batch(reached, self._position + count)
                if not batch:
                    self.again()
                    return
                results += batch
            for index, data in enumerate(results[:count], start):
                yield Arrival(index, data)
            self._size = (self._size + sum(map(len, results[:count])) / max(count, 1)) / 2
            results = results[count:]
            self._position += count
            self._spans += 1
            self._last = span

    def _failures(self, waited: Sequence[int], count: int) -> Iterator[Arrival]:
        """The records of so many items; the ones that began first have failed first, mostly."""
        for first in range(0, len(waited), _FAILURES):
            if count <= 0:
                return
            for failure in self._store.failures_at(waited[first : first + _FAILURES]):
                if failure is not None:
                    count -= 1
                    yield Arrival(failure.index, failure=failure)
