"""A server that is not there, not there yet, asks for a password, or goes away."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from taskq import Queue
from tests import jobs
from tests.acceptance.worker import Server, Workers, repeated, run, runs_of, title
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance

NOWHERE = "redis://somebody:hunter2@localhost:1/0"


def test_unreachable(workers: Workers) -> None:
    worker = workers.start("--processes", "1", url=NOWHERE)
    worker.wait_until_output("no Redis at redis://somebody:***@localhost:1/0", count=2)
    assert "Next try in 0.5 s" in worker.output
    assert "hunter2" not in worker.output
    assert "Traceback" not in worker.output
    assert worker.stop() == 0
    worker.wait_until_gone()


def test_interrupt_while_unreachable(workers: Workers) -> None:
    worker = workers.start("--processes", "1", url=NOWHERE)
    worker.wait_until_output("no Redis at")
    worker.signal(signal.SIGINT)
    assert worker.process.wait(timeout=HANGS) == 0
    worker.wait_until_gone()


def test_appears_later(workers: Workers, server: Server) -> None:
    worker = workers.start("--processes", "1", url=server.url)
    worker.wait_until_output("no Redis at")
    server.start()
    worker.wait_until_ready()
    assert Queue(url=server.url).map(jobs.square, range(10)).get(timeout=HANGS) == [n * n for n in range(10)]
    assert "Traceback" not in worker.output


@pytest.mark.parametrize(
    "url", ["http://somebody:hunter2@localhost:6379", "hunter2", "redis://:hunter2@localhost:port"]
)
def test_no_url(url: str) -> None:
    ended = run("worker", "--url", url)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "is not a URL such as redis://host:6379/0" in ended.stderr
    assert url == "hunter2" or "hunter2" not in ended.stderr
    assert ended.stdout == ""


def test_password(workers: Workers, server: Server) -> None:
    server.start()
    open_for_all = Queue(url=server.url).connection
    open_for_all.config_set("requirepass", "hunter2")
    wrong = workers.start("--processes", "1", "--log-level", "debug", url=f"unix://:hunter3@{server.path}")
    wrong.wait_until_output("Check user and password", count=2)
    assert f"unix://:***@{server.path}" in wrong.output
    assert "hunter3" not in wrong.output
    assert "Traceback" not in wrong.output

    url = f"unix://:hunter2@{server.path}"
    right = workers.start("--processes", "1", "--log-level", "debug", url=url)
    queue = Queue(url=url)
    assert queue.map(jobs.square, range(10)).get(timeout=HANGS) == [n * n for n in range(10)]
    assert queue.enqueue(jobs.invert, 0).latest_result(timeout=HANGS) is not None
    assert "hunter2" not in right.output
    assert not any("hunter" in title(process) for process in (*wrong.processes, *right.processes))
    assert right.stop() == 0
    assert "hunter2" not in right.output
    assert wrong.stop() == 0


@pytest.mark.parametrize("command", ["status", "shell"])
def test_commands_without_a_server_say_so(command: str) -> None:
    ended = run(command, "--url", NOWHERE)
    assert ended.returncode == 1
    assert "no Redis at redis://somebody:***@localhost:1/0" in ended.stderr
    assert "hunter2" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


def test_restart_in_mid_map(workers: Workers, server: Server, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    server.start()
    worker = workers.start("--processes", "2", url=server.url).wait_until_ready()
    queue = Queue(url=server.url)
    flag = tmp_path / "flag"
    items = [(str(ledger), n, str(flag) if n > 5 else "") for n in range(24)]
    job = queue.starmap(jobs.run_until, items, chunksize=1)
    wait_until(lambda: job.progress.done == 6 and len(runs_of(ledger)) == 8)
    server.kill()
    worker.wait_until_output("Redis: ")
    flag.touch()
    wait_until(lambda: len(runs_of(ledger)) > 8, "what was claimed goes on")
    server.start()
    assert job.get(timeout=HANGS) == [n * n for n in range(24)]
    assert len(job.result_list) == 24
    assert set(runs_of(ledger)) == set(range(24))
    assert repeated(ledger) == [], "what had ended was kept in memory"
    wait_until(lambda: not queue.connection.keys("rq:execution*"))
    assert job.get_status() == "finished"
    assert "Traceback" not in worker.output
    assert worker.stop() == 0


def test_silent_for_longer_than_a_lease(workers: Workers, server: Server, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    server.start()
    options = ("--processes", "1", "--lease", "5")  # seconds; they renew it in time, on the busiest machine
    both = [workers.start(*options, url=server.url).wait_until_ready() for _ in range(2)]
    queue = Queue(url=server.url)
    job = queue.starmap(jobs.run_once, [(str(ledger), n, 0.1) for n in range(20)], chunksize=1)
    wait_until(lambda: job.progress.done >= 4)
    server.freeze()
    silent = time.monotonic()
    wait_until(lambda: time.monotonic() > silent + 5.5)
    server.thaw()
    assert job.get(timeout=HANGS) == [n * n for n in range(20)]
    assert repeated(ledger) == []
    assert not any("took over" in worker.output for worker in both), "nobody was dead"


def test_restart_without_its_data(workers: Workers, server: Server) -> None:
    server.start()
    worker = workers.start("--processes", "1", "--lease", "2", url=server.url).wait_until_ready()
    server.kill()
    for file in server.path.parent.glob("appendonlydir/*"):
        file.unlink()
    server.start()
    queue = Queue(url=server.url)
    assert queue.map(jobs.square, range(10)).get(timeout=HANGS) == [n * n for n in range(10)]
    wait_until(lambda: len(worker.infos) == 1, "it has registered again")
    wait_until(lambda: queue.connection.scard("rq:workers") == 1, "with RQ, too")
    assert "Traceback" not in worker.output


def test_stopped_while_the_server_is_gone(workers: Workers, server: Server, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    server.start()
    options = ("--processes", "2", "--lease", "1", "--grace", "0.5")
    first = workers.start(*options, url=server.url).wait_until_ready()
    queue = Queue(url=server.url)
    job = queue.starmap(jobs.run_once, [(str(ledger), n, 0.05) for n in range(20)], chunksize=1)
    wait_until(lambda: job.progress.done >= 4)
    server.kill()
    first.wait_until_output("Redis: ")
    assert first.stop() == 0
    first.wait_until_gone()
    assert "Traceback" not in first.output
    server.start()
    workers.start(*options, url=server.url).wait_until_ready()
    assert job.get(timeout=HANGS) == [n * n for n in range(20)]
    assert len(job.result_list) == 20
