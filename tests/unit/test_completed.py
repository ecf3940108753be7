"""Results in the order of completion, each beside the span that tells of which item it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import DamagedError, ItemError, ResultsGoneError, SignatureError
from taskq.maps.completed import Completed
from taskq.maps.info import MapInfo, read_info
from taskq.maps.reader import AtEnd
from taskq.payload import codec, results, signing
from taskq.redis.keys import MapKeys

KEYS = MapKeys("job", "0" * 32)
PLACE = (KEYS.results, KEYS.incarnation)
Spans = list[tuple[int, int]]


class Store:
    """What a map's reader says of a list of results, in which each result is its item's index."""

    keys, place = KEYS, PLACE

    def __init__(self, spans: Spans, *, batch: int = 1000, data: list[bytes] | None = None) -> None:
        self.told = spans
        self.data = sealed(spans) if data is None else data
        self.size = batch
        self.batches = self.rounds = 0

    @property
    def results(self) -> Store:
        return self

    def batch(self, first: int, end: int | None = None) -> list[bytes]:
        self.batches += 1
        return self.data[first : min(first + self.size, len(self.data) if end is None else end)]

    def at_end(self, first: int, count: int) -> AtEnd:
        return AtEnd(total(0), len(self.data), 0, self.told[first : first + count])

    def info(self) -> MapInfo:
        return total(0)

    def come_back_as(self, spans: Spans) -> None:
        """As after a server's death."""
        self.told, self.data = spans, sealed(spans)

    def spans(self, first: int, count: int) -> Spans:
        self.rounds += 1
        return self.told[first : first + count]


def sealed(spans: Spans) -> list[bytes]:
    values = [codec.dumps(index) for start, count in spans for index in range(start, start + count)]
    return results.sealed(PLACE, values, spans)


def reading(store: Store) -> Completed:
    return Completed(store)  # type: ignore[arg-type]


def everything(completed: Completed) -> list[Any]:
    found: list[Any] = []
    while completed.has(len(found)):
        found.append(completed.value(len(found)))
    return found


def proved(completed: Completed, count: int) -> list[Any]:
    """All that is there, with the proof."""
    found = everything(completed)
    completed.prove(total(count))
    return found


def total(count: int) -> Any:
    return read_info({b"total": str(count).encode()})


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(signing.VARIABLE, "0123456789abcdef" * 2)
    yield
    signing._in_use.clear()


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 20)), max_size=30), st.integers(1, 50))
def test_each_result_is_of_its_item(spans: Spans, batch: int) -> None:
    expected = [index for start, count in spans for index in range(start, start + count)]
    assert everything(reading(Store(spans, batch=batch))) == expected


def test_it_reads_ahead() -> None:
    store = Store([(start, 10) for start in range(0, 1000, 10)], batch=100)
    assert everything(reading(store)) == list(range(1000))
    assert store.batches == 10
    assert store.rounds == 2, "and one that says that there are no more"


