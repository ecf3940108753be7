"""``result_ttl=-1`` and ``failure_ttl=-1``: nothing of the job gets a time to live, whoever cleans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import rq
from rq.job import JobStatus

from taskq import MapJob, Queue
from taskq.maps.controlled import ENDED
from taskq.redis import keys
from taskq.testing import drain, running_worker
from tests import jobs
from tests.contract.test_sweep import sweep
from tests.waiting import LONG, wait_until

FOR_EVER = {"result_ttl": -1, "failure_ttl": -1}


def stopped(queue: Queue) -> Any:
    job = queue.map(jobs.nap, [LONG], **FOR_EVER)
    wait_until(lambda: job.get_status() == JobStatus.STARTED)
    rq.command.send_stop_job_command(queue.connection, job.id)
    return job


CASES: dict[str, Callable[[Queue], Any]] = {
    "map": lambda queue: queue.map(jobs.square, range(4), **FOR_EVER),
    "map without items": lambda queue: queue.map(jobs.square, [], **FOR_EVER),
    "failed map": lambda queue: queue.map(jobs.invert, range(4), **FOR_EVER),
    "stopped map": stopped,
    "plain job": lambda queue: queue.enqueue(jobs.square, 3, **FOR_EVER),
    "plain job with a callback": lambda queue: queue.enqueue(
        jobs.square, 3, on_success=rq.Callback(jobs.echo_callback), **FOR_EVER
    ),
    "failed plain job": lambda queue: queue.enqueue(jobs.invert, 0, **FOR_EVER),
}


def mortal(queue: Queue) -> dict[bytes, int]:
    """The keys of jobs and maps that have a time to live."""
    found = [key for key in queue.connection.keys("*") if key.startswith((b"rq:job", b"rq:results", b"taskq:{"))]
    assert found
    return {key: left for key in found if (left := queue.connection.ttl(key)) != -1}


def clean(queue: Queue) -> None:
    """As services do, a year later."""
    for name in queue.connection.zrange(keys.MAPS, 0, -1):
        queue.connection.zadd(keys.MAPS, {name: 1.0})
    sweep(queue)
    for registry in (queue.finished_job_registry, queue.failed_job_registry):
        registry.cleanup()


@pytest.mark.parametrize("case", CASES)
def test_no_time_to_live(real_queue: Queue, case: str) -> None:
    with running_worker(real_queue):
        job = CASES[case](real_queue)
        wait_until(lambda: job.get_status(refresh=True) in ENDED)
        wait_until(lambda: not real_queue.connection.keys("rq:execution*"), "its end is on record")
    check(real_queue, job)


@pytest.mark.parametrize("case", ["map", "failed map"])
def test_no_time_to_live_with_a_stock_worker(fake_queue: Queue, case: str) -> None:
    job = CASES[case](fake_queue)
    drain(fake_queue)
    check(fake_queue, job)


def check(queue: Queue, job: Any) -> None:
    assert mortal(queue) == {}
    ended = queue.connection.hget(keys.MapKeys(job.id).hash, "ended")
    clean(queue)
    assert mortal(queue) == {}
    assert queue.connection.hget(keys.MapKeys(job.id).hash, "ended") == ended
    if isinstance(job, MapJob):  # whoever deletes the job with RQ's tools gets rid of all of it
        rq.job.Job.delete(job)
        clean(queue)
        assert queue.connection.keys("taskq:{*") == []
