"""The audit notices whatever may go wrong: else a good report would mean nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rq.job import JobStatus
from rq.results import Result

from taskq import MapJob, Queue
from taskq.maps.store import MapStore
from taskq.payload import codec
from taskq.testing import drain
from tests import jobs
from tests.chaos import audit, works
from tests.chaos.load import Pushed
from tests.chaos.schedule import Order
from tests.chaos.watcher import longest_gap

ID = "0-failing-0"


@pytest.fixture
def pushed(fake_queue: Queue) -> Pushed:
    """A map that has ended as it should."""
    one = Pushed(Order(0, "failing", 5, 2, "default"), ID, 0.0, sure=True)
    fake_queue.map(outcome_of_failing, range(5), chunksize=2, job_id=ID)
    drain(fake_queue)
    return one


def outcome_of_failing(n: int) -> int:
    if works.failure_of("failing", n):
        raise ValueError(n)
    return works.answer(ID, n)


def problems(queue: Queue, one: Pushed) -> list[str]:
    runs = {(ID, n): 1 for n in range(5)}
    return [
        *audit.job_problems(queue, one, runs, set()),
        *audit.not_at_rest(queue.connection),
        *audit.left_over(queue.connection, [one], "abandoned"),
    ]


def test_nothing_is_wrong(fake_queue: Queue, pushed: Pushed) -> None:
    assert problems(fake_queue, pushed) == []


Tamper = Callable[[MapStore], object]
TAMPERS: dict[str, Tamper] = {
    "5 results": lambda s: s.connection.rpush(s.keys.results, codec.dumps(1)),
    "3 results": lambda s: s.connection.rpop(s.keys.results),
    "has the result 1": lambda s: s.connection.lset(s.keys.results, 0, codec.dumps(1)),
    "items \\[4\\] have two results": lambda s: s.connection.rpush(s.keys.spans, "4:1"),
    "neither result nor error": lambda s: s.connection.hdel(s.keys.errors, 3),
    "done=7": lambda s: s.connection.hset(s.keys.hash, "done", 7),
    "failed=2": lambda s: s.connection.hset(s.keys.hash, "failed", 2),
    "claims are left": lambda s: s.connection.hset(s.keys.claims, 0, "0 somebody"),
    "chunks are pending": lambda s: s.connection.rpush(s.keys.pending, 0),
    "state open": lambda s: s.connection.hset(s.keys.hash, "state", "open"),
    "finished with 1 failures": lambda s: s.connection.hset(f"rq:job:{ID}", "status", "finished"),
    "is gone": lambda s: s.connection.delete(f"rq:job:{ID}"),
    "results never expires": lambda s: s.connection.persist(s.keys.results),
    "belongs to no job": lambda s: s.connection.set("taskq:{other}:spans", 1, ex=9),
    "rq:execution:x .* is left": lambda s: s.connection.set("rq:execution:x", 1),
    "forgotten .* is left": lambda s: s.connection.set("forgotten", 1),
    "rq:queue:default holds": lambda s: s.connection.rpush("rq:queue:default", ID),
    "rq:wip:default holds": lambda s: s.connection.zadd("rq:wip:default", {ID: 1}),
}


@pytest.mark.parametrize("complaint", TAMPERS)
def test_a_problem_is_noticed(fake_queue: Queue, pushed: Pushed, complaint: str) -> None:
    TAMPERS[complaint](MapStore(ID, fake_queue.connection))
    with pytest.raises(AssertionError, match=complaint):
        assert not problems(fake_queue, pushed), "\n".join(problems(fake_queue, pushed))


@pytest.mark.parametrize("status", ["canceled", "finished"])
def test_what_a_cancelled_job_has_is_kept_by_rq(fake_queue: Queue, pushed: Pushed, status: str) -> None:
    connection = fake_queue.connection
    connection.sadd(f"rq:job::{ID}:dependencies", "other")
    connection.hset(f"rq:job:{ID}", "status", status)
    connection.persist(f"rq:job:{ID}")
    found = audit.left_over(connection, [pushed], "abandoned")
    kept = [f"rq:job:{ID}", f"rq:job::{ID}:dependencies"]
    assert sorted(found) == ([] if status == "canceled" else sorted(f"{key} never expires" for key in kept))


def test_an_item_that_never_ran_is_noticed(fake_queue: Queue, pushed: Pushed) -> None:
    assert audit.job_problems(fake_queue, pushed, {(ID, n): 1 for n in (0, 1, 3, 4)}, set()) == [
        f"{ID}: items [2] have ended and are not in the ledger"
    ]


@pytest.mark.parametrize("killed", [True, False])
def test_a_plain_job_that_was_killed_may_not_have_noted_that_it_ran(fake_queue: Queue, killed: bool) -> None:
    one = Pushed(Order(0, "broken", 0, 0, "default"), "0-broken-0", 0.0, sure=True)
    job = fake_queue.enqueue(works.broken, "ledger", one.id, 0, job_id=one.id)
    job.set_status(JobStatus.FAILED)
    text = f"{'Work-horse terminated unexpectedly' if killed else 'ValueError'}; and so on"
    Result.create_failure(job, 60, text)
    assert audit.job_problems(fake_queue, one, {}, set()) == (
        [] if killed else [f"{one.id}: items [0] have ended and are not in the ledger"]
    )


def test_blame_without_a_kill_is_noticed(fake_queue: Queue) -> None:
    one = Pushed(Order(0, "nap", 1, 1, "default"), "0-nap-0", 0.0, sure=True)
    job = fake_queue.map(jobs.square, [0], job_id=one.id)
    drain(fake_queue)
    lost = b'{"index": 0, "type": "WorkerLostError", "message": "gone"}'
    with_error(job, lost)
    assert audit.job_problems(fake_queue, one, {(one.id, 0): 3}, {(one.id, 0)}) == []
    assert "WorkerLostError" in audit.job_problems(fake_queue, one, {(one.id, 0): 3}, set())[0]


def with_error(job: MapJob, record: bytes) -> None:
    """Let item 0 have failed instead."""
    connection, k = job.connection, job.store.keys
    connection.delete(k.results, k.spans)
    connection.hset(k.hash, mapping={"done": 0, "failed": 1})
    connection.hset(k.errors, 0, record)
    connection.hset(job.key, "status", "failed")


def test_gaps_count_only_while_there_is_work() -> None:
    def ran(at: float, ended: float) -> Pushed:
        return Pushed(Order(0, "nap", 1, 1, "default"), "x", at, sure=True, ended=ended)

    assert longest_gap([2.0, 3.0, 11.0], [ran(1, 4), ran(10, 12)], 20.0) == (1.0, 11.0)
    assert longest_gap([2.0, 3.0, 11.0], [ran(1, 4), ran(3.5, 12)], 20.0) == (8.0, 3.0)
    assert longest_gap([], [ran(1, 0)], 20.0) == (19.0, 1.0)
