"""Results of a megabyte: they travel through shared memory, and are as safe as all others."""

from __future__ import annotations

import sys

import fakeredis
import pytest

from taskq import Queue, WorkerLostError
from taskq.maps import pace
from taskq.testing import running_worker
from taskq_workers.link.tray import Clearing, Laid
from tests import jobs
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all goes through the pipe")


@pytest.fixture
def laid(monkeypatch: pytest.MonkeyPatch) -> list[Laid]:
    """What has come through the shared memory."""
    seen: list[Laid] = []
    take = Clearing.take

    def note(self: Clearing, values: list[object]) -> list[object]:
        seen.extend(value for value in values if isinstance(value, Laid))
        return take(self, values)

    monkeypatch.setattr(Clearing, "take", note)
    return seen


def test_they_arrive_whole_and_in_order(any_queue: Queue, laid: list[Laid]) -> None:
    with running_worker(any_queue):
        job = any_queue.map(jobs.large, range(60))
        assert job.get(timeout=HANGS) == [jobs.large(n) for n in range(60)]
    assert len(laid) > 30, "more than the memory of two processes has room for at once"


def test_they_are_sent_again_when_the_connection_breaks(real_queue: Queue, laid: list[Laid]) -> None:
    with running_worker(real_queue):
        job = real_queue.map(jobs.large, range(60), chunksize=1)
        for done in range(5, 60, 5):
            wait_until(lambda done=done: job.progress.done >= done)
            real_queue.connection.client_kill_filter(_type="normal", skipme=True)
        assert job.get(timeout=HANGS) == [jobs.large(n) for n in range(60)]
        assert len(job.result_list) == 60
    assert laid


def test_a_chunk_ends_where_its_results_are_many(real_queue: Queue) -> None:
    with running_worker(real_queue):
        job = real_queue.map(jobs.large, range(200))
        job.wait(timeout=HANGS)
        spans = job.store.spans(0, 10**6)
    assert sorted(n for start, count in spans for n in range(start, start + count)) == list(range(200))
    assert max(count for _start, count in spans) <= 1.5 * pace.HELD / 2**20, "half as much more is let through"


def test_a_chunk_of_a_given_size_is_left_whole(real_queue: Queue) -> None:
    with running_worker(real_queue):
        job = real_queue.map(jobs.large, range(24), chunksize=12)
        assert job.get(timeout=HANGS) == [jobs.large(n) for n in range(24)]
        assert sorted(job.store.spans(0, 10**6)) == [(0, 12), (12, 12)]


def test_signed_ones(real_queue: Queue, laid: list[Laid], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_SECRET_KEY", "0123456789abcdef0123456789abcdef")
    with running_worker(real_queue):
        assert real_queue.map(jobs.large, range(10)).get(timeout=HANGS) == [jobs.large(n) for n in range(10)]
    assert laid


def test_what_was_laid_down_by_a_process_that_died_is_not_lost(real_queue: Queue, laid: list[Laid]) -> None:
    with running_worker(real_queue, processes=1):
        job = real_queue.map(jobs.large_until_3, range(6), chunksize=1)
        (*results,) = job.get(timeout=HANGS, errors="return")
    assert isinstance(results.pop(3), WorkerLostError)
    assert results == [jobs.large(n) for n in (0, 1, 2, 4, 5)]
    assert laid


def test_they_wait_until_redis_is_back(laid: list[Laid]) -> None:
    server = fakeredis.FakeServer()
    queue = Queue(connection=fakeredis.FakeRedis(server=server))
    with running_worker(queue) as state:
        job = queue.map(jobs.large, range(60), chunksize=1)
        for done in (10, 30):
            wait_until(lambda done=done: job.progress.done >= done)
            server.connected = False
            wait_until(lambda: state.unsure and all(not run.flying for run in state.maps))
            server.connected = True
        assert job.get(timeout=HANGS) == [jobs.large(n) for n in range(60)]
        assert len(job.result_list) == 60
    assert laid
