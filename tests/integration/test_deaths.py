"""Pool processes that die, services that stop: what is lost (nothing) and who is blamed (the guilty)."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from rq import Retry
from rq.job import JobStatus

import taskq
from taskq import Queue
from taskq.testing import running_worker
from taskq_workers.lanes.lone_pool import LonePool
from taskq_workers.service.core.execution import OVERTIME
from tests import jobs
from tests.waiting import HANGS, LONG, wait_until, when

_TIME = 0.5  # seconds that an item may run


def runs_of(ledger: Path) -> list[int]:
    return sorted(int(line) for file in ledger.parent.glob("ledger.*") for line in file.read_text().split())


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it was killed the time before, and is not replaced yet
        os.kill(pid, signal.SIGKILL)


def test_only_the_chunk_of_a_killed_process_runs_again(fake_queue: Queue, tmp_path: Path) -> None:
    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    items = [(str(ledger), n, str(flag) if n > 5 else "") for n in range(20)]
    with running_worker(fake_queue) as state:
        job = fake_queue.starmap(jobs.run_until, items, chunksize=1)
        wait_until(lambda: len(runs_of(ledger)) == 8, "each process is at an item that waits")
        os.kill(state.lanes.pids[0], signal.SIGKILL)
        flag.touch()
        assert job.get(timeout=HANGS) == [n * n for n in range(20)]
        assert len(job.result_list) == 20
    again = len(runs_of(ledger)) - 20
    assert 0 <= again <= 1
    assert set(runs_of(ledger)) == set(range(20))


def test_idle_processes_may_be_killed(fake_queue: Queue) -> None:
    with running_worker(fake_queue) as state:
        for _ in range(5):
            for pid in state.lanes.pids:
                kill(pid)
            assert fake_queue.map(jobs.square, range(100)).get(timeout=HANGS) == [n * n for n in range(100)]


def test_a_process_killed_at_any_moment(fake_queue: Queue) -> None:
    with running_worker(fake_queue) as state:
        job = fake_queue.map(jobs.square, range(200_000), chunksize=500)
        kills = 0
        while not job.ready():
            pids = state.lanes.pids
            if pids and kills < 20:
                kill(pids[kills % len(pids)])
                kills += 1
                before = job.progress.done
                wait_until(lambda before=before: job.progress.done > before or job.ready())
        assert job.get() == [n * n for n in range(200_000)]
        assert len(job.result_list) == 200_000
    assert kills >= 5


def test_a_process_that_has_died_was_not_over_its_time(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service was stopped for a while, and looks at the time before it hears of the death."""
    flag = tmp_path / "died"
    report = LonePool.Process

    def die_once(n: int) -> int:
        if n == 3 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    def late(self: LonePool, ctx: Any, *args: Any, **options: Any) -> Any:
        if self.process is not None and flag.exists():
            time.sleep(_TIME + OVERTIME + 0.5)  # the death is heard of when the item is over its time
            monkeypatch.setattr(LonePool, "Process", report)
        return report(self, ctx, *args, **options)

    monkeypatch.setattr(LonePool, "Process", late)
    with running_worker(fake_queue):
        job = fake_queue.map(die_once, range(8), chunksize=1, item_timeout=_TIME)
        assert job.get(timeout=HANGS) == list(range(8))


def test_who_stops_the_forkserver_costs_itself(fake_queue: Queue) -> None:
    """It starts no process any more then, and does not say that one has died."""

    def stop(n: int) -> int:
        if n == 3:
            os.kill(os.getppid(), signal.SIGSTOP)
            os._exit(1)
        return n

    with running_worker(fake_queue):
        job = fake_queue.map(stop, range(10), chunksize=1)
        results = job.get(timeout=HANGS, errors="return")
    assert [value for n, value in enumerate(results) if n != 3] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert isinstance(results[3], taskq.WorkerLostError)


