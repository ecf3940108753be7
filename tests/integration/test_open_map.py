"""Open maps on services with real pool processes."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from rq.job import JobStatus

from taskq import MapCanceledError, OpenMap, Queue
from taskq.maps import orphans
from taskq.redis import holdings
from taskq.redis.keys import MapField
from taskq.testing import running_worker
from tests import jobs
from tests.waiting import HANGS, wait_until


def ended(job: OpenMap) -> int:
    return job.store.glance().done


@pytest.mark.parametrize("processes", [1, 3])
def test_items_run_as_they_come(real_queue: Queue, processes: int) -> None:
    with running_worker(real_queue, processes=processes), real_queue.open_map(jobs.square) as job:
        for n in range(20):
            job.put(n)
            wait_until(lambda: ended(job) == n + 1)  # noqa: B023 - called here and now
        assert job.put_many(range(20, 5000)) == range(20, 5000)
    with running_worker(real_queue, processes=processes):
        assert job.get(timeout=HANGS) == [n * n for n in range(5000)]
        assert job.get_status() == JobStatus.FINISHED


def test_an_idle_service_has_an_item_soon(real_queue: Queue) -> None:
    with running_worker(real_queue), real_queue.open_map(jobs.square) as job:
        job.put(1)
        wait_until(lambda: ended(job) == 1)
        times = []
        for n in range(20):
            began = time.monotonic()
            job.put(n)
            wait_until(lambda: ended(job) == n + 2)  # noqa: B023 - as above
            times.append(time.monotonic() - began)
        assert min(times) < 0.5, f"it is woken, and does not only look once a second: {times}"


def test_several_services_share_it(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1) as one, running_worker(real_queue, processes=1) as other:
        with real_queue.open_map(jobs.nap) as job:
            job.put_many([0.05] * 40)
            wait_until(lambda: one.maps and other.maps)
        assert len(job.get(timeout=HANGS)) == 40


def test_a_service_that_dies_leaves_it_to_another(real_queue: Queue) -> None:
    job = real_queue.open_map(jobs.square)
    job.put(3)
    with running_worker(real_queue):
        wait_until(lambda: ended(job) == 1)
    job.put(4)
    job.seal()
    with running_worker(real_queue):
        assert job.get(timeout=HANGS) == [9, 16]


@pytest.mark.parametrize("orphan", ["finish", "cancel"])
def test_an_orphan_ends_as_it_was_told(real_queue: Queue, monkeypatch: pytest.MonkeyPatch, orphan: Any) -> None:
    monkeypatch.setattr(orphans, "GRACE", 0.1)
    with running_worker(real_queue) as state:
        job = real_queue.open_map(jobs.square, orphan=orphan)
        job.put_many(range(3))
        wait_until(lambda: ended(job) == 3)
        assert job._feed is not None
        job._feed._over.set()
        job.connection.hset(job.store.keys.hash, MapField.LEASE, 1)
        other = real_queue.fetch_job(job.id)
        if orphan == "finish":
            assert other.get(timeout=HANGS) == [0, 1, 4]
        else:
            with pytest.raises(MapCanceledError):
                other.get(timeout=HANGS)
            assert other.get_status() == JobStatus.CANCELED
        wait_until(lambda: not holdings.read(real_queue.connection, state.name))
        assert job.store.info().orphaned


def test_it_rests_for_as_long_as_nothing_comes(real_queue: Queue) -> None:
    """Owner and guests look after it, and find no damage."""
    with running_worker(real_queue) as state:
        job = real_queue.open_map(jobs.square)
        wait_until(lambda: state.maps)
        looks = state.looks
        wait_until(lambda: state.looks > looks + 3)
        assert job.store.info().state == "open"
        job.put(2)
        job.seal()
        assert job.get(timeout=HANGS) == [4]


def test_get_waits_for_the_seal(real_queue: Queue) -> None:
    with running_worker(real_queue):
        job = real_queue.open_map(jobs.square)
        job.put(2)
        got: list[Any] = []
        thread = threading.Thread(target=lambda: got.extend(real_queue.fetch_job(job.id).get(timeout=HANGS)))
        thread.start()
        wait_until(lambda: ended(job) == 1)
        assert got == []
        job.put_many([3, 4])
        job.seal()
        thread.join(HANGS)
        assert got == [4, 9, 16]
        assert sorted(job[n] for n in range(3)) == [4, 9, 16]
