"""Short plain jobs, of which a process gets several at once: as safe as if each had come alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rq.command import send_stop_job_command
from rq.job import Job, JobStatus

from taskq import Queue
from taskq.testing import running_worker
from taskq_workers.lanes import lane
from taskq_workers.lanes.lane import Lane
from taskq_workers.link import ledger
from taskq_workers.link.tasks import BatchTask
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import feeding
from taskq_workers.settings import Wear
from tests import jobs
from tests.integration.test_deaths import runs_of
from tests.waiting import LONG, wait_until, when

Batches = list[list[str]]  # of each its job ids


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Batches:
    """What was given to processes as a batch."""
    seen: Batches = []
    submit = Lane.submit_batch

    def note(self: Lane, batch: BatchTask, notes: Any) -> None:
        seen.append([task.job_id for _number, task in batch.jobs])
        submit(self, batch, notes)

    monkeypatch.setattr(Lane, "submit_batch", note)
    monkeypatch.setattr(State, "ran", lambda _state, _outcome: None)  # they stay as short as ``enqueue`` says
    return seen


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken back by itself, and no batch ends before its last job."""
    monkeypatch.setattr(lane, "_RECALL", LONG)
    monkeypatch.setattr(feeding, "BATCH", (LONG, feeding.BATCH[1]))


def enqueue(queue: Queue, state: Any, *calls: tuple[Callable[..., Any], tuple[Any, ...]]) -> list[Job]:
    """Queue calls all at once, where jobs are known as short."""
    known = queue.enqueue(jobs.square, 0)
    wait_until(lambda: has_ended(known))
    state.job_seconds = 0.0001
    return queue.enqueue_many([queue.prepare_data(function, arguments) for function, arguments in calls])


def has_ended(job: Job) -> bool:
    return job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED)


def behind(batches: Batches, job: Job) -> list[str]:
    """Of the last batch that the job was in: what comes after it."""
    [*_, batch] = [batch for batch in batches if job.id in batch]
    return batch[batch.index(job.id) + 1 :]


def test_a_job_that_kills_its_process_costs_no_other_a_run(
    real_queue: Queue, tmp_path: Path, batches: Batches
) -> None:
    calls: list[tuple[Any, Any]] = [(jobs.run_once, (str(tmp_path / "ledger"), n, 0)) for n in range(60)]
    calls[20] = (jobs.exit_process, (7,))
    calls[40] = (jobs.die_at_3, (3,))
    with running_worker(real_queue) as state:
        queued = enqueue(real_queue, state, *calls)
        wait_until(lambda: all(has_ended(job) for job in queued))
    failed = {n: job.latest_result().exc_string for n, job in enumerate(queued) if job.get_status() == "failed"}
    assert list(failed) == [20, 40]
    assert "waitpid returned 1792" in failed[20]
    assert "signal 9" in failed[40]
    assert runs_of(tmp_path / "ledger") == [n for n in range(60) if n not in failed]
    assert [job.return_value() for n, job in enumerate(queued) if n not in failed] == [
        n * n for n in range(60) if n not in failed
    ]
    assert batches


def test_a_process_that_dies_at_any_moment_costs_only_the_job_that_ran(real_queue: Queue, tmp_path: Path) -> None:
    queued: list[Job] = []
    done = real_queue.finished_job_registry
    with running_worker(real_queue) as state:
        for turn in range(5):
            wait_until(lambda: len(state.lanes.open) == 2 and not any(lane.stillborn for lane in state.lanes))
            before = done.get_job_count(cleanup=False)
            numbers = range(120 * turn, 120 * (turn + 1))
            calls = [(jobs.run_once, (str(tmp_path / "ledger"), n, 0.0005)) for n in numbers]
            queued += enqueue(real_queue, state, *calls)
            wait_until(lambda before=before: done.get_job_count(cleanup=False) >= before + 20)
            os.kill(pid := state.lanes.pids[0], 9)
            wait_until(lambda pid=pid: pid not in state.lanes.pids)
        wait_until(lambda: all(has_ended(job) for job in queued))
    failed = [n for n, job in enumerate(queued) if job.get_status() == "failed"]
    assert len(failed) <= 5
    ran = runs_of(tmp_path / "ledger")
    assert len(ran) == len(set(ran)), "one ran twice"
    assert set(range(600)) - set(ran) <= set(failed)


def test_what_waits_behind_a_long_job_goes_to_another_process(
    real_queue: Queue, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "BATCH", (LONG, feeding.BATCH[1]))  # also where the machine is busy
    calls: list[tuple[Any, Any]] = [(jobs.square, (n,)) for n in range(60)]
    calls[10] = (jobs.nap, (LONG,))
    with running_worker(real_queue) as state:
        queued = enqueue(real_queue, state, *calls)
        wait_until(lambda: sum(has_ended(job) for job in queued) == 59)
        assert behind(batches, queued[10])
        assert queued[10].get_status() == "started"
        send_stop_job_command(real_queue.connection, queued[10].id)
        wait_until(lambda: queued[10].get_status() == "stopped")


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("running", [True, False])
def test_a_job_of_a_batch_is_stopped_alone(
    real_queue: Queue, tmp_path: Path, batches: Batches, running: bool
) -> None:
    flag = tmp_path / "flag"
    calls: list[tuple[Any, Any]] = [(jobs.square, (n,)) for n in range(30)]
    calls[10] = (jobs.wait_for, (str(flag),))
    with running_worker(real_queue, processes=1) as state:
        queued = enqueue(real_queue, state, *calls)
        wait_until(lambda: any(one.running and one.running.job_id == queued[10].id for one in state.lanes))
        waits = Job.fetch(behind(batches, queued[10])[0], connection=real_queue.connection)
        stopped = queued[10] if running else waits
        send_stop_job_command(real_queue.connection, stopped.id)
        wait_until(lambda: stopped.get_status() == "stopped")
        assert running or queued[10].get_status() == "started"
        flag.touch()
        wait_until(lambda: sum(job.get_status() == "finished" for job in queued) == 29)


