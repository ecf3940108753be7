"""The user that docker-compose.yml gives to workers and producers: may do all that taskq does, and no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rq
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from rq import Callback, Retry
from rq.job import JobStatus
from rq.suspension import resume, suspend

import taskq
from taskq import Queue
from taskq.redis.connection import connect
from tests import jobs
from tests.acceptance.compose import redis_conf
from tests.acceptance.worker import ROOT, Server, Workers, run
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance

PASSWORD, ADMIN = "for-the-many", "for-the-one"


@pytest.fixture
def guarded(folder: Path) -> Iterator[Server]:
    """A server with the configuration of the compose file."""
    conf = folder / "redis.conf"
    conf.write_text(redis_conf({"TASKQ_REDIS_PASSWORD": PASSWORD, "TASKQ_REDIS_ADMIN": ADMIN}))
    server = Server(folder, before=(str(conf),))
    server.start()
    yield server
    server.kill()


def url(server: Server, user: str = "taskq", password: str = PASSWORD) -> str:
    return f"unix://{user}:{password}@{server.path}"


def refused_since(admin: Any) -> list[str]:
    return [f"{entry['username']}: {entry['object']}" for entry in admin.acl_log()]


def test_all_that_taskq_and_rq_do(guarded: Server, workers: Workers) -> None:
    admin = connect(url(guarded, "admin", ADMIN))
    admin.acl_log_reset()
    worker = workers.ready(2, services=2, url=url(guarded))
    queue = Queue(url=url(guarded))
    _maps(queue)
    _plain_jobs(queue)
    _tools(guarded, queue)
    os.kill(worker.service_pids[0], signal.SIGKILL)
    worker.wait_until_output("took over from worker")
    assert queue.map(jobs.square, range(100), chunksize=1).get(timeout=HANGS) == [n * n for n in range(100)]
    assert worker.stop() == 0
    # The server's limits are asked for, and taken for the usual ones where nobody may ask: the answer tells more.
    # And who stops asks for the end of its wait, which comes within a second by itself.
    assert set(refused_since(admin)) <= {"taskq: config|get", "taskq: client|unblock"}
    assert PASSWORD not in worker.output
    keys = sorted(admin.scan_iter("taskq:*"))
    guarded.kill()
    guarded.start()  # the append-only file holds transactions, which are checked again
    assert sorted(admin.scan_iter("taskq:*")) == keys
    queue.connection.close()
    admin.close()


def _maps(queue: Queue) -> None:
    shared = queue.map(jobs.nap, [0.02] * 60, chunksize=1)  # long enough for helpers
    failing = queue.map(jobs.invert, [1, 0], retry=Retry(max=1), meta={"a": 1}, job_id="named", unique=True)
    assert shared.wait(timeout=HANGS, progress=True)
    assert len(shared.result_list) == 60
    with pytest.raises(ZeroDivisionError):
        failing.get(timeout=HANGS)
    failing.requeue()
    assert failing.get(timeout=HANGS, errors="return")[0] != 0
    assert list(queue.map(abs, [-1])) == [1]
    cancelled = queue.map(time.sleep, [0.05] * 100, chunksize=1)
    cancelled.cancel()
    with pytest.raises(taskq.MapCanceledError):
        cancelled.get(timeout=HANGS)
    shared.delete()
    assert queue.map(abs, []).get() == []


def _plain_jobs(queue: Queue) -> None:
    squares = queue.result_list("squares")
    first = queue.enqueue(jobs.append_to, squares, 1, retry=Retry(max=1), meta={"a": 1})
    second = queue.enqueue(jobs.note_in_meta, 1, depends_on=first, on_success=Callback(jobs.echo_callback))
    failing = queue.enqueue(jobs.invert, 0, on_failure=Callback(jobs.echo_callback))
    queue.enqueue_many([Queue.prepare_data(jobs.square, (n,)) for n in range(3)])
    assert second.latest_result(timeout=HANGS).return_value == 1
    wait_until(lambda: failing.get_status() == JobStatus.FAILED)
    assert list(squares) == [1]
    squares.clear()
    assert second.get_meta()
    failing.requeue()
    wait_until(lambda: failing.get_status(refresh=True) == JobStatus.FAILED)
    assert queue.fetch_job(first.id).results()


def _tools(server: Server, queue: Queue) -> None:
    """Commands, and what a page reads."""
    status = run("status", TASKQ_URL=url(server))
    assert (status.returncode, "Services" in status.stdout) == (0, True), status.stderr
    info = subprocess.run(
        [Path(sys.executable).with_name("rq"), "info", "--url", url(server), "--raw"],
        cwd=ROOT, capture_output=True, text=True, timeout=HANGS, check=True,
    )  # fmt: skip
    assert "default" in info.stdout
    for registry in (queue.failed_job_registry, queue.finished_job_registry, queue.started_job_registry):
        registry.cleanup()
        registry.get_job_ids()
    assert len(rq.Worker.all(connection=queue.connection)) == 2
    suspend(queue.connection, ttl=1)
    resume(queue.connection)
    connection = queue.connection
    connection.xrange("taskq:timeline", count=1)
    connection.xread({"taskq:timeline": "0"}, count=1)
    connection.info("memory")
    with connection.pubsub() as pubsub:
        pubsub.subscribe("taskq:{a}:events", "taskq:{a}:end")
        pubsub.psubscribe("taskq:*")


@pytest.mark.parametrize(
    "command",
    ["CONFIG GET save", "CONFIG SET save x", "FLUSHALL", "FLUSHDB", "KEYS *", "DEBUG OBJECT rq:queues", "SHUTDOWN",
     "ACL LIST", "ACL SETUSER taskq +@all", "MONITOR", "SAVE", "CLIENT KILL TYPE normal", "REPLICAOF localhost 1",
     "MODULE LIST", "MIGRATE h 1 rq:queues 0 1", "FUNCTION LIST", "GET theirs", "SET theirs 1", "DEL theirs",
     "RENAME theirs rq:x", "SCAN 0", "RANDOMKEY", "DBSIZE", "SELECT 1", "SELECT 0", "MOVE rq:queues 1",
     "COPY rq:queues rq:x DB 1", "SWAPDB 0 1", "SCRIPT FLUSH", "SCRIPT KILL", "FUNCTION FLUSH", "FUNCTION KILL",
     "EVAL return(redis.call('scan','0')) 0", "EVAL return(redis.call('select','1')) 0",
     "PUBLISH theirs x", "SUBSCRIBE theirs", "EVAL return(redis.call('get','theirs')) 0"],
)  # fmt: skip
def test_and_no_more(server_with_users: Any, command: str) -> None:
    with pytest.raises(ResponseError) as caught:
        server_with_users.execute_command(*command.split())
    assert isinstance(caught.value, NoPermissionError) or any(
        words in str(caught.value) for words in ("permission", "DEBUG command not allowed")
    )


@pytest.fixture(scope="module")
def server_with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A connection as the user taskq, for what is to be refused."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        conf = Path(name) / "redis.conf"
        conf.write_text(redis_conf({"TASKQ_REDIS_PASSWORD": PASSWORD}))
        server = Server(Path(name), before=(str(conf),))
        server.start()
        with connect(url(server)) as connection:
            yield connection
        server.kill()


def test_nobody_else_gets_in(server_with_users: Any, guarded: Server) -> None:
    for stranger in (guarded.url, url(guarded, "taskq", "wrong"), url(guarded, "admin", PASSWORD),
                     url(guarded, "default", PASSWORD)):  # fmt: skip
        with connect(stranger, retries=0) as connection, pytest.raises((AuthenticationError, ResponseError)):
            connection.get("rq:x")
    path = server_with_users.connection_pool.connection_kwargs["path"]
    with connect(f"unix://admin:{ADMIN}@{path}", retries=0) as no_admin, pytest.raises(AuthenticationError):
        no_admin.ping()  # nobody has asked for one


def test_a_wrong_password_is_not_shown(guarded: Server, workers: Workers) -> None:
    worker = workers.start(url=url(guarded, "taskq", "hunter2"))
    worker.wait_until_output("Check user and password.")
    assert "hunter2" not in worker.output
    status = run("status", TASKQ_URL=url(guarded, "taskq", "hunter2"))
    assert status.returncode == 1
    assert "hunter2" not in status.stdout + status.stderr
