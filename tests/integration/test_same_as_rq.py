"""What a job leaves in Redis is what RQ's own worker leaves, key by key and field by field."""

from __future__ import annotations

import base64
import re
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import rq
from rq.group import Group
from rq.job import JobStatus
from rq.utils import utcparse

from taskq import Queue
from taskq.testing import running_worker
from tests import jobs, rq_jobs
from tests.waiting import LONG, wait_until

_MOMENTS = {b"created_at", b"enqueued_at", b"started_at", b"ended_at", b"last_heartbeat", b"execution_started_at",
            b"execution_ended_at"}  # fmt: skip
_NAMES = {b"worker_name", b"execution_id"}
_SLACK = 10  # seconds by which times to live may differ, counted from the end of the job

Push = Callable[[rq.Queue], Any]


def retry(queue: rq.Queue) -> Any:
    return queue.enqueue(jobs.invert, 0, job_id="a", retry=rq.Retry(max=1, interval=[60]))


def push_dependents(queue: rq.Queue) -> None:
    first = queue.enqueue(jobs.invert, 0, job_id="a")
    queue.enqueue(jobs.square, 2, job_id="b", depends_on=rq.job.Dependency([first], allow_failure=True))
    queue.enqueue(jobs.square, 3, job_id="c", depends_on=first)


def push_of_another(queue: rq.Queue, function: Callable[..., Any], *args: Any) -> None:
    """A job that says it is of another queue than the one in which its id stands."""
    other = rq.Queue("elsewhere", connection=queue.connection)
    job = other.create_job(function, args, job_id="a", on_success=rq.Callback(jobs.echo_callback))
    job.set_status(JobStatus.QUEUED)
    job.save()
    queue.push_job_id(job.id)


def push_again(status: JobStatus, *, simple: bool) -> Push:
    """An id in a queue whose job has ended already, or was not to be run, as ``push_job_id`` puts it there."""

    def push(queue: rq.Queue) -> None:
        done = None if simple else rq.Callback(jobs.echo_callback)
        job = queue.enqueue(jobs.square, 3, job_id="a", on_success=done)
        if status == JobStatus.CANCELED:
            job.cancel()
        else:
            queue.remove(job)
            job.set_status(status)
            queue.failed_job_registry.add(job, ttl=500)
        queue.push_job_id(job.id)

    return push


CASES: dict[str, Push] = {
    "success": lambda queue: queue.enqueue(jobs.square, 3, job_id="a", meta={"x": 1}),
    "none": lambda queue: queue.enqueue(rq_jobs.nothing, job_id="a"),
    "short lived": lambda queue: queue.enqueue(jobs.square, 3, job_id="a", result_ttl=170),
    "for ever": lambda queue: queue.enqueue(jobs.square, 3, job_id="a", result_ttl=-1, job_timeout=-1),
    "no result kept": lambda queue: queue.enqueue(jobs.square, 3, job_id="a", result_ttl=0),
    "failed for ever": lambda queue: queue.enqueue(jobs.invert, 0, job_id="a", failure_ttl=-1),
    "failure": lambda queue: queue.enqueue(jobs.invert, 0, job_id="a", failure_ttl=77),
    "retried at once": lambda queue: queue.enqueue(jobs.invert, 0, job_id="a", retry=rq.Retry(max=2)),
    "retried later": retry,
    "returned retry": lambda queue: queue.enqueue(rq_jobs.again, job_id="a"),
    "repeated": lambda queue: queue.enqueue(jobs.square, 3, job_id="a", repeat=rq.Repeat(times=1, interval=60)),
    "dependents": push_dependents,
    "rate limited": lambda queue: [
        queue.enqueue(jobs.square, n, job_id=name, rate_limit=rq.RateLimit("key", 1))
        for n, name in enumerate("abc")
    ],
    "callbacks": lambda queue: queue.enqueue(
        jobs.square, 3, job_id="a", on_success=rq.Callback(jobs.echo_callback, timeout=7)
    ),
    "broken callbacks": lambda queue: [
        queue.enqueue(jobs.square, 3, job_id="a", on_success=rq.Callback(rq_jobs.note_killed)),
        queue.enqueue(jobs.invert, 0, job_id="b", on_failure=rq.Callback(rq_jobs.note_killed)),
    ],
    "slow callback": lambda queue: queue.enqueue(
        jobs.square, 3, job_id="a", on_success=rq.Callback(rq_jobs.rest, timeout=1)
    ),
    "too long": lambda queue: queue.enqueue(jobs.nap, LONG, job_id="a", job_timeout=1),
    "async": lambda queue: queue.enqueue(rq_jobs.later, 3, job_id="a"),
    "exits": lambda queue: [queue.enqueue(sys.exit, 3, job_id="a"), queue.enqueue(rq_jobs.interrupt, job_id="b")],
    "not found": lambda queue: [
        queue.enqueue(name, job_id=id_) for name, id_ in (("tests.jobs.none_such", "a"), ("none.such", "b"))
    ],
    "bad call": lambda queue: queue.enqueue(jobs.square, job_id="a"),
    "unserializable": lambda queue: queue.enqueue(iter, [], job_id="a"),
    "group": lambda queue: Group.create(queue.connection, "mine").enqueue_many(
        queue, [rq.Queue.prepare_data(jobs.square, [n], job_id=id_) for n, id_ in enumerate("ab")]
    ),
    "unique": lambda queue: queue.enqueue(jobs.square, 3, job_id="a", unique=True),
    "changed": lambda queue: queue.enqueue(rq_jobs.change_itself, job_id="a"),
    "of another queue": lambda queue: push_of_another(queue, jobs.square, 3),
    "of another queue, and fails": lambda queue: push_of_another(queue, jobs.invert, 0),
    "failed before": push_again(JobStatus.FAILED, simple=True),
    "stopped before": push_again(JobStatus.STOPPED, simple=False),
    "canceled before": push_again(JobStatus.CANCELED, simple=True),
    "canceled before, with a callback": push_again(JobStatus.CANCELED, simple=False),
}