def test_a_job_over_its_time_is_the_only_one_that_fails(real_queue: Queue, batches: Batches) -> None:
    calls: list[tuple[Any, Any]] = [(jobs.square, (n,)) for n in range(30)]
    with running_worker(real_queue, processes=1) as state:
        enqueue(real_queue, state)
        datas = [real_queue.prepare_data(function, arguments) for function, arguments in calls]
        datas[10] = real_queue.prepare_data(jobs.sleep_in_c, (LONG,), timeout=1)
        queued = real_queue.enqueue_many(datas)
        wait_until(lambda: all(has_ended(job) for job in queued))
    assert [n for n, job in enumerate(queued) if job.get_status() != "finished"] == [10]
    assert "JobTimeoutException" in queued[10].latest_result().exc_string
    assert any(queued[10].id in batch for batch in batches)


def test_results_too_large_for_the_ledger_arrive(real_queue: Queue, batches: Batches) -> None:
    sizes = [10, ledger.SIZE, ledger.SIZE // 3, ledger.SIZE // 3, ledger.SIZE // 3, 20] * 5
    with running_worker(real_queue) as state:
        queued = enqueue(real_queue, state, *[(jobs.big, (size,)) for size in sizes])
        wait_until(lambda: all(has_ended(job) for job in queued))
    assert [len(job.return_value()) for job in queued] == sizes
    assert batches


def stopped(queue: Queue, ledger: Path, grace: float) -> tuple[list[int], set[int]]:
    """Which of many jobs have run when a worker was stopped among them, and which are recorded as finished.

    All others are in the queue. Both processes are in the middle of a batch when it is told to stop.
    """
    flag = ledger.with_name("flag")
    calls = [(jobs.run_until, (str(ledger), n, str(flag) if n >= 100 else "")) for n in range(500)]
    with running_worker(queue, grace=grace) as state:
        queued = enqueue(queue, state, *calls)
        wait_until(lambda: len([n for n in runs_of(ledger) if n >= 100]) == 2, "both processes wait")
        wait_until(lambda: queue.finished_job_registry.get_job_count(cleanup=False) > 20)
        when(lambda: state.stopping, flag.touch)
    finished = {n for n, job in enumerate(queued) if job.get_status() == "finished"}
    assert 20 < len(finished) < 500
    assert set(queue.job_ids) == {job.id for n, job in enumerate(queued) if n not in finished}
    return runs_of(ledger), finished


@pytest.mark.usefixtures("patient")
def test_a_stopping_worker_leaves_in_the_queue_what_it_has_not_begun(real_queue: Queue, tmp_path: Path) -> None:
    ran, finished = stopped(real_queue, tmp_path / "ledger", grace=LONG)
    assert ran == sorted(finished)


@pytest.mark.usefixtures("patient")
def test_a_worker_without_grace_records_what_has_ended(real_queue: Queue, tmp_path: Path) -> None:
    ran, finished = stopped(real_queue, tmp_path / "ledger", grace=0.0)
    assert len(ran) == len(set(ran))
    assert finished <= set(ran)
    assert len(set(ran) - finished) <= 2, "more will run again than what the two processes were in the middle of"


def test_a_process_gets_no_more_than_it_may_run(real_queue: Queue) -> None:
    with running_worker(real_queue, wear=Wear(tasks=3)) as state:
        queued = enqueue(real_queue, state, *[(jobs.process_id, (n,)) for n in range(20)])
        wait_until(lambda: all(has_ended(job) for job in queued))
    assert max(Counter(job.return_value() for job in queued).values()) <= 3


def test_jobs_whose_reading_takes_longer_than_their_running_get_on(
    real_queue: Queue, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "_RECALL", 0.0)  # each batch is recalled before it is read
    monkeypatch.setattr(lane, "_SETTLED", 0.0)
    monkeypatch.setattr(feeding, "BATCH_BYTES", 1 << 30)
    with running_worker(real_queue) as state:
        queued = enqueue(real_queue, state, *[(len, (os.urandom(300_000),)) for _ in range(40)])
        wait_until(lambda: all(has_ended(job) for job in queued))
    assert {job.return_value() for job in queued} == {300_000}
    firsts = Counter(batch[0] for batch in batches)
    assert max(firsts.values()) == 1, "not even the first of a batch was begun, and it was put first again"


def test_large_arguments_do_not_travel_together(real_queue: Queue, batches: Batches) -> None:
    with running_worker(real_queue) as state:
        queued = enqueue(real_queue, state, *[(len, (os.urandom(50_000),)) for _ in range(20)])
        wait_until(lambda: all(has_ended(job) for job in queued))
    assert not batches
