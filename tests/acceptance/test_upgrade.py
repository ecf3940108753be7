"""An upgrade: of the installation under a running worker, and of workers beside those of another version."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from taskq import Queue
from taskq_workers.cli import exits
from tests import jobs
from tests.acceptance.worker import ROOT, Server, Worker, Workers, run
from tests.contract.test_schema import alive, of_the_first
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance

CHANGED = "the installation of taskq has changed under this worker"


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """Where another copy of taskq is installed."""
    folder = tmp_path / "installed"
    for package in (ROOT / "taskq", ROOT / "workers" / "taskq_workers"):
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def installed(installation: Path) -> dict[str, str]:
    """The environment in which that one is found first."""
    return {"PYTHONPATH": f"{installation}{os.pathsep}{ROOT}", "PYTHONSAFEPATH": "1"}


def upgrade(installation: Path) -> None:
    """To a version whose pool processes can't be talked to."""
    file = installation / "taskq_workers" / "process" / "process.py"
    file.write_text(file.read_text().replace("def start(", "def begin("))


def forkserver_of(pool_pid: int) -> int:
    return psutil.Process(pool_pid).ppid()


def serves(queue: Queue) -> None:
    assert queue.map(jobs.square, range(10)).get(timeout=HANGS) == [n * n for n in range(10)]


def test_the_copy_is_what_runs(
    workers: Workers, installation: Path, installed: dict[str, str], real_queue: Queue
) -> None:
    def where() -> str:
        import taskq_workers

        return taskq_workers.__file__

    workers.ready(1, **installed)
    [found] = real_queue.map(lambda _item: where(), [0]).get(timeout=HANGS)
    assert Path(found).is_relative_to(installation)


def test_a_pool_process_that_dies_is_replaced_by_one_of_the_same_build(
    workers: Workers, installation: Path, installed: dict[str, str], real_queue: Queue
) -> None:
    worker = workers.ready(2, **installed)
    [info] = worker.infos
    upgrade(installation)
    for pid in worker.pool_pids:
        os.kill(pid, signal.SIGKILL)
    serves(real_queue)
    assert CHANGED not in worker.output
    assert [one.build for one in worker.infos] == [info.build]


def test_a_pool_process_of_another_build_is_refused(
    workers: Workers, installation: Path, installed: dict[str, str], real_queue: Queue
) -> None:
    worker = workers.ready(2, services=2, **installed)
    before = worker.pool_pids
    upgrade(installation)
    [hit, other] = {forkserver_of(pid) for pid in before}
    stay = {pid for pid in before if forkserver_of(pid) == other}
    os.kill(hit, signal.SIGKILL)
    worker.wait_until_output(CHANGED)
    serves(real_queue)  # what there is goes on
    wait_until(lambda: set(worker.pool_pids) == stay)  # it says so with its next heartbeat
    health = run("health", "--services", "2", TASKQ_URL=workers.url)
    assert health.returncode == exits.ERROR
    assert CHANGED in health.stdout
    assert CHANGED in run("status", TASKQ_URL=workers.url).stdout
    assert worker.output.count(CHANGED) == 1
    assert "Traceback" not in worker.output


def test_a_service_that_dies_is_replaced_by_one_of_the_same_build(
    workers: Workers, installation: Path, installed: dict[str, str], real_queue: Queue
) -> None:
    worker = workers.ready(1, **installed)
    [before] = worker.infos
    upgrade(installation)
    os.kill(before.pid, signal.SIGKILL)
    worker.wait_until_output(CHANGED)  # it runs, from the manager's memory; but a forkserver reads what is there
    wait_until(lambda: [one.build for one in worker.infos if one.pid != before.pid] == [before.build])
    assert "Traceback" not in worker.output


# -- other versions ----------------------------------------------------------------------------------------


def refused(worker: Worker) -> str:
    """The one line that it says, at its end."""
    assert worker.process.wait(HANGS) == exits.OTHER_VERSION
    return worker.output


def test_a_worker_beside_services_of_before(workers: Workers, real_queue: Queue) -> None:
    alive(real_queue, "old-one", None)
    said = refused(workers.start())
    assert "old-one (schema 1)" in said
    assert "Drain before you start" in said
    assert not real_queue.connection.exists("taskq:schema"), "it has reserved nothing"
    url = workers.url
    assert "old-one" in run("health", TASKQ_URL=url).stdout
    assert "old-one" in " ".join(json.loads(run("status", "--json", TASKQ_URL=url).stdout)["versions"])
    pushed = run("map", "math:sqrt", "4", TASKQ_URL=url)
    assert (pushed.returncode, pushed.stdout) == (exits.OTHER_VERSION, "")
    real_queue.connection.zadd("taskq:leases", {"old-one": 0})
    workers.ready(1)
    serves(real_queue)


def test_a_worker_before_open_maps_of_before(workers: Workers, real_queue: Queue) -> None:
    job = of_the_first(real_queue)
    said = refused(workers.start())
    assert "1 maps have not ended that another version of taskq has pushed" in said
    assert job.id in said
    assert job.id in run("health", TASKQ_URL=workers.url).stdout
    assert run("cancel", job.id, TASKQ_URL=workers.url).returncode == 0
    workers.ready(1)
    serves(real_queue)


def test_a_worker_that_has_to_wait_for_redis_asks_then(workers: Workers, server: Server) -> None:
    worker = workers.start("--services", "2", url=server.url, services=2)
    worker.wait_until_output("no Redis at", 2)
    server.start()
    queue = Queue(url=server.url)
    alive(queue, "old-one", None)
    assert "old-one (schema 1)" in refused(worker)
    queue.connection.close()
