"""What waits behind something long, while another process is free or something is more urgent."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskq import Queue
from taskq.testing import running_worker
from taskq_workers.service.core.state import State
from tests import jobs
from tests.integration.test_deaths import runs_of
from tests.waiting import BRIEF, HANGS, wait_until


@pytest.mark.parametrize("kind", ["map", "plain"])
def test_short_chunks_beside_a_long_task(real_queue: Queue, tmp_path: Path, kind: str) -> None:
    flag = tmp_path / "flag"
    with running_worker(real_queue, processes=2):
        push = real_queue.enqueue if kind == "plain" else lambda fn, item: real_queue.map(fn, [item])
        long = push(jobs.wait_for, str(flag))
        wait_until(lambda: long.get_status(refresh=True) == "started", "the long one runs")
        for _ in range(5):
            assert real_queue.map(jobs.square, range(8), chunksize=1).get(timeout=HANGS)[-1] == 49
        assert long.get_status(refresh=True) == "started", "a short map has waited for the long task's end"
        flag.touch()


def holds_one_each(state: State) -> bool:
    """Whether no process has anything but what it runs."""
    return [len(lane.tasks) for lane in state.lanes] == [1, 1]


def test_a_chunk_behind_an_item_that_turns_out_long_is_run_elsewhere(real_queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with running_worker(real_queue, processes=2):
        job = real_queue.map(jobs.wait_for, [*[""] * 30, str(flag), *[""] * 30], chunksize=1)
        wait_until(lambda: job.progress.done == 60, "all the others are done")
        flag.touch()
        assert job.get(timeout=HANGS)[30] == str(flag)


def test_a_plain_job_takes_the_place_of_what_waits_behind_an_item(real_queue: Queue, tmp_path: Path) -> None:
    """Else it would wait for the item that runs and for the one behind it."""
    first, second, last = flags = [str(tmp_path / name) for name in ("first", "second", "last")]
    with running_worker(real_queue, processes=2) as state:
        items = [*[""] * 30, first, second, last, last, *[""] * 30]
        job = real_queue.map(jobs.wait_for, items, chunksize=1)
        wait_until(lambda: job.progress.done == 30 and all(len(lane.tasks) == 2 for lane in state.lanes))
        plain = real_queue.enqueue(jobs.square, 7)
        wait_until(lambda: holds_one_each(state), "what was not begun is taken back")
        Path(first).touch()
        wait_until(lambda: plain.get_status(refresh=True) == "finished", "the process that is free runs the job")
        for flag in flags:
            Path(flag).touch()
        assert job.get(timeout=HANGS) == items


def test_what_is_taken_back_is_run_once(real_queue: Queue, tmp_path: Path) -> None:
    """Also what begins in the moment in which it is asked back."""
    ledger = tmp_path / "ledger"
    with running_worker(real_queue, processes=2):
        calls = [(str(ledger), n, 0.004 * (n % 9)) for n in range(200)]
        job = real_queue.starmap(jobs.run_once, calls, chunksize=2)
        while not job.ready():
            real_queue.enqueue(jobs.nap, 0.02)
            job.wait(BRIEF)
        assert job.get() == [n * n for n in range(200)]
    assert runs_of(ledger) == list(range(200))
