"""``max_failures``: a map of which too much fails is not seen through."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rq.job import JobStatus

from taskq import MapFailedError, OptionError, Queue
from taskq.maps.terms import Terms
from taskq.redis import schema
from taskq.redis.keys import UNSEALED
from taskq.testing import drain, running_worker
from tests import jobs
from tests.waiting import HANGS, wait_until

BAD = [0] * 500  # each of which fails in ``invert``


@pytest.mark.parametrize(("most", "least"), [(0, 1), (7, 8), (0.1, 51)])
@pytest.mark.parametrize("runs", ["service", "stock"])
def test_it_fails_once_more_have_failed(fake_queue: Queue, most: float, least: int, runs: str) -> None:
    job = fake_queue.map(jobs.invert, BAD, chunksize=1, max_failures=most)
    if runs == "stock":
        drain(fake_queue)
    else:
        with running_worker(fake_queue):
            wait_until(job.ready)
    assert job.get_status() == JobStatus.FAILED
    assert least <= job.progress.failed < len(BAD)
    with pytest.raises(MapFailedError, match="too many items have failed"):
        job.get(timeout=HANGS, errors="return")
    with pytest.raises(ZeroDivisionError):
        job.get(timeout=HANGS)


@pytest.mark.parametrize(("most", "failed"), [(0, 1), (7, 8), (0.1, 41)])
@pytest.mark.parametrize("runs", ["service", "stock"])
def test_a_chunk_stops_that_alone_has_too_many(
    fake_queue: Queue, tmp_path: Path, most: float, failed: int, runs: str
) -> None:
    """With no more than two processes, and chunks of half of the items."""
    tried = partial(jobs.fail_times, str(tmp_path / "tried"), times=1)
    job = fake_queue.map(tried, range(400), chunksize=200, max_failures=most)
    if runs == "stock":
        drain(fake_queue)
    else:
        with running_worker(fake_queue, processes=2):
            wait_until(job.ready)
    assert job.get_status() == JobStatus.FAILED
    with pytest.raises(MapFailedError, match="too many items have failed"):
        job.get(timeout=HANGS, errors="return")
    ran = len((tmp_path / "tried").read_text(encoding="utf-8").splitlines())
    assert ran == job.progress.failed == failed if runs == "stock" else failed <= ran <= 4 * failed


def test_what_stays_below_is_seen_through(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        job = fake_queue.map(jobs.invert, [1, 0, 2, 0, 4], chunksize=1, max_failures=2)
        assert len(job.get(timeout=HANGS, errors="return")) == 5


def test_a_retry_goes_on(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.invert, [0, *range(1, 50)], chunksize=1, max_failures=0)
    with running_worker(fake_queue):
        wait_until(job.ready)
        job.requeue()
        wait_until(lambda: job.get_status() == JobStatus.FAILED and job.progress.failed == 1)


def test_a_guest_tells_the_owner(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1), running_worker(real_queue, processes=1):
        job = real_queue.map(jobs.fail_slowly, range(400), chunksize=1, max_failures=3)
        wait_until(job.ready)
        assert job.get_status() == JobStatus.FAILED
        assert "too many items have failed" in job.store.info().reason
        assert job.progress.failed < 400


def test_of_an_open_map(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        job = fake_queue.open_map(jobs.invert, max_failures=2)
        job.put_many([0] * 3)
        wait_until(job.ready)
        with pytest.raises(MapFailedError, match="too many items"):
            job.put(0)
        assert job.get_status() == JobStatus.FAILED


def test_what_counts_as_too_many() -> None:
    def judged(most: float, failed: int, total: int = 100) -> bool:
        return bool(Terms(max_failures=most).too_many(failed, total))

    assert [judged(5, n) for n in (5, 6)] == [False, True]
    assert [judged(0, n) for n in (0, 1)] == [False, True]
    assert [judged(0.05, n) for n in (5, 6)] == [False, True]
    assert not judged(0.05, 1000, UNSEALED)
    assert not Terms().too_many(10**9, 1)


@pytest.mark.parametrize("most", [-1, 1.0, 1.5, -0.1, 0.0, True, "3", float("nan"), float("inf"), 2**53])
def test_what_it_cannot_be(fake_queue: Queue, most: Any) -> None:
    with pytest.raises(OptionError, match="max_failures"):
        fake_queue.map(jobs.invert, [1], max_failures=most)
    assert fake_queue.connection.keys("taskq:{*") == []


def test_who_does_not_know_it_keeps_away(fake_queue: Queue) -> None:
    assert fake_queue.map(jobs.square, [1]).schema == schema.SCHEMA
    job = fake_queue.map(jobs.square, [1], max_failures=0)
    assert fake_queue.fetch_job(job.id).schema == schema.TERMS
    assert schema.TERMS - 1 > 4, "the schema before terms"
