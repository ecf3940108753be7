"""Maps whose RQ jobs were ended or removed behind taskq's back leave nothing behind."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from rq.job import Job, JobStatus

from taskq import MapJob, Queue
from taskq.maps.control import CANCELED_TTL
from taskq.maps.store import MapStore
from taskq.redis import keys
from taskq_workers.service.core.fleet import Fleet
from taskq_workers.service.upkeep.sweep import Sweep
from tests import jobs


def sweep(queue: Queue) -> None:
    """As a service does, but at once."""
    state: Any = SimpleNamespace(
        connection=queue.connection,
        fleet=Fleet(),
        store=lambda map_id, incarnation: MapStore(map_id, queue.connection, incarnation=incarnation),
    )
    Sweep().look(state)


def pushed(queue: Queue, age: float = 100.0, **options: Any) -> MapJob:
    job = queue.map(jobs.square, range(10), chunksize=2, **options)
    queue.connection.zadd(keys.MAPS, {job.id: time.time() - age})
    return job


def keys_of(job: MapJob) -> list[bytes]:
    return list(job.connection.keys(f"{job.store.keys.hash}*"))


def test_a_map_that_waits_is_left_alone(any_queue: Queue) -> None:
    job = pushed(any_queue)
    sweep(any_queue)
    assert len(keys_of(job)) == 4
    assert any_queue.connection.ttl(job.store.keys.hash) == -1
    assert any_queue.connection.zscore(keys.MAPS, job.id)


def test_a_map_whose_job_was_deleted_by_rq_goes_too(any_queue: Queue) -> None:
    job = pushed(any_queue)
    Job.delete(job)
    sweep(any_queue)
    assert keys_of(job) == []
    assert any_queue.connection.zcard(keys.MAPS) == 0


def test_a_map_that_was_just_pushed_is_left_alone(any_queue: Queue) -> None:
    job = pushed(any_queue, age=0.0)
    any_queue.connection.delete(job.key)
    sweep(any_queue)
    assert len(keys_of(job)) == 4


@pytest.mark.parametrize(
    ("status", "life"),
    [
        (JobStatus.CANCELED, CANCELED_TTL),
        (JobStatus.STOPPED, 77),
        (JobStatus.FAILED, 77),
        (JobStatus.FINISHED, 55),
    ],
)
def test_a_map_that_rq_has_ended_lives_as_long_as_its_job(any_queue: Queue, status: JobStatus, life: int) -> None:
    job = pushed(any_queue, result_ttl=55, failure_ttl=77)
    any_queue.connection.hset(job.key, "status", status.value)
    sweep(any_queue)
    assert job.store.info().state == "closed"
    assert all(life - 20 < any_queue.connection.ttl(key) <= life for key in keys_of(job))


def test_a_map_that_has_expired_is_struck_from_the_list(any_queue: Queue) -> None:
    job = pushed(any_queue)
    any_queue.connection.delete(*keys_of(job))
    sweep(any_queue)
    assert any_queue.connection.zcard(keys.MAPS) == 0


def test_all_maps_are_looked_at_in_time(any_queue: Queue) -> None:
    for _ in range(300):
        any_queue.connection.zadd(keys.MAPS, {f"gone-{time.monotonic_ns()}": 1.0})
    one = Sweep()
    state: Any = SimpleNamespace(
        connection=any_queue.connection,
        fleet=Fleet(),
        store=lambda map_id, incarnation: MapStore(map_id, any_queue.connection, incarnation=incarnation),
    )
    for _ in range(50):
        one._swept = 0.0
        one.look(state)
    assert any_queue.connection.zcard(keys.MAPS) == 0
