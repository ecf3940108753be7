"""Reading results as they come, from a map whose chunks are committed by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest

from taskq import DamagedError, Queue, ResultsGoneError
from taskq.maps import arrivals
from taskq.maps.arrivals import Arrivals
from taskq.maps.claim import Claim
from taskq.maps.runner import run_chunk
from taskq.maps.store import MapStore
from taskq.payload import codec
from taskq.payload.function import Function
from taskq.views.timeline import TimelineNote
from tests import jobs

NOTE = TimelineNote("here", "w", 1, 0)


class Map:
    """0..7 inverted two by two: item 0 fails."""

    def __init__(self, queue: Queue) -> None:
        self.job = queue.map(jobs.invert, range(8), chunksize=2)
        self.store: MapStore = self.job.store
        self.store.open("w")
        self._claims = self.store.read_claims(self.store.claim("w", 9), "w").claims

    def commit(self, number: int) -> None:
        claim: Claim = self._claims[number]
        outcome = run_chunk(Function.of(jobs.invert), self.store.keys, False, claim.range, claim.body, 10**6)
        assert self.store.read_commit(self.store.commit(claim, outcome, NOTE)).committed


def told(reading: Arrivals, *, failures: bool = True, ended: bool = False) -> list[int | str]:
    return [
        one.index if one.failure is None else f"{one.index} {one.failure.type}"
        for one in reading.new(failures=failures, ended=ended)
        if one.failure or codec.loads(one.data) == 1 / one.index
    ]


def test_in_order(any_queue: Queue) -> None:
    made = Map(any_queue)
    reading = Arrivals(made.store)
    assert told(reading) == []
    made.commit(2)
    assert told(reading) == []
    made.commit(0)
    assert told(reading) == ["0 ZeroDivisionError", 1]
    made.commit(1)
    assert told(reading) == [2, 3, 4, 5]
    made.commit(3)
    assert told(reading) == [6, 7]
    assert told(reading, ended=True) == []


def test_a_failure_that_may_be_retried_holds_the_rest_back(any_queue: Queue) -> None:
    made = Map(any_queue)
    reading = Arrivals(made.store)
    made.commit(0)
    assert told(reading, failures=False) == []
    assert told(reading, failures=True) == ["0 ZeroDivisionError", 1]


def test_what_never_ran_is_passed_over_at_the_end(any_queue: Queue) -> None:
    made = Map(any_queue)
    reading = Arrivals(made.store)
    made.commit(1)
    made.commit(3)
    assert told(reading) == []
    assert told(reading, ended=True) == [2, 3, 6, 7]


def test_as_completed(any_queue: Queue) -> None:
    made = Map(any_queue)
    reading = Arrivals(made.store, in_order=False)
    made.commit(2)
    assert told(reading) == [4, 5]
    made.commit(0)
    assert told(reading, failures=False) == [1]
    made.commit(3)
    assert told(reading) == [6, 7, "0 ZeroDivisionError"]
    made.commit(1)
    assert told(reading, ended=True) == [2, 3]


@pytest.mark.parametrize("in_order", [True, False])
def test_in_batches(any_queue: Queue, monkeypatch: pytest.MonkeyPatch, in_order: bool) -> None:
    for name in ("_BATCH", "_SPANS", "_FAILURES"):
        monkeypatch.setattr(arrivals, name, 1)
    made = Map(any_queue)
    for number in (3, 1, 2, 0):
        made.commit(number)
    reading = Arrivals(made.store, in_order=in_order)
    everything = told(reading, ended=True)
    assert len(everything) == 8
    assert everything == (
        ["0 ZeroDivisionError", *range(1, 8)] if in_order else [6, 7, 2, 3, 4, 5, 1, everything[-1]]
    )


def test_nothing_but_failures(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "_BATCH", 2)
    job = any_queue.map(jobs.invert, [0] * 5, chunksize=5)
    job.store.open("w")
    [claim] = job.store.read_claims(job.store.claim("w", 1), "w").claims
    outcome = run_chunk(Function.of(jobs.invert), job.store.keys, False, claim.range, claim.body, 10**6)
    job.store.commit(claim, outcome, NOTE)
    assert [one.index for one in Arrivals(job.store).new(failures=True, ended=True)] == [0, 1, 2, 3, 4]


# -- what is given is proved -----------------------------------------------------------------------------


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("before", ["0", "1", "10", "21", "210"])
@pytest.mark.parametrize("after", ["0123", "1203", "2013", "3210", "12", "3"])
def test_a_list_that_came_back_older(any_queue: Queue, before: str, after: str, in_order: bool) -> None:
    """As after a server's death, or where another took its place: what is given is right, or it is said."""
    made = Map(any_queue)
    for chunk in range(4):
        made.commit(chunk)
    keys, connection = made.store.keys, any_queue.connection
    elements = connection.lrange(keys.results, 0, -1)
    of_chunk = {"0": elements[:1], "1": elements[1:3], "2": elements[3:5], "3": elements[5:]}
    spans = dict(zip("0123", connection.lrange(keys.spans, 0, -1), strict=True))

    def have(chunks: str) -> None:
        connection.delete(keys.results, keys.spans)
        for chunk in chunks:
            connection.rpush(keys.results, *of_chunk[chunk])
            connection.rpush(keys.spans, spans[chunk])

    have(before)
    reading = Arrivals(made.store, in_order=in_order)
    given = list(reading.new(failures=True, ended=False))
    same = after.startswith(before)
    with nullcontext() if same else pytest.raises(ResultsGoneError, match="came back as it was"):
        have(after)
        given += reading.new(failures=True, ended=False)
        have("".join(sorted("0123", key=(after + "0123").index)))
        given += reading.new(failures=True, ended=True)
        reading.prove()
    if same:
        assert sorted(one.index for one in given) == list(range(8))
        assert all(one.failure or codec.loads(one.data) == 1 / one.index for one in given)