def test_what_lies_behind_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map may have millions of chunks."""
    monkeypatch.setattr("taskq.maps.spans_read.BATCH", 10)
    store = Store([(start, 2) for start in range(0, 1000, 2)], batch=7)
    completed = reading(store)
    for position in range(1000):
        assert completed.has(position)
        assert completed.value(position) == position
        assert len(completed._spans) <= 10
    assert not completed.has(1000)
    for position in (3, 999, 500, 0):
        assert completed.has(position), "those before are read again"
        assert completed.value(position) == position
    assert not completed.has(1000)
    completed.prove(total(1000))


def test_a_list_that_grows() -> None:
    store = Store([])
    completed = reading(store)
    assert not completed.has(0)
    for start in (7, 0, 3):
        at = len(store.data)
        store.told.append((start, 2))
        store.data += sealed([(start, 2)])
        assert [completed.has(at), completed.has(at + 1), completed.has(at + 2)] == [True, True, False]
        assert completed.has(at)
        assert completed.value(at) == start
        assert completed.has(at + 1)
        assert completed.value(at + 1) == start + 1


def test_a_result_of_which_no_span_tells() -> None:
    store = Store([(0, 3)])
    store.data.append(codec.dumps(3))
    completed = reading(store)
    assert everything(completed) == [0, 1, 2]
    with pytest.raises(DamagedError, match="has 4 elements, and the map 3 items"):
        completed.prove(total(3))


def test_a_result_that_is_not_there() -> None:
    store = Store([(0, 3)])
    del store.data[1]
    completed = reading(store)
    assert everything(completed) == [0, 2]
    with pytest.raises(DamagedError, match="has 2 elements, and the map 3 items"):
        completed.prove(total(3))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([(0, 2), (2, 2), (8, 1)], [(0, 5), (5, 4)]),  # there were more spans of fewer items
        ([(3, 2)], [(0, 3), (3, 6)]),
        ([(0, 2), (3, 2)], [(0, 2), (2, 7)]),
    ],
)
def test_what_was_read_of_a_list_that_came_back_older(before: Spans, after: Spans) -> None:
    store = Store(before)
    completed = reading(store)
    assert everything(completed)
    store.come_back_as(after)
    with pytest.raises(ResultsGoneError, match="read them again"):
        proved(completed, 9)


def test_a_list_that_came_back_older_between_two_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of that moment on there are other spans, or other elements, than were read before."""
    store = Store([(3, 2)])
    for name in ("spans", "batch"):
        completed, reads = reading(store), getattr(Store, name)

        def come_back(self: Store, *args: int, reads: Any = reads, name: str = name) -> Any:
            found = reads(self, *args)
            monkeypatch.setattr(Store, name, reads)
            self.come_back_as([(0, 3), (3, 2)])
            return found

        store.come_back_as([(3, 2)])
        monkeypatch.setattr(Store, name, come_back)
        with suppress(ResultsGoneError):
            assert proved(completed, 5) == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("key")
def test_a_signed_result_in_a_list_that_came_back_older_is_no_forgery() -> None:
    store = Store([(0, 2), (2, 2)], batch=2)
    completed = reading(store)
    assert completed.has(0)
    assert completed.value(1) == 1
    store.come_back_as([(0, 2), (6, 2)])
    assert completed.has(2)
    with pytest.raises(ResultsGoneError, match="read them again"):
        completed.value(2)


def test_what_can_not_be_read() -> None:
    completed = reading(Store([(5, 2)], data=[b"no pickle", b"cno_such_module\nf\n."]))
    assert completed.has(0)
    with pytest.raises(DamagedError):
        completed.value(0)
    assert completed.has(1)
    with pytest.raises(ItemError, match="result of item 6"):
        completed.value(1)


@pytest.mark.usefixtures("key")
def test_signed_results_are_of_their_items() -> None:
    spans = [(5, 2), (0, 2)]
    assert everything(reading(Store(spans))) == [5, 6, 0, 1]
    data = sealed(spans)
    completed = reading(Store(spans, data=[data[1], data[0], *data[2:]]))
    assert completed.has(0)
    with pytest.raises(SignatureError, match="item 5"):
        completed.value(0)
    completed = reading(Store([(0, 2), (5, 2)], data=data))
    assert completed.has(0)
    with pytest.raises(SignatureError):
        completed.value(0)


@pytest.mark.parametrize(
    ("spans", "text"),
    [
        ([(0, 4), (5, 5)], "became of item 4"),
        ([(0, 5), (4, 5)], "twice"),
        ([(0, 5), (5, 6)], "of 10 items"),
        ([(5, 5), (0, 5), (0, 5)], "accounted for twice"),
    ],
)
def test_spans_which_prove_nothing(spans: Spans, text: str) -> None:
    with pytest.raises(DamagedError, match=text):
        reading(Store(spans)).prove(total(10))


def test_spans_which_prove_it() -> None:
    assert len(proved(reading(Store([(5, 5), (0, 3), (4, 1), (3, 1)])), 10)) == 10
    assert proved(reading(Store([])), 0) == []


def test_the_proof_reads_each_span_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskq.maps.spans_read.BATCH", 10)
    store = Store([(start, 1) for start in range(100)])
    completed = reading(store)
    assert len(everything(completed)) == 100
    before = store.rounds
    completed.prove(total(100))
    assert store.rounds - before <= 11, "and one that says that there are no more"
