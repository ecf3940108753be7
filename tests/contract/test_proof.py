"""The proof that a map is complete is one of what is there, also where that changes while it is made."""

from __future__ import annotations

from typing import Any

import pytest

from taskq import DamagedError, Queue, ReplacedError, ResultsGoneError
from taskq.maps import proof
from taskq.maps.proof import Proof, prove
from taskq.redis.lua import Operation
from tests import jobs
from tests.contract.test_arrivals import Map


@pytest.fixture
def complete(any_queue: Queue) -> Map:
    """0..7 inverted two by two: item 0 has failed, and the others have results."""
    made = Map(any_queue)
    for number in range(4):
        made.commit(number)
    return made


def test_it_is_complete(complete: Map) -> None:
    prove(complete.store)


@pytest.mark.parametrize("key", ["spans", "results"])
def test_a_part_of_it_is_gone(any_queue: Queue, complete: Map, key: str) -> None:
    any_queue.connection.lpop(getattr(complete.store.keys, key))
    with pytest.raises(DamagedError, match="7 results" if key == "spans" else "6 results"):
        prove(complete.store)


def test_an_error_record_is_gone(any_queue: Queue, complete: Map) -> None:
    errors = complete.store.keys.errors
    any_queue.connection.hset(errors, "9", any_queue.connection.hget(errors, "0"))
    any_queue.connection.hdel(errors, "0")
    with pytest.raises(DamagedError, match="became of item 0"):
        prove(complete.store)


@pytest.mark.parametrize(("then", "error"), [("deleted", ResultsGoneError), ("pushed again", ReplacedError)])
def test_one_that_is_deleted_meanwhile_is_gone_and_not_damaged(
    any_queue: Queue, complete: Map, monkeypatch: pytest.MonkeyPatch, then: str, error: type[Exception]
) -> None:
    """Nor is anything of the one read that has taken its place, even if that has the same errors."""
    run, k = Operation.__call__, complete.store.keys
    errors = any_queue.connection.hgetall(k.errors)

    def delete_before(self: Operation, *args: Any) -> Any:
        if self is complete.store.scripts.unrecorded:
            monkeypatch.undo()
            complete.job.delete()
            if then == "pushed again":
                any_queue.map(jobs.square, range(8), job_id=k.id)
                any_queue.connection.hset(k.errors, mapping=errors)
        return run(self, *args)

    monkeypatch.setattr(Operation, "__call__", delete_before)
    with pytest.raises(error):
        prove(complete.store)


def test_one_that_came_to_its_end_in_another_order_meanwhile_is_complete(
    any_queue: Queue, complete: Map, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server came back as it was some moments before, between two steps."""
    monkeypatch.setattr(proof, "STEP", 1)
    k, making = complete.store.keys, Proof(complete.store)
    assert making.step() is None
    for key, count in ((k.spans, 1), (k.results, 1)):
        for _ in range(count):
            any_queue.connection.lmove(key, key, "LEFT", "RIGHT")
    while (info := making.step()) is None:
        pass
    assert info.complete
