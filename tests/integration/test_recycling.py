"""Pool processes that have done enough are replaced; nothing is lost, and nothing waits for it."""

from __future__ import annotations

import os

import psutil
import pytest

from taskq import OptionError, Queue
from taskq.testing import running_worker
from taskq_workers.lanes.lane import Lane
from taskq_workers.lanes.lanes import Lanes
from taskq_workers.settings import Settings, Wear
from tests import jobs
from tests.waiting import HANGS, wait_until


def test_after_so_many_tasks(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=2, wear=Wear(tasks=3)) as state:
        job = fake_queue.map(jobs.process_id, range(30), chunksize=1)
        pids = job.get(timeout=HANGS)
        assert len(job.result_list) == 30
        assert max(pids.count(pid) for pid in pids) <= 3
        assert len(set(pids)) >= 10
        assert job.errors == {}
        wait_until(lambda: len(state.lanes.pids) == 2)
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in set(pids) - set(state.lanes.pids)))


def test_a_process_for_each_plain_job(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1, wear=Wear(tasks=1)):
        sent = [fake_queue.enqueue(jobs.process_id, n) for n in range(5)]
        values = [job.latest_result(timeout=HANGS).return_value for job in sent]  # type: ignore[union-attr]
    assert len(set(values)) == 5


def test_after_so_much_memory(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1, wear=Wear(memory=200)) as state:
        [before] = fake_queue.map(jobs.process_id, [0]).get(timeout=HANGS)
        job = fake_queue.map(jobs.leak, [1, 1, 300, 1, 1], chunksize=1)
        assert job.get(timeout=HANGS) == [1, 1, 300, 1, 1]
        wait_until(lambda: len(state.lanes.pids) == 1 and before not in state.lanes.pids)
        [after] = state.lanes.pids
        assert fake_queue.map(jobs.process_id, [0]).get(timeout=HANGS) == [after]


def test_after_so_much_memory_of_plain_jobs(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Lanes._new

    def ready(lanes: Lanes, index: int) -> Lane:
        lane = make(lanes, index)
        wait_until(lambda: not lane.stillborn)  # so quickly that its place is taken in the same turn
        return lane

    monkeypatch.setattr(Lanes, "_new", ready)
    with running_worker(fake_queue, processes=2, wear=Wear(memory=1)):  # raises what breaks the dispatcher
        seen: set[int] = set()

        def replaced() -> bool:
            result = fake_queue.enqueue(jobs.process_id, 1).latest_result(timeout=HANGS)
            assert result is not None
            seen.add(result.return_value)
            return len(seen) > 6

        wait_until(replaced)


def test_a_successor_that_is_killed_is_replaced(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1, wear=Wear(tasks=1)) as state:
        for n in range(5):
            assert fake_queue.map(jobs.square, [n]).get(timeout=HANGS) == [n * n]
            for lane in list(state.lanes._successors.values()):
                os.kill(lane.pid, 9)


@pytest.mark.parametrize("bad", [Wear(tasks=-1), Wear(memory=-1)])
def test_bad_limits(bad: Wear) -> None:
    with pytest.raises(OptionError, match="above 0"):
        Settings("redis://localhost", wear=bad)