FORGOTTEN = {"of another queue": ["rq:queue:default:intermediate"]}
FORGOTTEN["of another queue, and fails"] = FORGOTTEN["of another queue"]
"""What RQ's worker leaves behind, since it looks in the list of the queue that the job names."""


@pytest.mark.parametrize("case", CASES)
def test_the_same_is_left(real_queue: Queue, case: str) -> None:
    def left_by(work: Callable[[rq.Queue], None]) -> dict[str, Any]:
        real_queue.connection.flushdb()
        queue = rq.Queue(connection=real_queue.connection)
        CASES[case](queue)
        work(queue)
        return contents(real_queue.connection)

    theirs = left_by(lambda queue: rq.Worker([queue], connection=queue.connection).work(burst=True))

    def ours(queue: rq.Queue) -> None:
        with running_worker(real_queue, processes=1):
            wait_until(lambda: is_done(queue))

    for key in FORGOTTEN.get(case, []):
        del theirs[key]
    expected = {key: (value, pytest.approx(lives, abs=_SLACK)) for key, (value, lives) in theirs.items()}
    assert left_by(ours) == expected


@pytest.mark.parametrize("n", [1, 0], ids=["succeeds", "fails"])
@pytest.mark.parametrize("callback", [None, rq.Callback(jobs.echo_callback)], ids=["", "callback"])
def test_what_was_deleted_while_it_ran_does_not_come_back(real_queue: Queue, n: int, callback: Any) -> None:
    """RQ's worker records its end all the same, of a hash that says little more."""
    queue = rq.Queue(connection=real_queue.connection)
    queue.enqueue(rq_jobs.delete_itself, n, job_id="a", on_success=callback, on_failure=callback)
    with running_worker(real_queue, processes=1):
        wait_until(lambda: is_done(queue) and not real_queue.connection.keys("taskq:held:*"))
    assert contents(real_queue.connection) == {"rq:queues": ({b"rq:queue:default"}, None)}


def is_done(queue: rq.Queue) -> bool:
    """Whether nothing waits, or runs, in the same moment."""
    with queue.connection.pipeline() as pipe:
        pipe.exists(
            queue.key, queue.intermediate_queue_key, queue.started_job_registry.key, queue.ready_job_registry.key
        )
        if pipe.execute() != [0]:
            return False
    # Between the end of one and the start of the next, which waited for its rate limit, there is nothing either.
    jobs = (queue.connection.hget(key, "status") for key in queue.connection.keys("rq:job:?"))
    return not {b"queued", b"started", b"rate_limited"} & set(jobs)


def contents(connection: Any) -> dict[str, Any]:
    """All that RQ keeps, workers apart, with moments and names of workers masked; and how long each key lives.

    In seconds from the end of the last job, for nobody knows how many have passed since then; None: for ever.
    """
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"hash": lambda key: masked(connection.hgetall(key)),
        b"list": lambda key: connection.lrange(key, 0, -1),
        b"set": connection.smembers,
        b"zset": lambda key: connection.zrange(key, 0, -1),
        b"stream": lambda key: [masked(fields) for _id, fields in connection.xrange(key)],
    }
    found = {}
    moments = [connection.hmget(key, "ended_at", "created_at") for key in connection.keys("rq:job:?")]
    known = [utcparse(text.decode()).timestamp() for both in moments for text in both if text]
    last = max(known, default=time.time())
    for key in connection.keys("rq:*"):
        if re.match(rb"rq:(worker|clean_)", key) or connection.type(key) == b"string":
            continue
        left = connection.ttl(key)
        found[key.decode()] = read[connection.type(key)](key), None if left == -1 else time.time() + left - last
    return found


def masked(fields: dict[bytes, bytes]) -> dict[bytes, Any]:
    shown = {name: "*" if name in _MOMENTS | _NAMES and value else value for name, value in fields.items()}
    for name in (b"exc_string", b"exc_info"):  # the frames above the job's are the worker's
        if shown.get(name):
            said = zlib.decompress(base64.b64decode(shown[name])).splitlines()
            shown[name] = [line for line in said if not line.startswith(b"taskq: ")][-1]  # as which we add a note
    return shown
