"""What RQ's users type and run: RQ's own commands beside ``taskq worker``, and its own options."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import rq
from rq.command import send_shutdown_command, send_stop_job_command
from rq.job import JobStatus

from taskq import Queue
from tests import jobs, rq_jobs
from tests.acceptance.test_rq_tools import stock
from tests.acceptance.worker import ROOT, Workers, alive, environment, repeated, run, runs_of
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance


# -- children of job code -------------------------------------------------------------------------------


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Path]:
    """The file in which ``start_children`` says whom it has started; none of them outlives the test."""
    file = tmp_path / "children"
    yield file
    for pid in pids_in(file):
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def pids_in(file: Path) -> list[int]:
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def wait_until_dead(pids: list[int]) -> None:
    assert len(pids) == 3
    wait_until(lambda: not any(alive(pid) for pid in pids), "no child is left")


@pytest.mark.skipif(sys.platform != "linux", reason="the mark of a service's processes is found in /proc")
@pytest.mark.parametrize("victim", ["service", "manager and service", "group", "terminated"])
def test_children_of_job_code_die_with_their_service(
    workers: Workers, real_queue: Queue, children: Path, victim: str
) -> None:
    worker = workers.ready(processes=1, grace=0.2)
    real_queue.enqueue(rq_jobs.start_children, str(children), job_timeout=-1)
    wait_until(children.exists)
    pids = pids_in(children)
    assert all(alive(pid) for pid in pids)
    [service] = worker.service_pids
    if victim == "terminated":
        worker.signal(signal.SIGTERM)
        assert worker.process.wait(HANGS) == 0
    elif victim == "group":
        os.killpg(worker.pid, signal.SIGKILL)
    else:
        if victim != "service":
            worker.process.kill()
        os.kill(service, signal.SIGKILL)
    wait_until_dead(pids)


def test_children_of_job_code_die_when_it_is_stopped(workers: Workers, real_queue: Queue, children: Path) -> None:
    """Those of its process group; one in a session of its own lives until the service ends, as under RQ."""
    workers.ready(processes=1)
    job = real_queue.enqueue(rq_jobs.start_children, str(children), job_timeout=-1)
    wait_until(children.exists)
    send_stop_job_command(real_queue.connection, job.id)
    wait_until(lambda: job.get_status() == JobStatus.STOPPED)
    of_group = pids_in(children)[:2]
    wait_until(lambda: not any(alive(pid) for pid in of_group), "no child of the group is left")


# -- RQ's commands --------------------------------------------------------------------------------------


def test_rq_requeue_of_a_failed_map_runs_what_failed(
    workers: Workers, real_queue: Queue, server_url: str, tmp_path: Path
) -> None:
    workers.ready()
    flag, ledger = tmp_path / "flag", tmp_path / "ledger"
    flag.touch()
    job = real_queue.starmap(rq_jobs.noted_until, [(str(ledger), str(flag), n) for n in range(20)], chunksize=4)
    wait_until(lambda: job.get_status() == JobStatus.FAILED)
    flag.unlink()
    stock(server_url, "requeue", "--queue", "default", job.id)
    assert job.get(timeout=HANGS) == list(range(20))
    assert repeated(ledger) == [2]
    assert set(runs_of(ledger)) == set(range(20))


def test_rq_suspend_and_resume(workers: Workers, real_queue: Queue, server_url: str) -> None:
    worker = workers.ready(processes=1)
    stock(server_url, "suspend")
    worker.wait_until_output("suspended")
    assert "suspended" in stock(server_url, "info", "--raw", "--only-workers").stdout
    job = real_queue.enqueue(jobs.square, 3)
    stock(server_url, "resume")
    worker.wait_until_output("resumed")
    wait_until(lambda: job.get_status() == JobStatus.FINISHED)


def test_the_shutdown_command_ends_the_worker_for_good(
    workers: Workers, real_queue: Queue, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    worker = workers.ready(services=2, processes=1)
    job = real_queue.enqueue(jobs.wait_for, str(flag))
    wait_until(lambda: job.get_status() == JobStatus.STARTED)
    first, second = rq.Worker.all(real_queue.connection)
    send_shutdown_command(real_queue.connection, first.name)
    worker.wait_until_output("stops: finishes what runs")
    flag.touch()
    wait_until(lambda: len(worker.infos) == 1)
    send_shutdown_command(real_queue.connection, second.name)
    assert worker.process.wait(HANGS) == 0
    assert job.get_status() == JobStatus.FINISHED


def test_rq_cron_feeds_the_worker(workers: Workers, real_queue: Queue, server_url: str, tmp_path: Path) -> None:
    workers.ready(processes=1)
    config = tmp_path / "cron_config.py"
    config.write_text(
        "from rq import cron\nfrom tests import rq_jobs\n"
        "cron.register(rq_jobs.tick, queue_name='default', args=('cron',), interval=1)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "rq.cli", "cron", "--url", server_url, str(config)],
        cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as cron:  # fmt: skip
        try:
            finished = real_queue.finished_job_registry
            wait_until(lambda: len(finished.get_job_ids(cleanup=False)) >= 2, "cron's jobs have run twice")
        finally:
            cron.terminate()
    job = real_queue.fetch_job(finished.get_job_ids()[0])
    assert job.return_value() == "ticked cron"


# -- options of rq worker -------------------------------------------------------------------------------


def test_with_scheduler(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready(1, "--with-scheduler")
    job = real_queue.enqueue_in(timedelta(seconds=1), jobs.square, 3)
    again = real_queue.enqueue(jobs.invert, 0, retry=rq.Retry(max=1, interval=1))
    wait_until(lambda: job.get_status() == JobStatus.FINISHED)
    wait_until(lambda: again.get_status() == JobStatus.FAILED)
    [scheduler] = worker.titled("taskq: scheduler")
    os.kill(scheduler, signal.SIGKILL)
    wait_until(lambda: worker.titled("taskq: scheduler") not in ([], [scheduler]), "it is started again")
    job = real_queue.enqueue_in(timedelta(seconds=1), jobs.square, 4)
    wait_until(lambda: job.get_status() == JobStatus.FINISHED)
    assert worker.stop() == 0
    assert not real_queue.connection.keys("rq:scheduler*"), "locks and registration are given back"


def test_a_burst_ends_when_the_queues_are_empty(real_queue: Queue, server_url: str) -> None:
    due = real_queue.enqueue_in(timedelta(seconds=0), jobs.square, 9)
    first = real_queue.enqueue(jobs.square, 2)
    after = real_queue.enqueue(jobs.square, 3, depends_on=first)
    mapped = real_queue.map(jobs.square, range(50), depends_on=after)
    result = run("worker", "-u", server_url, "--burst", "--with-scheduler", "--services", "2")
    assert result.returncode == 0, result.stderr
    assert [job.get_status() for job in (first, after, mapped, due)] == [JobStatus.FINISHED] * 4
    assert not rq.Worker.all(real_queue.connection)


def test_max_jobs(real_queue: Queue, server_url: str) -> None:
    all_of_them = [real_queue.enqueue(jobs.square, n) for n in range(5)]
    assert run("worker", "-u", server_url, "--max-jobs", "2", "--processes", "4").returncode == 0
    assert [job.get_status() for job in all_of_them] == [JobStatus.FINISHED] * 2 + [JobStatus.QUEUED] * 3


def test_max_idle_time_counts_from_the_end_of_the_last_job(real_queue: Queue, server_url: str) -> None:
    last = real_queue.enqueue(jobs.nap, 1.5)
    result = run("worker", "-u", server_url, "--max-idle-time", "1", "--processes", "1", "--services", "1")
    ended = time.time()
    assert result.returncode == 0, result.stderr
    assert last.get_status(refresh=True) == JobStatus.FINISHED
    assert ended - last.latest_result().created_at.timestamp() >= 1


def test_round_robin_over_queues(real_queue: Queue, server_url: str) -> None:
    queues = [Queue(name, connection=real_queue.connection) for name in ("a", "b", "c")]
    pushed = {queue.enqueue(jobs.square, n).id: f"{queue.name}{n}" for queue in queues for n in range(2)}
    result = run("worker", "-u", server_url, "-b", "-ds", "round_robin", "--processes", "1", "a", "b", "c")
    assert result.returncode == 0, result.stderr
    begun = sorted((rq.job.Job.fetch(id_, real_queue.connection).started_at, name) for id_, name in pushed.items())
    assert [name for _, name in begun] == ["a0", "b0", "c0", "a1", "b1", "c1"]


def test_user_classes_and_handlers_by_name(real_queue: Queue, server_url: str) -> None:
    queue = Queue(connection=real_queue.connection, serializer="json")
    good, bad = queue.enqueue("tests.jobs.add", 1, 2), queue.enqueue("tests.jobs.invert", 0)
    killed = queue.enqueue("tests.rq_jobs.die")
    result = run(
        "worker", "-u", server_url, "-b", "-S", "json", "-j", "tests.rq_jobs.LoudJob", "--name", "mine",
        "--exception-handler", "tests.rq_jobs.first_handler", "--queue-class", "rq.Queue",
        "--work-horse-killed-handler", "tests.rq_jobs.note_killed", "--results-ttl", "100",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert good.return_value(refresh=True) == "3!"
    assert 0 < real_queue.connection.ttl(good.key) <= 100
    assert good.latest_result().worker_name.startswith("mine-")
    assert real_queue.connection.lrange(f"test:handlers:{bad.id}", 0, -1)[0].startswith(b"first ZeroDivisionError")
    assert real_queue.connection.get(f"test:killed:{killed.id}").split()[1] == b"9"


def test_what_rq_worker_may_be_told(real_queue: Queue, server_url: str) -> None:
    good, bad = real_queue.enqueue(jobs.square, 3), real_queue.enqueue(jobs.invert, 0)
    waits = real_queue.enqueue(jobs.square, 4)
    first = run(
        "worker", "-u", server_url, "--max-jobs", "0", "--name", "w@host:a b", "--worker-ttl", "0",
        "-w", "rq.worker.worker_classes.Worker", "--connection-class", "redis.StrictRedis", "--processes", "1",
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    assert good.latest_result().worker_name.startswith("w@host_a_b-")
    assert bad.get_status() == JobStatus.QUEUED
    second = run(
        "worker", "-u", server_url, "-b", "--logging_level", "WARN", "--log-format", "<%(name)s> %(message)s"
    )
    assert second.returncode == 0, second.stderr
    assert re.search(rf"^<rq.worker> .*job {bad.id}: exception raised .*invert", second.stderr, re.MULTILINE)
    assert "<taskq_workers.service.dispatcher>" not in second.stderr
    assert waits.get_status() == JobStatus.FINISHED


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--exception-handler", "no.such_handler", "no.such_handler"),
        ("--job-class", "tests.rq_jobs.Upside", "subclass of rq.job.Job"),
        ("--serializer", "no.such_serializer", "no"),
        ("--worker-class", "none.such.Worker", "there is no module none"),
        ("--worker-class", "tests.rq_jobs.LoudJob", "needs a subclass of rq.Worker"),
        (
            "--worker-class",
            "tests.rq_jobs.OwnWay",
            "OwnWay changes execute_job, which a service",
        ),
        (
            "--worker-class",
            "tests.rq_jobs.InTurn",
            "from rq.Worker, and say --dequeue-strategy round_robin",
        ),
        ("--config", "no_such_settings", "can't be imported"),
        ("--worker-class", "rq.Queue", "no place here"),
        ("--worker-class", "rq.worker.NoSuch", "no place here"),
        ("--connection-class", "my.Redis", "no place here"),
        ("--worker-ttl", "-1", "worker_ttl"),
    ],
)
def test_what_can_not_be_is_said_at_the_start(server_url: str, option: str, value: str, words: str) -> None:
    result = run("worker", "-u", server_url, option, value)
    assert result.returncode == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr
