"""Reading results as they come, from a map whose chunks are committed by hand."""

from __future__ import annotations

from typing import Any

import pytest

from taskq import Queue
from taskq.maps import arrivals, spans_read
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
    """0..7 inverted two by two: item 0 fails. Or another function of them."""

    def __init__(self, queue: Queue, function: Any = jobs.invert) -> None:
        self.job = queue.map(function, range(8), chunksize=2)
        self._function = function
        self.store: MapStore = self.job.store
        self.store.open("w")
        self._claims = self.store.read_claims(self.store.claim("w", 9), "w").claims

    def commit(self, number: int) -> None:
        claim: Claim = self._claims[number]
        outcome = run_chunk(Function.of(self._function), self.store.keys, False, claim.range, claim.body, 10**6)
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
    for where, name in ((arrivals, "_BATCH"), (spans_read, "BATCH"), (arrivals, "_FAILURES")):
        monkeypatch.setattr(where, name, 1)
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
