"""Signals to the manager: SIGTERM and the first Ctrl-C drain, the second kills, SIGHUP restarts the services."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from taskq import MapJob, Queue
from tests import jobs
from tests.acceptance.worker import Workers, alive, runs_of
from tests.waiting import HANGS, LONG, wait_until

pytestmark = pytest.mark.acceptance


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """What the items wait for."""
    return tmp_path / "flag"


ITEMS = 12


def push(queue: Queue, ledger: Path, flag: Path) -> MapJob:
    """A map of which two processes have run three items, and are now each at one that waits."""
    first = flag.with_name(
        "first"
    )  # the first ones wait, too, until both processes have one: short ones are hoarded
    items = [(str(ledger), n, str(flag if n > 2 else first)) for n in range(ITEMS)]
    job = queue.starmap(jobs.run_until, items, chunksize=1)
    wait_until(lambda: len(runs_of(ledger)) == 2)
    first.touch()
    wait_until(lambda: job.progress.done == 3 and len(runs_of(ledger)) == 5)
    return job


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_draining(workers: Workers, real_queue: Queue, ledger: Path, flag: Path, signum: int) -> None:
    worker = workers.ready()
    job = push(real_queue, ledger, flag)
    if signum == signal.SIGINT:
        os.killpg(worker.pid, signum)  # as a terminal sends it
    else:
        worker.signal(signum)
    worker.wait_until_output("stops: finishes what runs")
    last = real_queue.enqueue(jobs.square, 3)
    flag.touch()
    assert worker.process.wait(timeout=HANGS) == 0
    worker.wait_until_gone()
    assert job.get_status() == "queued"
    assert real_queue.job_ids == [job.id, last.id]
    connection = real_queue.connection
    assert connection.hlen(job.store.keys.claims) == 0
    assert real_queue.started_job_registry.get_job_ids(cleanup=False) == []
    assert not connection.keys("rq:execution*")
    assert not connection.exists("taskq:leases", "taskq:services", "rq:workers")
    assert len(runs_of(ledger)) == job.progress.done, "what ran was finished"
    workers.ready()
    assert job.get(timeout=HANGS) == [n * n for n in range(ITEMS)]
    assert runs_of(ledger) == list(range(ITEMS))
    assert "Traceback" not in worker.output


def test_what_does_not_end_within_the_grace_is_put_back(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready(grace=0.3)
    job = real_queue.map(jobs.sleep_in_c, [LONG], chunksize=1)
    plain = real_queue.enqueue(jobs.nap, LONG)
    wait_until(lambda: len(real_queue.started_job_registry.get_job_ids(cleanup=False)) == 2)
    wait_until(lambda: real_queue.connection.hlen(job.store.keys.claims) == 1)
    assert worker.stop() == 0
    worker.wait_until_gone()
    assert {one.get_status() for one in (job, plain)} == {"queued"}
    assert sorted(real_queue.job_ids) == sorted([job.id, plain.id])


def test_second_interrupt_kills(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready(services=2, processes=1)
    job = real_queue.map(jobs.nap, [LONG, LONG], chunksize=1)
    wait_until(lambda: real_queue.connection.hlen(job.store.keys.claims) >= 1)
    worker.signal(signal.SIGINT)
    worker.wait_until_output("stops: finishes what runs", count=2)
    worker.signal(signal.SIGINT)
    assert worker.process.wait(timeout=HANGS) == 130
    worker.wait_until_gone()
    assert "Traceback" not in worker.output


def test_hang_up_restarts_the_services(workers: Workers, real_queue: Queue, ledger: Path, flag: Path) -> None:
    worker = workers.ready(services=2, processes=1)
    job = push(real_queue, ledger, flag)
    before = {info.pid for info in worker.infos}
    worker.signal(signal.SIGHUP)
    worker.wait_until_output("stops: finishes what runs")
    flag.touch()
    wait_until(lambda: not any(alive(pid) for pid in before))
    assert job.get(timeout=HANGS) == [n * n for n in range(ITEMS)]
    assert len(job.result_list) == ITEMS
    wait_until(lambda: len(worker.infos) == 2)
    assert before.isdisjoint(info.pid for info in worker.infos)
    assert worker.process.poll() is None
    assert runs_of(ledger) == list(range(ITEMS)), "what ran was finished"


def test_hang_up_takes_one_service_after_the_other(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready(services=3, processes=1)
    before = {info.pid for info in worker.infos}
    job = real_queue.map(jobs.nap, [0.05] * 60, chunksize=1)
    worker.signal(signal.SIGHUP)
    fewest = 3

    def all_replaced() -> bool:
        nonlocal fewest
        now = worker.infos
        fewest = min(fewest, len(now))
        return len(now) == 3 and before.isdisjoint(info.pid for info in now)

    wait_until(all_replaced)
    assert fewest >= 2
    assert job.get(timeout=HANGS) == [0.05] * 60
    assert len(job.result_list) == 60


def test_hang_up_lets_what_runs_end(workers: Workers, real_queue: Queue, ledger: Path, flag: Path) -> None:
    worker = workers.ready()
    job = real_queue.enqueue(jobs.run_until, str(ledger), 3, str(flag))
    wait_until(lambda: runs_of(ledger))
    [before] = worker.service_pids
    worker.signal(signal.SIGHUP)
    worker.wait_until_output("stops: finishes what runs")
    flag.touch()
    wait_until(lambda: not alive(before))
    assert job.get_status() == "finished"
    assert runs_of(ledger) == [3]


def test_hang_up_blames_nobody(workers: Workers, real_queue: Queue, ledger: Path, flag: Path) -> None:
    worker = workers.ready(processes=1)
    job = real_queue.starmap(jobs.run_until, [(str(ledger), 3, str(flag))])
    for count in (1, 2, 3):
        wait_until(lambda count=count: len(runs_of(ledger)) >= count or job.ready())
        worker.wait_until_ready()
        before = worker.service_pids
        worker.signal(signal.SIGHUP)
        worker.wait_until_output("stops: finishes what runs", count)
        flag.touch()
        wait_until(lambda before=before: not any(alive(pid) for pid in before))
    assert job.get(timeout=HANGS) == [9]
    assert runs_of(ledger) == [3]


def test_stopped_at_its_start(workers: Workers) -> None:
    worker = workers.start("--processes", "2", "--services", "2", services=2)
    wait_until(lambda: worker.service_pids)
    assert worker.stop() == 0
    worker.wait_until_gone()
    assert worker.infos == []
    assert "Traceback" not in worker.output


def test_terminated_service_drains_and_is_replaced(
    workers: Workers, real_queue: Queue, ledger: Path, flag: Path
) -> None:
    worker = workers.ready()
    job = push(real_queue, ledger, flag)
    [before] = worker.service_pids
    os.kill(before, signal.SIGTERM)
    worker.wait_until_output("stops: finishes what runs")
    flag.touch()
    assert job.get(timeout=HANGS) == [n * n for n in range(ITEMS)]
    assert runs_of(ledger) == list(range(ITEMS))
    assert before not in worker.service_pids
