"""Nobody's unsigned job stalls a service or kills it: it fails, and all others go on."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rq.job import Job, JobStatus
from rq.registry import DeferredJobRegistry, ReadyJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.results import Result

from taskq import Queue
from taskq.redis import keys
from taskq.testing import running_worker
from taskq_workers import readable
from taskq_workers.manager.scheduler import SchedulerService
from taskq_workers.rq_options import RQOptions
from taskq_workers.service.rq.scheduler import Scheduler
from taskq_workers.service.upkeep import deferred
from tests import jobs
from tests.integration.test_garbage import serves
from tests.unit.test_ids import NO_IDS
from tests.unit.test_readable import BAD
from tests.waiting import HANGS, wait_until

EVIL = {"status": "queued", "origin": "default", "data": b"x", "created_at": "2026-01-01T00:00:00.000000Z"}
LAST_ID = "18446744073709551615-18446744073709551615"  # of a stream: nothing can be added after it


def evil(queue: Queue, job_id: str = "evil", **fields: Any) -> Job:
    """A job as anybody can write it."""
    queue.connection.hset(Job.key_for(job_id), mapping={**EVIL, **fields})
    queue.connection.rpush(queue.key, job_id)
    return Job(job_id, connection=queue.connection)


def has_failed(job: Any) -> bool:
    return bool(job.connection.hget(job.key, "status") == b"failed")


def why(job: Any) -> str:
    wait_until(lambda: has_failed(job))
    latest = job.latest_result()
    return latest.exc_string or "" if latest else ""


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_job_that_can_not_be_written_again(any_queue: Queue, field: str, value: bytes) -> None:
    with running_worker(any_queue, processes=1) as state:
        job = evil(any_queue, **{field: value})
        assert why(job)
        serves(any_queue, state)
        assert not any_queue.connection.zcard("rq:wip:default")


def test_an_end_that_can_not_be_written(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody has seen before it was to be recorded."""
    monkeypatch.setattr(readable, "check", lambda _job: None)
    with running_worker(any_queue, processes=1) as state:
        for status in ("finished", "failed"):
            job = any_queue.create_job(jobs.square if status == "finished" else jobs.invert, (0,))
            job.save()
            any_queue.connection.hset(job.key, mapping={"status": "queued", "dependency_ids": "[[1]]"})
            any_queue.connection.rpush(any_queue.key, job.id)
            assert "the job's end could not be recorded: DataError" in why(job)
            serves(any_queue, state)
        assert not any_queue.connection.zcard("rq:wip:default")


