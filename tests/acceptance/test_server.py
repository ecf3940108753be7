"""A server to begin with: ``taskq server``, and that of ``taskq worker --embedded``."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from taskq import Queue
from taskq.redis.connection import connect
from tests import jobs
from tests.acceptance.worker import Workers, environment, run
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance


@pytest.fixture
def port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "taskq", "server", *arguments]
        started.append(subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()  # type: ignore[union-attr]


def answers(port: int) -> bool:
    try:
        with connect(f"redis://localhost:{port}/0", retries=0) as connection:
            return bool(connection.ping())
    except redis.RedisError:
        return False


def end(process: Any) -> None:
    process.send_signal(signal.SIGINT)
    process.wait(timeout=HANGS)


def test_it_runs_until_it_is_interrupted(start: Callable[..., Any], port: int) -> None:
    process = start("--port", str(port))
    wait_until(lambda: answers(port))
    assert (
        f"taskq: a Redis server at redis://localhost:{port}/0, in memory only; Ctrl-C" in process.stderr.readline()
    )
    queue = Queue(url=f"redis://localhost:{port}/0")
    assert queue.connection.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    bound = queue.connection.config_get("bind")["bind"]
    assert bound.split() == ["127.0.0.1"]
    end(process)
    assert not answers(port)


def test_it_keeps_what_it_is_told_to_keep(start: Callable[..., Any], port: int, tmp_path: Path) -> None:
    for number in range(2):
        process = start("--port", str(port), "--dir", str(tmp_path / "new" / "folder"))
        wait_until(lambda: answers(port))
        kept = Queue(url=f"redis://localhost:{port}/0").result_list("kept")
        assert len(kept) == number
        kept.append(1)
        end(process)


def test_a_port_that_is_taken(start: Callable[..., Any], port: int) -> None:
    start("--port", str(port))
    wait_until(lambda: answers(port))
    for command in (
        ("server", "--port", str(port)),
        ("worker", "--embedded", "-u", f"redis://localhost:{port}/0"),
    ):
        ended = run(*command)
        assert ended.returncode == 1
        assert f"something listens on port {port} of this machine already" in ended.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_with_one_of_its_own(workers: Workers, port: int, how: int) -> None:
    url = f"redis://localhost:{port}/0"
    worker = workers.start("--processes", "1", "--embedded", url=url)
    wait_until(lambda: answers(port))
    assert Queue(url=url).map(jobs.square, range(3)).get(timeout=HANGS) == [0, 1, 4]
    worker.wait_until_output(f"taskq: a Redis server at {url}, in memory only, as long as this worker runs")
    assert "append-only" not in worker.output, "it is to forget"
    worker.signal(how)
    worker.process.wait(timeout=HANGS)
    wait_until(lambda: not answers(port))


@pytest.mark.parametrize("url", ["redis://elsewhere/0", "redis://:pw@localhost/0", "unix:///run/redis.sock"])
def test_not_for_a_server_elsewhere(url: str) -> None:
    ended = run("worker", "--embedded", "--url", url)
    assert ended.returncode == 1
    assert "--embedded starts a server on this machine, without a password" in ended.stderr


def test_it_is_named_where_there_is_none(port: int) -> None:
    ended = run("status", "--url", f"redis://localhost:{port}/0")
    assert ended.returncode == 1
    assert "or start one here: taskq server." in ended.stderr
