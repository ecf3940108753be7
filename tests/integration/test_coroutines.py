"""``async def`` in maps, on real pool processes."""

from __future__ import annotations

import pytest

import taskq
from taskq import Queue
from taskq.testing import drain, running_worker
from tests.unit import test_coroutines as functions
from tests.waiting import HANGS, LONG


def test_they_run_in_pool_processes(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        assert fake_queue.map(functions.double, range(100)).get(timeout=HANGS) == [2 * n for n in range(100)]
        assert fake_queue.starmap(functions.Call(), [(1, 2)]).get(timeout=HANGS) == [5]
        for _ in range(2):
            job = fake_queue.map(functions.current_job, range(2))
            assert job.get(timeout=HANGS) == [job.id] * 2
        assert fake_queue.map(functions.run_a_program, [1, 2]).get(timeout=HANGS) == [b"1", b"2"]


def test_a_time_limit_ends_them(fake_queue: Queue) -> None:
    async def sleep(n: int) -> int:
        import asyncio

        await asyncio.sleep(n)
        return n

    with running_worker(fake_queue):
        job = fake_queue.map(sleep, [0, LONG], item_timeout=2.0, chunksize=2)
        with pytest.raises(taskq.ItemTimeoutError):
            job.get(timeout=HANGS)
        assert list(job.result_list) == [0]


def test_they_run_in_a_stock_worker(fake_queue: Queue) -> None:
    job = fake_queue.map(functions.double, range(10))
    drain(fake_queue)
    assert job.get() == [2 * n for n in range(10)]
