"""Gathers a map's results in the order of the items, while it runs: when it ends, little is left to be read."""

from __future__ import annotations

from collections import deque

from taskq.errors import DamagedError, ItemError
from taskq.maps import spans_read
from taskq.maps.reader import MapReader
from taskq.maps.spans_read import SpansRead
from taskq.payload import results

_TRIES = 3  # to read all again


class Gathering:
    """The results so far.

    A server that died may come back as it was some moments before (``appendfsync everysec``). Then the end of the
    list that was read is not there, and what is added instead comes in another order: all is read again.

    Args:
        store: The map's.
        total: How many items it has.
    """

    def __init__(self, store: MapReader, total: int) -> None:
        self._store = store
        self._read, self._read_many = results.reader(store.place), results.reader_of_many(store.place)
        self._total = total
        self._again = _TRIES
        self._begin()

    def _begin(self) -> None:
        # None where nothing has come; an ``ItemError`` for what can't be unpickled here.
        self.results: list[object] = [None] * self._total
        self.unreadable: ItemError | None = None  # the first ``ItemError`` among them
        self._read_spans = SpansRead(self._store)
        self._runs: deque[tuple[int, int]] = deque()  # first item and count of elements that have not been read
        self._known = bytearray(self._total)  # 1: a span tells of this item
        self._position = 0  # in the result list
        self._end = 0  # of what the spans tell of it

    @property
    def spans(self) -> int:
        """How many were read so far."""
        return self._read_spans.count

    def _begin_again(self, trouble: str) -> bool:
        if not self._again:
            raise DamagedError(trouble)
        self._again -= 1
        self._begin()
        return True

    def read_all(self) -> None:
        """Read all that has come."""
        while self.read_some():
            pass

    def read_rest(self, spans: list[tuple[int, int]], count: int) -> None:
        """Read all that is left of a map that has ended.

        Args:
            spans: The next ones, up to ``spans_read.BATCH`` of them.
            count: Elements of the result list.

        Raises:
            As ``read_some``.
        """
        self._note(spans)
        key = self._store.keys.spans
        while True:
            while self._position < count and (self.read_some() or self._begin_again(f"{key} has lost elements")):
                pass
            # What was read in between may have been of others' elements, if there is more than one order of them.
            if self.spans <= 1 or self._read_spans.stand():
                return
            self._begin_again(f"{key} is changed again and again")

    def read_some(self) -> bool:
        """Read a batch of what has come; False if there is nothing new.

        Raises:
            ResultsGoneError: If the map's keys are gone.
            SignatureError: If there is a secret key, and an element is not signed for its item.
            DamagedError: If spans and elements don't fit each other, or one is no pickle.
        """
        if not self._runs:
            self._note(self._store.spans(self.spans, spans_read.BATCH))
        if not self._runs:
            return False
        batch = self._store.results.batch(self._position, self._end)
        if not batch:
            self._store.info()  # raises, if the map is gone
            return self._begin_again(f"{self._store.keys.results} has fewer elements than its spans say")
        self._position += len(batch)
        begin = 0
        while begin < len(batch):
            start, count = self._runs.popleft()
            part = batch[begin : begin + count]
            begin += len(part)
            if len(part) < count:
                self._runs.appendleft((start + len(part), count - len(part)))
            self._put(start, part)
        return True

    def _note(self, spans: list[tuple[int, int]]) -> None:
        """Learn of which items the next elements are."""
        self._read_spans.note(spans)
        for start, count in spans:
            if not 0 <= start <= start + count <= self._total:
                raise DamagedError(f"a run of {count} results begins at item {start}, of {self._total} items")
            if self._known.find(1, start, start + count) >= 0:
                self._begin_again(f"{self._store.keys.spans} tells twice of items from {start} on")
                self._note(self._store.spans(0, spans_read.BATCH))
                return
            self._known[start : start + count] = bytes([1]) * count
            if count:
                self._runs.append((start, count))
                self._end += count

    def put_failure(self, index: int, error: BaseException) -> None:
        """Have the error of an item in the place of its result.

        Raises:
            DamagedError: If there is no such item, or it has a result.
        """
        if not 0 <= index < self._total or self._known[index]:
            raise DamagedError(f"item {index} has both a result and an error record, or there is no such item")
        self._known[index] = 1
        self.results[index] = error

    @property
    def present(self) -> list[object]:
        """The results that there are, in the order of the items, where not all items have one."""
        return [result for result, known in zip(self.results, self._known, strict=True) if known]

    def prove(self) -> None:
        """See that every item was accounted for; none can have been twice.

        Raises:
            DamagedError: If one is missing.
        """
        missing = self._known.find(0)
        if missing >= 0:
            raise DamagedError(f"nothing tells what became of item {missing}, of {self._total} items")

    def _put(self, start: int, elements: list[bytes]) -> None:
        left, values = iter(elements), list[object]()
        while len(values) < len(elements):
            try:
                values.extend(self._read_many(left, start + len(values)))
            except Exception:  # noqa: BLE001 - whatever the classes of the value raise; what came before it is there
                at = len(values)
                values.append(self._read_one(elements[at], start + at))
        self.results[start : start + len(values)] = values

    def _read_one(self, data: bytes, index: int) -> object:
        """The result of an item, or why it can't be unpickled here."""
        try:
            return self._read(data, index)
        except DamagedError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the classes of the value raise, or their import
            unreadable = results.not_read(f"item {index}", error)
            self.unreadable = self.unreadable or unreadable
            return unreadable