def test_ids_that_no_job_can_have(any_queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    with running_worker(any_queue, processes=1) as state:
        for raw in NO_IDS:
            any_queue.connection.hset(b"rq:job:" + raw, mapping=EVIL)
            any_queue.connection.rpush(any_queue.key, raw)
            any_queue.connection.sadd(state.worker.executions_key, raw + b":1")
            any_queue.connection.zadd(keys.MAPS, {raw: 1})
        serves(any_queue, state)
        wait_until(lambda: not any_queue.connection.llen(any_queue.key))
        wait_until(lambda: caplog.text.count("no job can have the id") == len(NO_IDS))
        assert not any_queue.connection.lrange(any_queue.intermediate_queue_key, 0, -1)
        assert not any_queue.connection.keys("rq:execution:*")


@pytest.mark.parametrize("field", ["timeout", "result_ttl"])
@pytest.mark.parametrize("value", [b"0x10", b"nan", b"inf", b"1e400", b" 5 ", b"9" * 40, b"5e3", b"-0x1"])
def test_numbers_that_not_all_read_alike(any_queue: Queue, field: str, value: bytes) -> None:
    with running_worker(any_queue, processes=1) as state:
        job = any_queue.create_job(jobs.square, (3,))
        job.save()
        any_queue.connection.hset(job.key, mapping={"status": "queued", field: value})
        any_queue.connection.rpush(any_queue.key, job.id)
        other = any_queue.enqueue(jobs.square, 4)
        wait_until(lambda: any_queue.connection.hget(job.key, "status") in (b"failed", b"finished"))
        assert other.latest_result(timeout=HANGS).return_value == 16
        serves(any_queue, state)


def test_a_job_whose_hash_becomes_something_else(real_queue: Queue, tmp_path: Path) -> None:
    """While it runs: its heartbeats, and its end, can't be written."""
    flag = tmp_path / "flag"
    options = RQOptions(job_monitoring_interval=1)
    with running_worker(real_queue, processes=2, rq=options) as state:
        job = real_queue.enqueue(jobs.wait_for, str(flag))
        wait_until(lambda: job.get_status() == JobStatus.STARTED)
        real_queue.connection.delete(job.key)
        real_queue.connection.rpush(job.key, "x")
        wait_until(lambda: state.taken, "the server may say that it runs before the service has heard")
        [execution] = [taken.execution.key for taken in list(state.taken)]
        seen = real_queue.connection.hget(execution, "last_heartbeat")
        wait_until(lambda: real_queue.connection.hget(execution, "last_heartbeat") != seen)
        serves(real_queue, state)
        flag.touch()
        wait_until(lambda: not real_queue.connection.zcard("rq:wip:default"))
        serves(real_queue, state)


@pytest.mark.parametrize("with_callback", [False, True], ids=["short path", "long path"])
def test_results_that_can_not_be_stored(real_queue: Queue, tmp_path: Path, with_callback: bool) -> None:
    """One of several jobs that end together."""
    flag = tmp_path / "flag"
    with running_worker(real_queue, processes=1) as state:
        first = real_queue.enqueue(jobs.wait_for, str(flag))
        found = [real_queue.enqueue(jobs.square, n) for n in range(6)]
        if with_callback:
            real_queue.connection.hset(found[3].key, "failure_callback_timeout", 3)
            real_queue.connection.hset(found[3].key, "success_callback_name", "tests.jobs.remember")
        real_queue.connection.xadd(Result.get_key(found[3].id), {"a": "b"}, id=LAST_ID)
        flag.touch()
        assert first.latest_result(timeout=HANGS)
        for number, job in enumerate(found):
            if number != 3:
                assert job.latest_result(timeout=HANGS).return_value == number * number
        wait_until(lambda: found[3].get_status() == JobStatus.FAILED)
        serves(real_queue, state)


def test_a_timeline_that_takes_nothing_more(real_queue: Queue) -> None:
    real_queue.connection.xadd(keys.TIMELINE, {"a": "b"}, id=LAST_ID)
    with running_worker(real_queue, processes=1) as state:
        serves(real_queue, state)


@pytest.mark.parametrize("member", [b"a b", b"\xff", b"evil"])
def test_dependents_that_are_none(any_queue: Queue, member: bytes) -> None:
    evil(any_queue, dependency_ids="[[1]]")
    any_queue.connection.lrem(any_queue.key, 0, "evil")
    job = any_queue.enqueue(jobs.square, 3)
    any_queue.connection.sadd(job.dependents_key, member)
    waiting = any_queue.enqueue(jobs.square, 4, depends_on=job)
    with running_worker(any_queue, processes=1) as state:
        assert job.latest_result(timeout=HANGS).return_value == 9
        assert waiting.latest_result(timeout=HANGS).return_value == 16
        serves(any_queue, state)


@pytest.mark.parametrize("field", ["successful_job_count", "failed_job_count", "total_working_time"])
def test_a_worker_s_own_books(any_queue: Queue, field: str) -> None:
    with running_worker(any_queue, processes=1) as state:
        for value in (b"inf", b"x", b"9223372036854775807"):
            any_queue.connection.hset(state.worker.key, field, value)
            assert any_queue.enqueue(jobs.square, 3).latest_result(timeout=HANGS).return_value == 9
            failing = any_queue.enqueue(jobs.invert, 0)
            wait_until(lambda job=failing: job.get_status() == JobStatus.FAILED)  # type: ignore[misc]
            assert "ZeroDivisionError" in why(failing)
        serves(any_queue, state)


@pytest.mark.parametrize("key", ["key", "executions_key"])
def test_a_worker_s_own_keys(any_queue: Queue, key: str) -> None:
    with running_worker(any_queue, processes=1, lease=1.0) as state:
        for _ in range(2):
            any_queue.connection.delete(getattr(state.worker, key))
            any_queue.connection.rpush(getattr(state.worker, key), "x")
            assert any_queue.enqueue(jobs.square, 3).latest_result(timeout=HANGS).return_value == 9
        serves(any_queue, state)


def test_jobs_that_wait_for_others(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those marked as ready, and those that somebody has left deferred."""
    monkeypatch.setattr(deferred, "INTERVAL", 0.1)
    connection = any_queue.connection
    parent, left = any_queue.create_job(jobs.invert, (0,)), any_queue.create_job(jobs.square, (3,))
    parent.save()
    ready = any_queue.create_job(jobs.square, (5,))
    ready.save()
    connection.hset(ready.key, "status", "ready_to_enqueue")
    connection.zadd(ReadyJobRegistry(queue=any_queue).key, {ready.id: 5})
    left.allow_dependency_failures, left._dependency_ids = True, [parent.id]
    left.save()
    left.register_dependency()
    connection.hset(left.key, "status", "deferred")
    connection.hset(parent.key, "status", "failed")
    evil(any_queue, dependency_ids="[[1]]", status="deferred")
    connection.lrem(any_queue.key, 0, "evil")
    for key in (ReadyJobRegistry(queue=any_queue).key, DeferredJobRegistry(queue=any_queue).key):
        connection.zadd(key, {"a b": 1, b"\xff": 2, "evil": 3})
    connection.sadd(parent.dependents_key, "a b", b"\xff")
    with running_worker(any_queue, processes=1) as state:
        assert ready.latest_result(timeout=HANGS).return_value == 25
        assert left.latest_result(timeout=HANGS).return_value == 9
        serves(any_queue, state)


def test_the_scheduler(any_queue: Queue) -> None:
    connection = any_queue.connection
    due = any_queue.enqueue_in(timedelta(seconds=-5), jobs.square, 3)
    evil(any_queue, dependency_ids="[[1]]", status="scheduled")
    connection.lrem(any_queue.key, 0, "evil")
    connection.zadd(ScheduledJobRegistry(queue=any_queue).key, {"a b": 1, b"\xff": 2, "evil": 3})
    scheduler = Scheduler(("default",), connection, "s")
    with pytest.raises(ValueError, match=r"codec|Job ID"):
        SchedulerService._turn(scheduler)
    SchedulerService._failed(scheduler, ValueError("what it was"))
    SchedulerService._turn(scheduler)
    assert any_queue.job_ids == [due.id]
    scheduler.release_locks()


def test_the_cleaning_of_registries(real_queue: Queue) -> None:
    """What is abandoned is cleaned, also beside what RQ can't read."""
    connection, started = real_queue.connection, StartedJobRegistry(queue=real_queue).key
    job = real_queue.create_job(jobs.square, (3,))
    job.save()
    connection.hset(job.key, mapping={"status": "started", "worker_name": "stock"})
    evil(real_queue, retry_intervals="[]", status="started", retries_left="3")
    connection.lrem(real_queue.key, 0, "evil")
    connection.zadd(started, {f"{job.id}:1": 5, "evil:1": 3, "a b:1": 1, b"\xff": 2, "c": 4})
    with running_worker(real_queue, processes=1) as state:
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
        serves(real_queue, state)


def test_a_turn_that_meets_what_belongs_to_nobody(
    fake_queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with running_worker(fake_queue, processes=1) as state:
        times = iter(range(2))

        def stumble() -> None:
            if next(times, None) is not None:
                raise KeyError("what nobody has thought of")

        monkeypatch.setattr(state.worker, "rest", stumble)
        serves(fake_queue, state)
    assert "a turn met damage" in caplog.text
    assert any(record.exc_info for record in caplog.records if record.levelno == logging.ERROR)