def test_a_poison_item_is_found_and_nobody_else_is_blamed(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        job = fake_queue.map(jobs.die_at_3, range(10), chunksize=10)
        results = job.get(timeout=HANGS, errors="return")
    assert [value for n, value in enumerate(results) if n != 3] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert isinstance(results[3], taskq.WorkerLostError)
    assert "item 3" in str(results[3])
    assert "SIGKILL" in str(results[3])
    assert list(job.errors) == [3]


def test_a_death_is_logged_with_what_it_was_at(fake_queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    with running_worker(fake_queue):
        job = fake_queue.map(jobs.die_at_3, [2, 3], chunksize=1)
        plain = fake_queue.enqueue(jobs.die_at_3, 3)
        assert job.wait(HANGS)
        wait_until(lambda: plain.get_status() == JobStatus.FAILED)
    said = [one.message.partition(" died by ")[2] for one in caplog.records if " died by " in one.message]
    assert f"SIGKILL, at item 1 of the map {job.id} (die_at_3)" in said
    assert f"SIGKILL, at the job {plain.id} (tests.jobs.die_at_3)" in said


def test_an_item_that_exits_its_process_with_0_is_a_death_too(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        job = fake_queue.map(jobs.exit_process, [0])
        with pytest.raises(taskq.WorkerLostError, match="exit code 0"):
            job.get(timeout=HANGS)


def test_a_plain_job_whose_process_dies_fails_as_under_rq(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        job = fake_queue.enqueue(jobs.die_at_3, 3)
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
        latest = job.latest_result()
    assert latest is not None
    assert "Work-horse terminated unexpectedly; waitpid returned 9 (signal 9)" in (latest.exc_string or "")


def test_or_is_retried_as_its_retry_says(fake_queue: Queue, tmp_path: Path) -> None:
    with running_worker(fake_queue):
        job = fake_queue.enqueue(jobs.die_once, str(tmp_path / "flag"), retry=Retry(max=1))
        wait_until(lambda: job.get_status() == JobStatus.FINISHED)
        assert job.return_value() == "survived"


def test_stopping_finishes_what_runs_and_puts_the_rest_back(fake_queue: Queue, tmp_path: Path) -> None:
    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    items = [(str(ledger), n, str(flag) if n > 3 else "") for n in range(30)]
    with running_worker(fake_queue, grace=LONG) as state:
        job = fake_queue.starmap(jobs.run_until, items, chunksize=1)
        wait_until(lambda: len(runs_of(ledger)) == 6, "each process is at an item that waits")
        waiting = fake_queue.enqueue(jobs.square, 3)
        when(lambda: state.stopping, flag.touch)
    assert job.get_status() == JobStatus.QUEUED
    assert fake_queue.connection.hlen(job.store.keys.claims) == 0
    with running_worker(fake_queue):
        assert job.get(timeout=HANGS) == [n * n for n in range(30)]
        wait_until(lambda: waiting.return_value(refresh=True) == 9)
    assert runs_of(ledger) == list(range(30))


def test_stopping_kills_what_does_not_end_within_the_grace(fake_queue: Queue) -> None:
    with running_worker(fake_queue, grace=0.2):
        job = fake_queue.map(jobs.nap, [LONG, LONG])
        plain = fake_queue.enqueue(jobs.nap, LONG)
        wait_until(lambda: len(fake_queue.started_job_registry.get_job_ids()) >= 1)
    assert job.get_status() == JobStatus.QUEUED
    assert plain.get_status() == JobStatus.QUEUED
    assert set(fake_queue.job_ids) == {job.id, plain.id}


def test_two_services_share_one_map(fake_queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with running_worker(fake_queue, processes=1) as one, running_worker(fake_queue, processes=1) as two:
        job = fake_queue.map(jobs.wait_for, [str(flag)] * 100, chunksize=1)
        for state in (one, two):
            wait_until(lambda state=state: any(run.flying for run in list(state.maps)), "both work on it")
        flag.touch()
        assert len(job.get(timeout=HANGS)) == 100
        entries = fake_queue.connection.xrange("taskq:timeline")
        shares = {entry[b"worker"].decode() for _id, entry in entries}
        assert shares == {one.name, two.name}
        wait_until(lambda: not one.taken and not two.taken)


def test_a_forkserver_killed_while_it_starts_a_process(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    kills: list[int] = []
    read = forkserver.read_signed

    def killed(sentinel: int) -> int:
        if len(kills) < 2:
            kills.append(forkserver._forkserver._forkserver_pid)
            kill(kills[-1])
            raise EOFError("unexpected EOF")  # as read_signed says if the server dies before it has answered
        return read(sentinel)

    monkeypatch.setattr(forkserver, "read_signed", killed)
    with running_worker(fake_queue):
        assert fake_queue.map(jobs.square, range(10)).get(timeout=HANGS) == [n * n for n in range(10)]
    assert len(kills) == 2