def whole(reading: Arrivals) -> list[int]:
    """Read to the end of a map that has ended, with the proof."""
    given = [one.index for one in reading.new(failures=True, ended=True)]
    reading.prove()
    return given


def repeated(made: Map) -> None:
    made.store.connection.rpush(made.store.keys.spans, "1:1")
    made.store.connection.rpush(made.store.keys.results, made.store.connection.lindex(made.store.keys.results, 0))


def removed(made: Map) -> None:
    made.store.connection.ltrim(made.store.keys.spans, 0, 2)
    made.store.connection.ltrim(made.store.keys.results, 0, 4)


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("change", [
    removed,
    lambda made: made.store.connection.rpop(made.store.keys.results),
    lambda made: made.store.connection.delete(made.store.keys.results, made.store.keys.spans),
    lambda made: made.store.connection.hdel(made.store.keys.errors, "0"),
])  # fmt: skip
def test_what_is_missing_is_said(any_queue: Queue, in_order: bool, change: Callable[[Map], object]) -> None:
    made = Map(any_queue)
    for number in range(4):
        made.commit(number)
    change(made)
    reading = Arrivals(made.store, in_order=in_order)
    with pytest.raises(DamagedError, match=r"what became of item|fewer elements"):
        whole(reading)


def test_a_result_that_is_repeated(any_queue: Queue) -> None:
    made = Map(any_queue)
    for number in range(4):
        made.commit(number)
    repeated(made)
    in_order, as_completed = Arrivals(made.store), Arrivals(made.store, in_order=False)
    assert told(in_order, ended=True) == ["0 ZeroDivisionError", *range(1, 8)], "it is given once"
    with pytest.raises(DamagedError, match="item 1 is accounted for twice"):
        whole(as_completed)


@pytest.mark.parametrize("in_order", [True, False])
def test_a_map_that_ended_early_has_less_to_prove(any_queue: Queue, in_order: bool) -> None:
    made = Map(any_queue)
    made.commit(2)
    reading = Arrivals(made.store, in_order=in_order)
    assert told(reading, ended=True) == [4, 5]
    reading.prove()
