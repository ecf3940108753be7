"""One Dask worker after the other, and the scheduler, die in the middle of a map: part of ``make dask``."""

from __future__ import annotations

from pathlib import Path

from distributed import Client

from taskq import Queue
from taskq.redis import keys
from taskq.testing import running_worker
from tests import jobs
from tests.dask_cluster import cluster
from tests.integration.test_engines import runs_of
from tests.waiting import HANGS, wait_until


def test_a_dask_worker_dies(fake_queue: Queue, tmp_path: Path) -> None:
    """Its chunks run elsewhere at once, and nobody is to blame."""
    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    with cluster(workers=2, threads=1) as dask, running_worker(fake_queue, engine=dask.engine) as state:
        wait_until(lambda: state.lanes.size == 2)
        job = fake_queue.starmap(jobs.run_until, [(str(ledger), n, str(flag)) for n in range(4)], chunksize=1)
        wait_until(lambda: len(runs_of(ledger)) == 2, "each process is at an item that waits")
        dask.kill(dask.workers[0])
        wait_until(lambda: state.lanes.size == 1)
        flag.touch()
        assert job.get(timeout=HANGS) == [n * n for n in range(4)]
        assert len(job.result_list) == 4
        dask.kill(dask.workers[0])
        wait_until(lambda: "has no worker" in state.trouble, "a cluster without workers is said")
        job = fake_queue.map(jobs.square, range(10))
        dask.start_worker()
        assert job.get(timeout=HANGS) == [n * n for n in range(10)]
        wait_until(lambda: not state.trouble)
    outcomes = [entry[b"outcome"] for _id, entry in fake_queue.connection.xrange(keys.TIMELINE)]
    assert set(outcomes) == {b"ok"}


def test_a_dask_scheduler_dies(fake_queue: Queue) -> None:
    with cluster() as dask, running_worker(fake_queue, engine=dask.engine) as state:
        wait_until(lambda: state.lanes.size == 2)
        dask.kill(dask.scheduler)
        wait_until(lambda: not state.lanes.size)
        job = fake_queue.map(jobs.square, range(10))
        for worker in list(dask.workers):
            dask.kill(worker)
        dask.start_scheduler()
        dask.start_worker()
        assert job.get(timeout=HANGS) == [n * n for n in range(10)]


def test_a_dask_worker_retires(fake_queue: Queue, tmp_path: Path) -> None:
    """It gets no more; Dask does not wait for what it runs, which runs again elsewhere."""
    ledger = tmp_path / "ledger"
    with cluster(workers=2, threads=1) as dask, running_worker(fake_queue, engine=dask.engine) as state:
        wait_until(lambda: state.lanes.size == 2)
        job = fake_queue.starmap(jobs.run_once, [(str(ledger), n, 0.3) for n in range(16)], chunksize=1)
        wait_until(lambda: len(runs_of(ledger)) >= 4)
        with Client(f"tcp://127.0.0.1:{dask.port}") as client:
            client.retire_workers(list(client.scheduler_info()["workers"])[:1])
        assert job.get(timeout=HANGS) == [n * n for n in range(16)]
        assert state.lanes.size == 1
    assert set(runs_of(ledger)) == {*range(16)}
    assert len(runs_of(ledger)) <= 17, "no more than what it ran has run again"
