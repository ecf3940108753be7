"""RQ's ``Job.save`` writes all that its object knows, also what has not been so for long: no job is lost by it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import rq
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus

from taskq import MapJob, Queue, ReplacedError, ResultsGoneError
from taskq.payload.signed_job import SignedJob
from taskq.redis import lives
from taskq.testing import drain
from taskq_workers.service.jobs import map_ending, short_path
from taskq_workers.service.rq import successes
from taskq_workers.service.upkeep import recovery
from tests import jobs
from tests.contract.test_ownership import AGAIN, ENDINGS, ENDS, NAME, Begun, Quick, hold
from tests.waiting import HANGS

SOON = timedelta(minutes=5)


def save(job: Job, status: str = "queued") -> None:
    """As a producer does that fetched it when it was so."""
    job._status = JobStatus(status)
    job.save()


def stale(job_id: str, connection: Any) -> Job:
    job = Job.fetch(job_id, connection)
    job.worker_name = None
    return job


@pytest.mark.parametrize("status", ["queued", "created", "deferred", "scheduled", "started"])
@pytest.mark.parametrize("what", ["a plain job", "a map"])
@pytest.mark.parametrize("begun", [True, False], ids=["begun", "taken"])
def test_what_was_saved_while_a_worker_had_it_comes_back_as_that_dies(
    any_queue: Queue, what: str, status: str, begun: bool
) -> None:
    AGAIN[what](any_queue, "one")
    if begun:
        Begun(any_queue, "one")
    else:
        any_queue.connection.lmove(any_queue.key, any_queue.intermediate_queue_key)
        hold(any_queue, "one")
    save(stale("one", any_queue.connection), status)
    assert recovery.recover(any_queue.connection, NAME) == 1
    assert any_queue.job_ids == ["one"]
    drain(any_queue)
    found = any_queue.fetch_job("one")
    assert found is not None
    assert found.get_status() == JobStatus.FINISHED


def _enqueue(queue: Queue, job: Job) -> None:
    rq.Queue(queue.name, connection=queue.connection).enqueue_job(job)


def _take(queue: Queue, job: Job) -> None:
    """As RQ's worker does, before it begins."""
    save(job)
    queue.connection.lpush(queue.intermediate_queue_key, job.id)


def _run(queue: Queue, job: Job) -> None:
    """As RQ's worker does."""
    save(job, "started")
    with queue.connection.pipeline() as pipe:
        Execution.create(job, 90, pipe, worker_name="RQ's")
        job.prepare_for_execution("RQ's", pipe)
        pipe.execute()


def _schedule(queue: Queue, job: Job) -> None:
    save(job, "scheduled")
    queue.scheduled_job_registry.schedule(job, datetime.now(UTC) + SOON)


def _defer(queue: Queue, job: Job) -> None:
    save(job, "deferred")
    queue.deferred_job_registry.add(job)


ELSEWHERE: dict[str, Callable[[Queue, Job], None]] = {
    "enqueued": _enqueue, "taken": _take, "runs": _run, "scheduled": _schedule, "deferred": _defer,
}  # fmt: skip


@pytest.mark.parametrize("where", ELSEWHERE)
def test_what_somebody_else_has_by_now_is_left_to_them(any_queue: Queue, where: str) -> None:
    begun = Begun(any_queue)
    ELSEWHERE[where](any_queue, stale(begun.id, any_queue.connection))
    before, waiting = begun.fields, any_queue.job_ids
    assert recovery.recover(any_queue.connection, NAME) == 0
    assert begun.fields == before
    assert any_queue.job_ids == waiting


def test_a_run_of_which_nobody_has_heard_for_long_is_nobody_s(any_queue: Queue) -> None:
    begun = Begun(any_queue)
    save(stale(begun.id, any_queue.connection))
    any_queue.connection.zadd(ExecutionRegistry(begun.id, any_queue.connection).key, {"former": 1.0})
    assert recovery.recover(any_queue.connection, NAME) == 1


# -- what a former job with the id was ----------------------------------------------------------------


def replaced(queue: Queue) -> Job:
    """The object of a job whose id was pushed again."""
    queue.enqueue(jobs.square, 2, job_id="one")
    job = Job.fetch("one", queue.connection)
    job.delete()
    queue.enqueue(jobs.square, 3, job_id="one")
    return job


@pytest.mark.parametrize("end", ENDINGS)
def test_an_end_is_recorded_though_a_former_object_was_saved_meanwhile(any_queue: Queue, end: str) -> None:
    old = replaced(any_queue)
    begun = Begun(any_queue, "one")
    save(old)
    assert ENDS[end](begun)
    assert begun.fields[b"status"] == {"succeed": b"finished", "retry": b"queued", "stop": b"stopped"}.get(
        end, b"failed"
    )
    assert not begun.worker.holds(begun.execution)


def test_so_are_successes_of_many(any_queue: Queue) -> None:
    old = replaced(any_queue)
    begun = Begun(any_queue, "one")
    save(old)
    successes.record(begun.worker, [(*begun.rq, 9)])
    assert begun.fields[b"status"] == b"finished"


def test_so_are_those_of_the_short_path(any_queue: Queue) -> None:
    old = replaced(any_queue)
    quick = Quick(any_queue, "one")
    save(old)
    assert quick.finish() == short_path.NOT_SIMPLE
    successes.record(quick.worker, [(quick.job.job, quick.job.queue, quick.job.execution, 9)])
    assert quick.status == b"finished"


@pytest.mark.parametrize("where", [where for where in ELSEWHERE if where != "taken"])
def test_a_job_that_a_slow_clock_has_dated_before_the_one_that_runs_is_another(
    any_queue: Queue, where: str
) -> None:
    """It was written over that one, without deleting it, as RQ's ``enqueue`` does."""
    begun = Begun(any_queue)
    earlier = stale(begun.id, any_queue.connection)
    earlier.created_at -= SOON
    earlier.save()
    ELSEWHERE[where](any_queue, earlier)
    before = begun.fields
    assert not ENDS["succeed"](begun)
    assert begun.fields == before
    assert not begun.worker.holds(begun.execution)


# -- maps --------------------------------------------------------------------------------------------


WRITES: dict[str, Callable[[MapJob], object]] = {
    "save": lambda job: job.save(),
    "save_meta": lambda job: job.save_meta(),
    "set_status": lambda job: job.set_status(JobStatus.FINISHED),
    "refresh": lambda job: job.refresh(),
    "get_status": lambda job: job.get_status(),
    "is_finished": lambda job: job.is_finished,
}


@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.parametrize("what", WRITES)
def test_an_old_map_s_object_writes_nothing_over_the_new_one(any_queue: Queue, what: str, again: str) -> None:
    old = any_queue.map(jobs.square, range(4), job_id="one")
    drain(any_queue)
    AGAIN[again](any_queue, "one")
    before = any_queue.connection.hgetall(old.key)
    with pytest.raises(ReplacedError, match="pushed again"):
        WRITES[what](old)
    assert any_queue.connection.hgetall(old.key) == before


@pytest.mark.parametrize("what", WRITES)
def test_that_of_the_map_itself_does_as_rq_s(any_queue: Queue, what: str) -> None:
    job = any_queue.map(jobs.square, range(4))
    job.meta["note"] = what
    WRITES[what](job)
    if what in ("save", "save_meta"):
        assert MapJob.fetch(job.id, any_queue.connection).meta == {"note": what}
    assert job.get_status() == (JobStatus.FINISHED if what == "set_status" else JobStatus.QUEUED)


def test_a_map_ends_early_though_its_job_was_saved_meanwhile(any_queue: Queue) -> None:
    job = any_queue.map(jobs.invert, [0] * 4, max_failures=1, chunksize=1)
    begun = Begun(any_queue, job.id)
    save(stale(job.id, any_queue.connection))
    job.store.close("more than 1 item failed")
    run: Any = type("Run", (), {"job": begun.job, "execution": begun.execution, "fields": begun.fields,
                                "closed": "closed", "store": job.store})()  # fmt: skip
    state: Any = type("State", (), {"connection": any_queue.connection, "name": NAME})()
    assert map_ending._why_closed(state, run) == "more than 1 item failed"
    _enqueue(any_queue, stale(job.id, any_queue.connection))
    assert map_ending._why_closed(state, run) is None, "whoever takes it says so"


# -- after the end -----------------------------------------------------------------------------------

LOOKS: dict[str, Callable[[MapJob], object]] = {
    "get": lambda job: job.get(timeout=HANGS, errors="return"),
    "wait": lambda job: job.wait(HANGS),
    "iteration": lambda job: list(job.as_completed(errors="return")),
}


@pytest.mark.parametrize("fn", [jobs.square, jobs.invert], ids=["finished", "failed"])
@pytest.mark.parametrize(
    ("what", "over"),
    [*((what, "queued") for what in LOOKS), *(("wait", over) for over in ("created", "deferred", "scheduled"))],
)
def test_an_end_that_was_written_over_is_found(any_queue: Queue, what: str, over: str, fn: Any) -> None:
    """By RQ's own object, which was read before the map began."""
    job = any_queue.map(fn, range(4))
    old = Job.fetch(job.id, any_queue.connection)
    drain(any_queue)
    status = job.get_status()
    save(old, over)
    assert job.get_status() == over
    assert LOOKS[what](job)
    assert job.get_status() == status


@pytest.mark.parametrize("where", [where for where in ELSEWHERE if where != "taken"])
def test_a_map_that_is_run_again_has_not_ended(any_queue: Queue, where: str) -> None:
    job = any_queue.map(jobs.square, range(4))
    old = Job.fetch(job.id, any_queue.connection)
    drain(any_queue)
    ELSEWHERE[where](any_queue, old)
    assert not job.ready()


@pytest.mark.parametrize("kind", AGAIN)
def test_an_object_of_ours_leaves_how_far_the_job_is(any_queue: Queue, kind: str) -> None:
    AGAIN[kind](any_queue, "one")
    early = any_queue.fetch_job("one")
    assert early is not None
    drain(any_queue)
    before = any_queue.connection.hgetall(early.key)
    early.meta["note"], early.description = "seen", "another"
    early.save()
    after = any_queue.connection.hgetall(early.key)
    assert {name for name in after if after[name] != before.get(name)} == {b"meta", b"description"}
    assert any_queue.fetch_job("one").meta == {"note": "seen"}  # type: ignore[union-attr]


def test_one_that_is_not_there_yet_is_written_whole(any_queue: Queue) -> None:
    job = SignedJob.create(jobs.square, (3,), id="one", connection=any_queue.connection)
    job.save()
    assert any_queue.connection.hget(job.key, "created_at")
    rq.Queue(any_queue.name, connection=any_queue.connection).enqueue_job(job)
    drain(any_queue)
    assert Job.fetch("one", any_queue.connection).return_value() == 9


@pytest.mark.parametrize("what", ["save", "save_meta", "set_status"])
def test_nothing_is_written_of_a_map_that_is_gone(any_queue: Queue, what: str) -> None:
    job = any_queue.map(jobs.square, range(4))
    MapJob.fetch(job.id, any_queue.connection).delete()
    with pytest.raises(ResultsGoneError, match="no longer in Redis"):
        WRITES[what](job)
    assert not any_queue.connection.exists(job.key)


# -- RQ's object of a former map with the id ----------------------------------------------------------


def former(queue: Queue) -> Job:
    """RQ's object of a map whose id was pushed again."""
    queue.map(jobs.square, range(2), job_id="one")
    drain(queue)
    job = Job.fetch("one", queue.connection)
    assert type(job) is Job
    queue.map(jobs.square, range(6), job_id="one")
    return job


@pytest.mark.parametrize("when", ["it waits", "it has ended"])
def test_a_map_is_itself_though_a_former_one_s_object_was_saved(any_queue: Queue, when: str) -> None:
    old = former(any_queue)
    new = MapJob.fetch("one", any_queue.connection)
    if when == "it has ended":
        drain(any_queue)
    old._status = JobStatus.QUEUED
    old.save()
    drain(any_queue)
    assert new.get(timeout=HANGS) == [n * n for n in range(6)]
    assert isinstance(any_queue.fetch_job("one"), MapJob)


def test_one_that_runs_ends_though_a_former_one_s_was_saved_as_finished(any_queue: Queue) -> None:
    old = former(any_queue)
    begun = Begun(any_queue, "one")
    old.save()
    assert begun.fields[b"status"] == b"finished", "nobody has said so of this one"
    assert ENDS["succeed"](begun)
    assert any_queue.finished_job_registry.get_job_ids() == ["one"]


def test_a_plain_job_of_a_slow_clock_over_a_map_is_none(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(4), job_id="one")
    job.cancel()
    plain = Job.create(jobs.square, (3,), id="one", connection=any_queue.connection)
    plain.created_at = job.created_at - SOON
    rq.Queue(any_queue.name, connection=any_queue.connection).enqueue_job(plain)
    drain(any_queue)
    assert Job.fetch("one", any_queue.connection).return_value() == 9


def test_what_was_cancelled_and_deleted_since_its_status_was_read_is_over(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(4))
    begun = Begun(any_queue, job.id)
    assert not lives.is_over(any_queue.connection, job.id, b"canceled")
    job.cancel()
    assert lives.is_over(any_queue.connection, job.id, b"canceled")
    job.delete()
    assert lives.is_over(any_queue.connection, job.id, b"canceled")
    assert begun.fields == {}
