"""Which job is meant by the beginning of an id."""

from __future__ import annotations

import uuid

import pytest

from taskq import MapJob, Queue, UsageError
from taskq.views import listed, short_ids
from tests import jobs

DRAWN = "0f3a52c1-7c1e-4d0b-9c55-0a1b2c3d4e5f"
LIKE_IT = "0f3a52c1-7c1e-4d0b-9c55-0a1b2c3d4e60"


def test_what_is_shown() -> None:
    assert short_ids.shortened(DRAWN) == "0f3a52c1"
    assert short_ids.shortened(str(uuid.uuid4())) != short_ids.shortened(str(uuid.uuid4()))
    for chosen in ("order-1", "0f3a52c1", "a" * 36, DRAWN.upper(), DRAWN + "0"):
        assert short_ids.shortened(chosen) == chosen


@pytest.mark.parametrize("length", [8, 9, 20, 35, 36])
def test_the_beginning_of_an_id(any_queue: Queue, length: int) -> None:
    any_queue.map(jobs.square, [1], job_id=DRAWN)
    job = any_queue.fetch_job(DRAWN[:length])
    assert isinstance(job, MapJob)
    assert job.id == DRAWN


def test_whatever_has_become_of_the_job(any_queue: Queue) -> None:
    for status in listed.STATUSES[1:]:
        job = any_queue.enqueue(jobs.square, 1)
        any_queue.remove(job.id)
        assert any_queue.fetch_job(job.id[:8]) is None
        member = f"{job.id}:{uuid.uuid4().hex}" if status == "started" else job.id
        any_queue.connection.zadd(getattr(any_queue, f"{status}_job_registry").key, {member: 2**31})
        found = any_queue.fetch_job(job.id[:8])
        assert found is not None, status
        assert found.id == job.id


def test_several_are_named(any_queue: Queue) -> None:
    for job_id in (DRAWN, LIKE_IT):
        any_queue.enqueue(jobs.square, 1, job_id=job_id)
    with pytest.raises(UsageError, match=f"2 jobs have an id that begins with 0f3a52c1: {DRAWN}, {LIKE_IT}"):
        any_queue.fetch_job("0f3a52c1")
    assert any_queue.fetch_job(DRAWN[:-1]).id == DRAWN


def test_an_id_of_one_s_own_means_itself(any_queue: Queue) -> None:
    """Also where there is no such job: to take another for it may cancel the wrong one."""
    for job_id in ("order-10", "12345678-and-more", DRAWN):
        any_queue.enqueue(jobs.square, 1, job_id=job_id)
    for asked in ("order-1", "12345678", "0f3a52c", "", "0f3a52c1*", "rq:job:0f3a52c1", "0f3a52c1\n"):
        assert any_queue.fetch_job(asked) is None
        assert short_ids.whole(any_queue.connection, asked, least=short_ids.SHOWN) == asked
    any_queue.enqueue(jobs.square, 1, job_id=DRAWN[:8])
    assert any_queue.fetch_job(DRAWN[:8]).id == DRAWN[:8]


def test_jobs_of_other_queues(any_queue: Queue) -> None:
    other = Queue("other", connection=any_queue.connection)
    other.enqueue(jobs.square, 1, job_id=DRAWN)
    assert any_queue.fetch_job(DRAWN[:8]) is None
    assert short_ids.whole(any_queue.connection, DRAWN[:4]) == DRAWN
    assert short_ids.whole(any_queue.connection, DRAWN[:3]) == DRAWN[:3]
