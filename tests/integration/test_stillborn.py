"""Processes that die before they are ready: nobody is to blame, and who can't start any takes nothing."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from rq.job import JobStatus

from taskq import Queue
from taskq.redis import services
from taskq.testing import running_worker
from taskq_workers.lanes import lanes
from taskq_workers.manager import health
from taskq_workers.settings import Trust
from tests import jobs
from tests.integration.test_deaths import kill
from tests.waiting import HANGS, wait_until


@dataclass(frozen=True)
class Sick(Trust):
    """Ends a pool process at its start, while the file is there: as on a host that has no memory left."""

    flag: str = ""

    def apply(self) -> None:
        if Path(self.flag).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        super().apply()


@pytest.fixture
def flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lanes, "_PAUSES", (0.05, 0.2))
    return tmp_path / "sick"


def told(queue: Queue, name: str) -> str:
    info = services.known(queue.connection, name)
    return info.trouble if info else ""


def test_a_service_that_can_start_no_process_takes_nothing(fake_queue: Queue, flag: Path) -> None:
    flag.touch()
    with running_worker(fake_queue, 2, trust=Sick(flag=str(flag))) as state:
        wait_until(lambda: "died at their start, by SIGKILL" in told(fake_queue, state.name))
        job, plain = fake_queue.map(jobs.square, range(10)), fake_queue.enqueue(jobs.square, 3)
        [problem, *_] = health.look(fake_queue.connection, 1).problems
        assert "takes nothing" in problem
        before = state.lanes._stillborn
        wait_until(lambda: state.lanes._stillborn > before + 1)
        assert (job.get_status(), plain.get_status()) == (JobStatus.QUEUED, JobStatus.QUEUED)
        flag.unlink()
        assert job.get(timeout=HANGS) == [n * n for n in range(10)]
        wait_until(lambda: plain.return_value(refresh=True) == 9)
        wait_until(lambda: not told(fake_queue, state.name))
        assert health.look(fake_queue.connection, 1).healthy
        wait_until(lambda: len(state.lanes.pids) == 2)


def test_it_gives_back_what_it_has_and_nobody_is_blamed(fake_queue: Queue, flag: Path, tmp_path: Path) -> None:
    """The owner of a map, and of plain jobs, falls sick; all is done by another, and nothing has counted."""
    go = tmp_path / "go"
    with running_worker(fake_queue, 2, trust=Sick(flag=str(flag))) as sick:
        job = fake_queue.map(jobs.wait_for, [str(go)] * 20, chunksize=1)
        plain = fake_queue.enqueue(jobs.wait_for, str(go))
        wait_until(lambda: sick.taken)
        wait_until(lambda: any(lane.running for lane in sick.lanes))
        flag.touch()
        for pid in sick.lanes.pids:
            kill(pid)
        wait_until(lambda: sick.lanes.trouble)
        wait_until(lambda: not sick.taken)
        go.touch()
        with running_worker(fake_queue, 2):
            assert len(job.get(timeout=HANGS)) == 20
            wait_until(lambda: plain.get_status(refresh=True) in (JobStatus.FINISHED, JobStatus.FAILED))
    assert job.errors == {}
