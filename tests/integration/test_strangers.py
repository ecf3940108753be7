"""A map that another version of taskq has pushed comes to a worker: it fails, and nothing of it runs."""

from __future__ import annotations

import pytest

from taskq import MapFailedError, MapJob, Queue
from taskq.redis import keys
from taskq.testing import drain, running_worker
from tests import jobs
from tests.contract.test_schema import of_the_first


def contents(job: MapJob) -> dict[bytes, bytes]:
    """Of all keys of a map but its hash, which is closed if it has an incarnation."""
    return {key: job.connection.dump(key) for key in job.connection.keys(f"{job.store.keys.hash}:*")}


@pytest.mark.parametrize("mark", ["map", "map {incarnation} 9"])
def test_it_fails(real_queue: Queue, mark: str) -> None:
    job = of_the_first(real_queue) if mark == "map" else real_queue.map(jobs.square, range(5))
    real_queue.connection.hset(job.key, keys.JOB_KIND, mark.format(incarnation=job.incarnation))
    before = contents(job)
    with running_worker(real_queue):
        with pytest.raises(MapFailedError, match=r"pushed by another version of taskq .schema [19].*Upgrading"):
            real_queue.fetch_job(job.id).get()
        assert real_queue.map(jobs.square, [3]).get() == [9]
    assert contents(job) == before
    assert all(real_queue.connection.ttl(key) > 0 for key in before), "they expire with the job"


def test_a_stock_worker_fails_it_too(fake_queue: Queue) -> None:
    job = of_the_first(fake_queue)
    drain(fake_queue)
    with pytest.raises(MapFailedError, match="pushed by another version of taskq"):
        fake_queue.fetch_job(job.id).get()
