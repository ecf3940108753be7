"""Jobs that RQ's own code reads, and can't work with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rq import Retry, Webhook
from rq.job import Job, JobStatus
from rq.registry import DeferredJobRegistry, FailedJobRegistry, StartedJobRegistry
from rq.repeat import Repeat
from rq.results import Result

from taskq import Queue
from taskq.errors import DamagedError
from taskq.payload.sealed import SealedSerializer
from taskq.redis import ids
from taskq_workers import readable
from tests import jobs

HUGE = b"9" * 40
BAD = [
    ("dependency_ids", b"[[1]]"), ("dependency_ids", b'{"a": 1}'), ("dependency_ids", b"null"),
    ("dependency_ids", b'["a b"]'), ("dependency_ids", b"NaN"), ("retry_intervals", b"[]"),
    ("retry_intervals", b'["x"]'), ("retry_intervals", b"[-1]"), ("retry_intervals", b"[NaN]"),
    ("retry_intervals", b"7"), ("repeat_intervals", b"[[1]]"), ("repeat_intervals", b"[true]"),
    ("timeout", HUGE), ("ttl", HUGE), ("result_ttl", HUGE), ("failure_ttl", HUGE), ("retries_left", HUGE),
    ("repeats_left", HUGE), ("success_callback_timeout", HUGE), ("rate_limit_concurrency", HUGE),
    ("webhooks", json.dumps([{"url": "http://a", "job_status": "failed", "timeout": 10**40}]).encode()),
]  # fmt: skip


def restored(queue: Queue, job_id: str) -> Job:
    job = Job(job_id, connection=queue.connection, serializer=SealedSerializer)
    job.restore(queue.connection.hgetall(job.key))
    return job


@pytest.mark.parametrize(("field", "value"), BAD)
def test_check(fake_queue: Queue, field: str, value: bytes) -> None:
    job = fake_queue.enqueue(jobs.square, 3)
    readable.check(restored(fake_queue, job.id))
    fake_queue.connection.hset(job.key, field, value)
    with pytest.raises(DamagedError, match=f"the {field} of the job {job.id} can't be"):
        readable.check(restored(fake_queue, job.id))


def test_what_rq_writes_is_fine(fake_queue: Queue) -> None:
    first = fake_queue.enqueue(jobs.square, 3, job_timeout=-1, result_ttl=-1, failure_ttl=0, ttl=5, meta={"a": 1})
    job = fake_queue.enqueue(
        jobs.square, 3, retry=Retry(max=2, interval=[1, 2]), repeat=Repeat(times=3, interval=4),
        depends_on=[first], webhooks=[Webhook("http://a", "failed")],
    )  # fmt: skip
    for one in (first, job):
        readable.check(restored(fake_queue, one.id))


def test_sift(fake_queue: Queue) -> None:
    connection, key = fake_queue.connection, DeferredJobRegistry(queue=fake_queue).key
    fine, list_of_lists, no_hash, unread, orphan = (fake_queue.enqueue(jobs.square, n) for n in range(5))
    connection.hset(list_of_lists.key, "dependency_ids", "[[1]]")
    connection.delete(no_hash.key)
    connection.rpush(no_hash.key, "x")
    connection.hset(unread.key, "created_at", "never")
    connection.sadd(orphan.dependencies_key, b"\xff")
    members: dict[Any, float] = {job.id.encode(): 1.0 for job in (fine, list_of_lists, no_hash, unread, orphan)}
    connection.zadd(key, {**members, b"a b": 1, b"\xff": 1, b"gone": 1})
    assert readable.sift(connection, "default", key, connection.zrange(key, 0, -1)) == 6
    assert sorted(connection.zrange(key, 0, -1)) == sorted([fine.id.encode(), b"gone"])
    for job in (list_of_lists, unread, orphan):
        assert connection.hget(job.key, "status") == b"failed"
        assert connection.zscore(FailedJobRegistry(queue=fake_queue).key, job.id)
    assert "dependency_ids" in (list_of_lists.latest_result().exc_string or "")  # type: ignore[union-attr]


def test_sift_executions(fake_queue: Queue) -> None:
    key = StartedJobRegistry(queue=fake_queue).key
    job = fake_queue.enqueue(jobs.square, 1)
    fake_queue.connection.zadd(key, {f"{job.id}:1": 1, "a b:1": 1, "a": 1})
    members = fake_queue.connection.zrange(key, 0, -1)
    assert readable.sift(fake_queue.connection, "default", key, members, ids.of_execution) == 2
    assert fake_queue.connection.zrange(key, 0, -1) == [f"{job.id}:1".encode()]


def test_fail_does_what_can_be_done(fake_queue: Queue) -> None:
    job = fake_queue.enqueue(jobs.square, 1)
    fake_queue.connection.set(Result.get_key(job.id), "no stream")
    readable.fail(fake_queue.connection, "default", job.id, "because")
    assert job.get_status() == JobStatus.FAILED
    assert job.id in fake_queue.failed_job_registry.get_job_ids()
