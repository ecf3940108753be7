"""The worker's options about its pool processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskq import Queue
from tests import jobs
from tests.acceptance.worker import ROOT, Workers
from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance


def test_recycling_and_preload(workers: Workers, real_queue: Queue) -> None:
    options = ("--max-tasks-per-child", "2", "--max-memory-per-child", "500", "--preload", "no.such.module",
               "--preload", "wave")  # fmt: skip
    worker = workers.ready(2, *options)
    pids = real_queue.map(jobs.process_id, range(10), chunksize=1).get(timeout=HANGS)
    assert len(set(pids)) >= 5
    assert real_queue.map(jobs.has_imported, ["wave", "turtle"]).get(timeout=HANGS) == [True, False]
    assert "--preload no.such.module failed: ModuleNotFoundError" in worker.output
    assert worker.stop() == 0
    worker.wait_until_gone()
    assert "Traceback" not in worker.output


def test_each_process_draws_its_own_numbers(workers: Workers, real_queue: Queue, folder: Path) -> None:
    (folder / "torch.py").write_text("numbers = [0]\ndef seed(): numbers[0] = __import__('os').getpid()\n")
    workers.ready(3, "--preload", "numpy.random", "--preload", "torch", PYTHONPATH=f"{ROOT}:{folder}")
    drawn = real_queue.map(jobs.draw, [0.05] * 12, chunksize=1).get(timeout=HANGS)
    processes = {pid for pid, _numbers, _seed in drawn}
    assert len(processes) > 1
    assert len({numbers for _pid, numbers, _seed in drawn}) == 12
    assert all(pid == seed for pid, _numbers, seed in drawn)
