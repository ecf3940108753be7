"""Lanes here, on an executor and on a Dask cluster: whatever dies there, the same is lost (nothing) and blamed."""

from __future__ import annotations

import copyreg
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from rq.job import JobStatus

from taskq import ItemTimeoutError, NestedWaitError, Queue, WorkerLostError
from taskq.payload.signing import Keyring
from taskq.redis import keys
from taskq.testing import running_worker
from taskq_workers.settings import Trust
from tests import jobs
from tests.dask_cluster import Cluster, cluster
from tests.waiting import HANGS, LONG, wait_until

pytestmark = pytest.mark.skipif(
    find_spec("distributed") is None, reason="distributed is not installed: pip install 'taskq-pool[dask]'"
)

LIMIT = 2.0  # seconds of an item


@pytest.fixture(scope="module", autouse=True)
def own_pickling() -> Iterator[None]:
    """Importing distributed changes how all exceptions of this process are pickled; other tests look at that."""
    before = dict(copyreg.dispatch_table)
    yield
    copyreg.dispatch_table.clear()
    copyreg.dispatch_table.update(before)


@pytest.fixture(scope="module")
def dask() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture(params=["lanes", "executor", "dask"])
def engine(request: pytest.FixtureRequest) -> str:
    """The same tests on each."""
    if request.param == "dask":
        made: Cluster = request.getfixturevalue("dask")
        return made.engine
    return "executor://tests.executors:processes" if request.param == "executor" else ""


def runs_of(ledger: Path) -> list[int]:
    return sorted(
        int(line) for file in ledger.parent.glob(f"{ledger.name}.*") for line in file.read_text().split()
    )


def test_each_death_costs_its_own_item(fake_queue: Queue, engine: str) -> None:
    with running_worker(fake_queue, engine=engine) as state:
        items = fake_queue.map(jobs.die_at_3, range(40), chunksize=10)
        exits = fake_queue.map(jobs.exit_at_3, range(10))
        once = fake_queue.enqueue(jobs.square, 7)
        dies = fake_queue.enqueue(jobs.exit_process, 3)
        results = items.get(timeout=HANGS, errors="return")
        assert [n for n, value in enumerate(results) if n != value] == [3]
        assert isinstance(results[3], WorkerLostError)
        assert "SIGKILL" in str(results[3])
        assert len(items.result_list) == 39
        assert [n for n, value in enumerate(exits.get(timeout=HANGS, errors="return")) if n != value] == [3]
        wait_until(lambda: once.get_status() == JobStatus.FINISHED and dies.get_status() == JobStatus.FAILED)
        assert once.return_value() == 49
        assert "waitpid returned 768" in str(dies.latest_result().exc_string)  # type: ignore[union-attr]
        assert not state.trouble
    notes = [entry for _id, entry in fake_queue.connection.xrange(keys.TIMELINE)]
    assert {entry[b"outcome"] for entry in notes} >= {b"ok", b"killed"}
    assert all(int(entry[b"pid"]) > 0 for entry in notes), "who ran it is known, wherever that was"


def test_an_item_over_its_time_fails_alone_in_c_code_too(fake_queue: Queue, engine: str) -> None:
    with running_worker(fake_queue, engine=engine):
        job = fake_queue.map(partial(jobs.sleep_in_c_at, 2, LONG), range(6), chunksize=3, item_timeout=LIMIT)
        results = job.get(timeout=HANGS, errors="return")
    assert [value for n, value in enumerate(results) if n != 2] == [0, 1, 3, 4, 5]
    assert isinstance(results[2], ItemTimeoutError)


def test_large_functions_and_results_travel(fake_queue: Queue, engine: str) -> None:
    with running_worker(fake_queue, engine=engine):
        ballast = bytes(5 << 20)
        sizes = fake_queue.map(lambda n: len(ballast) + n, range(4), chunksize=1)
        large = fake_queue.map(jobs.large, range(3))
        assert sizes.get(timeout=HANGS) == [len(ballast) + n for n in range(4)]
        assert large.get(timeout=HANGS) == [jobs.large(n) for n in range(3)]


def test_on_a_node_nothing_waits_for_other_work(real_queue: Queue, dask: Cluster) -> None:
    """It would hold the thread that could run it."""
    with running_worker(real_queue, engine=dask.engine):
        [error] = real_queue.starmap(jobs.nest, [(1,)]).get(timeout=HANGS, errors="return")
    assert isinstance(error, NestedWaitError)
    assert "on a node of a cluster" in str(error)


@pytest.mark.parametrize("engine", ["lanes", "dask"], indirect=True)
def test_what_runs_can_be_stopped(fake_queue: Queue, engine: str, tmp_path: Path) -> None:
    flag = str(tmp_path / "never")
    with running_worker(fake_queue, engine=engine):
        job = fake_queue.map(jobs.wait_for, [flag] * 2, chunksize=1)
        plain = fake_queue.enqueue(jobs.wait_for, flag, job_timeout=2)
        wait_until(lambda: job.get_status(refresh=True) == JobStatus.STARTED)
        job.cancel(kill=True)  # its items may have begun
        wait_until(lambda: plain.get_status() == JobStatus.FAILED, "its time is over, and it is killed")
        assert fake_queue.map(jobs.square, [3]).get(timeout=HANGS) == [9], "the processes are free again"


def test_seats_and_lanes_run_one_map(fake_queue: Queue, dask: Cluster, tmp_path: Path) -> None:
    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    with running_worker(fake_queue, engine=dask.engine) as there, running_worker(fake_queue) as here:
        wait_until(lambda: there.lanes.size == 2)
        job = fake_queue.starmap(jobs.run_until, [(str(ledger), n, str(flag)) for n in range(8)], chunksize=1)
        wait_until(lambda: len(runs_of(ledger)) == 4, "two of each run an item that waits")
        flag.touch()
        assert job.get(timeout=HANGS) == [n * n for n in range(8)]
    assert runs_of(ledger) == [*range(8)]
    workers = {entry[b"worker"].decode() for _id, entry in fake_queue.connection.xrange(keys.TIMELINE)}
    assert workers == {there.name, here.name}


def test_a_node_of_another_kind_gets_no_work(fake_queue: Queue, dask: Cluster) -> None:
    with running_worker(fake_queue, engine=dask.engine, build="another") as state:
        wait_until(lambda: "no worker that fits" in state.trouble)
        assert "has taskq" in state.trouble
        assert "the worker another: install the same on both" in state.trouble
    keys = Trust(Keyring([b"k" * 32]))
    with running_worker(fake_queue, engine=dask.engine, trust=keys) as state:
        wait_until(lambda: "no worker that fits" in state.trouble)
        assert "has no TASKQ_SECRET_KEY" in state.trouble


def test_an_executor_that_fails_is_trouble_and_tried_again(fake_queue: Queue) -> None:
    with running_worker(fake_queue, engine="executor://tests.executors:none") as state:
        job = fake_queue.map(jobs.square, range(10))
        wait_until(lambda: "RuntimeError: nobody is there" in state.trouble)
        wait_until(lambda: not state.trouble)
        wait_until(lambda: state.trouble, "it is tried again, after a pause")
        with running_worker(fake_queue):
            assert job.get(timeout=HANGS) == [n * n for n in range(10)]
