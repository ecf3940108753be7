"""The real command with a secret key, and what it says at its start."""

from __future__ import annotations

from pathlib import Path

import pytest

import taskq
from taskq import Queue
from taskq.payload import signing
from tests import jobs
from tests.acceptance.worker import Server, Workers, run, title
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance

KEY = "a key of at least thirty-two characters"


def test_a_key(workers: Workers, server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = workers.ready(
        2, services=2, TASKQ_SECRET_KEY=f"{KEY[::-1]},{KEY}", TASKQ_ALLOW_IMPORT="tests.* __main__.*"
    )
    unsigned = Queue(url=server_url).enqueue(jobs.square, 1)
    monkeypatch.setenv(signing.VARIABLE, f"{KEY},{KEY[::-1]}")
    queue = Queue(url=server_url)
    assert queue.map(jobs.square, range(50), chunksize=1).get(timeout=HANGS) == [n * n for n in range(50)]
    results = queue.result_list("results")
    assert queue.enqueue(jobs.append_to, results, 1).latest_result(timeout=HANGS)
    assert list(results) == [1]
    with pytest.raises(taskq.MapFailedError, match="may not be called by this worker"):
        queue.map("os.getenv", ["HOME"]).get(timeout=HANGS)
    wait_until(lambda: unsigned.is_failed)
    status = run("status", TASKQ_URL=server_url, TASKQ_SECRET_KEY=KEY)
    assert "Refused jobs and chunks: 1 not signed, 1 not allowed by --allow-import" in status.stdout
    shown = [worker.output, status.stdout, status.stderr, *map(title, worker.processes)]
    assert len(shown) > 5
    assert not [text for text in shown if KEY in text or KEY[::-1] in text]
    assert "NOT SIGNED" not in worker.output


def test_a_short_key() -> None:
    ended = run("worker", **{signing.VARIABLE: "too short"})
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "key 1 of TASKQ_SECRET_KEY has 9 characters; 32 are the least" in ended.stderr
    assert "too short" not in ended.stderr


@pytest.mark.parametrize("key", ["", " , "])
def test_a_blank_key(key: str) -> None:
    """Of a variable that was to be filled in, and was not: nothing runs unsigned for that."""
    for command in (("worker",), ("status",), ("map", "math:sqrt", "4"), ("dashboard", "--port", "0")):
        ended = run(*command, **{signing.VARIABLE: key})
        assert ended.returncode == 1
        assert ended.stderr.startswith("taskq: TASKQ_SECRET_KEY is set, and holds no key")


def test_local_passes_the_key_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.VARIABLE, KEY)
    with taskq.local(processes=1) as queue:
        assert queue.map(jobs.square, [3]).get(timeout=HANGS) == [9]
        assert queue.connection.hgetall("taskq:refused") == {}


def test_a_server_that_forgets(folder: Path, workers: Workers) -> None:
    server = Server(folder, "--maxmemory-policy", "allkeys-lru", "--appendonly", "no")
    server.start()
    worker = workers.ready(1, services=2, url=server.url)
    worker.wait_until_output("it may evict chunks and results")
    worker.wait_until_output("it forgets all jobs and results")
    assert worker.output.count("Remedy: CONFIG SET") == 2, "once for all services"
    server.kill()


def test_a_server_that_is_fine(folder: Path, workers: Workers) -> None:
    server = Server(folder, "--appendonly", "yes")
    server.start()
    worker = workers.ready(1, url=server.url)
    assert "Remedy" not in worker.output
    server.kill()
