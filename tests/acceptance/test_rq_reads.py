"""What RQ's own calls and commands read in a program that has a key: nothing unsigned, if it imports taskq."""

from __future__ import annotations

import base64
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rq.job import Job
from rq.results import Result

from taskq import Queue
from taskq.payload import signing
from tests import jobs
from tests.acceptance.worker import ROOT, environment
from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance

KEY = "a key of at least thirty-two characters"
SIGNED = "taskq.payload.signed_job.SignedJob"

CALLS = {
    "Job.fetch": "Job.fetch('evil', connection=c)",
    "Job.fetch().func_name": "Job.fetch('evil', connection=c).func_name",
    "Job.fetch().return_value": "Job.fetch('evil', connection=c).return_value()",
    "Job.fetch().results": "Job.fetch('evil', connection=c).results()",
    "Job.fetch().get_meta": "Job.fetch('evil', connection=c).get_meta()",
    "Job.fetch().requeue": "Job.fetch('evil', connection=c).requeue()",
    "Job.fetch_many": "Job.fetch_many(['evil'], connection=c)",
    "Queue.fetch_job": "rq.Queue(connection=c).fetch_job('evil')",
    "Queue.jobs": "rq.Queue(connection=c).jobs",
    "requeue_job": "rq.requeue_job('evil', connection=c)",
    "cancel_job": "rq.cancel_job('evil', connection=c)",
    "FailedJobRegistry.requeue": "FailedJobRegistry(connection=c).requeue('evil')",
    "StartedJobRegistry.count": "StartedJobRegistry(connection=c).count",
    "StartedJobRegistry.cleanup": "rq.Queue(connection=c).started_job_registry.cleanup()",
    "Group.get_jobs": "Group.fetch('g', connection=c).get_jobs()",
    "Execution.job": "Execution('1', 'evil', c).job",
    "send_stop_job_command": "send_stop_job_command(c, 'evil')",
    "pickle by name": "Job.fetch('evil', connection=c, serializer='pickle')",
    "RQScheduler": "s = RQScheduler(['default'], c); s.acquire_locks(); s.enqueue_scheduled_jobs()",
}
IMPORTS = """
import contextlib, os, signal, sys, redis, rq
from rq.command import send_stop_job_command
from rq.executions import Execution
from rq.group import Group
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.scheduler import RQScheduler
{first}
"""
EACH_IN_A_PROCESS = """
for call in sys.stdin:
    child = os.fork()
    if not child:
        signal.alarm({hangs})  # nobody waits for ever for what hangs
        os.dup2(2, 1)  # RQ logs there
        c = redis.Redis(unix_socket_path=sys.argv[1])
        with contextlib.suppress(Exception):
            exec(call)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""What has been imported takes longer than all of the calls."""


class Bomb:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture
def crater(real_queue: Queue, tmp_path: Path) -> Iterator[Path]:
    """An unsigned job, in every place where RQ looks for one; what is left when it was read."""
    path = tmp_path / "crater"
    bomb, now, c = pickle.dumps(Bomb(path), 5), time.time(), real_queue.connection
    c.hset("rq:job:evil", mapping={
        "status": "failed", "origin": "default", "data": bomb, "meta": bomb, "result": bomb, "worker_name": "w",
        "created_at": "2026-01-01T00:00:00.000000Z", "failure_callback_name": "tests.jobs.explode",
        "description": str(path),
    })  # fmt: skip
    c.xadd(Result.get_key("evil"), {"type": "1", "return_value": base64.b64encode(bomb)})
    c.rpush("rq:queue:default", "evil")
    c.sadd("rq:queues", "rq:queue:default")
    c.sadd("rq:groups", "g")
    c.sadd("rq:group:g", "evil")
    for registry in ("failed", "finished", "deferred", "scheduled"):
        c.zadd(f"rq:{registry}:default", {"evil": now - 1 if registry == "scheduled" else now + 600})
    yield path
    c.flushdb()


def socket_of(queue: Queue) -> str:
    return str(queue.connection.connection_pool.connection_kwargs["path"])


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment(**variables), capture_output=True, text=True,
        timeout=HANGS, check=False,
    )  # fmt: skip


class Caller:
    """A program with a key that makes calls, each in a process of its own."""

    def __init__(self, url: str, first: str) -> None:
        program = IMPORTS.format(first=first) + EACH_IN_A_PROCESS.format(hangs=HANGS)
        self._program = subprocess.Popen(
            [sys.executable, "-c", program, url.removeprefix("unix://")],
            cwd=ROOT, env=environment(TASKQ_SECRET_KEY=KEY),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def call(self, call: str) -> int:
        """Make it; returns the exit code of its process."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(f"{call}\n")
        self._program.stdin.flush()
        return int(self._program.stdout.readline())

    def close(self) -> None:
        self._program.communicate(timeout=HANGS)


@pytest.fixture(scope="module")
def with_taskq(server_url: str) -> Iterator[Caller]:
    caller = Caller(server_url, "import taskq")
    yield caller
    caller.close()


@pytest.fixture(scope="module")
def without_taskq(server_url: str) -> Iterator[Caller]:
    caller = Caller(server_url, "")
    yield caller
    caller.close()


def abandon(queue: Queue) -> None:
    queue.connection.hset("rq:job:evil", "status", "started")
    queue.connection.zadd("rq:wip:default", {"evil:1": time.time() - 5})


@pytest.mark.parametrize("name", CALLS)
def test_with_a_key_rq_reads_nothing_unsigned(
    real_queue: Queue, crater: Path, with_taskq: Caller, name: str
) -> None:
    if name.startswith("Started"):
        abandon(real_queue)
    assert with_taskq.call(CALLS[name]) == 0
    assert not crater.exists()


@pytest.mark.parametrize("name", [name for name in CALLS if name != "StartedJobRegistry.count"])
def test_without_taskq_rq_reads_it_all(real_queue: Queue, crater: Path, without_taskq: Caller, name: str) -> None:
    """What docs/security.md warns of; should RQ stop doing so, that is to be changed."""
    if name.startswith("Started"):
        abandon(real_queue)
    without_taskq.call(CALLS[name])
    assert crater.exists()


@pytest.mark.parametrize("command", [("requeue", "--queue", "default", "evil"), ("info", "--raw")])
@pytest.mark.parametrize("guarded", [True, False])
def test_rq_s_commands(
    real_queue: Queue, crater: Path, server_url: str, command: tuple[str, ...], guarded: bool
) -> None:
    abandon(real_queue)
    variables = {"TASKQ_SECRET_KEY": KEY, **({"RQ_JOB_CLASS": SIGNED} if guarded else {})}
    done = run("-m", "rq.cli", command[0], "--url", server_url, *command[1:], **variables)
    assert done.returncode == 0 or not guarded, done.stderr
    assert crater.exists() is not guarded


def test_a_signed_job_is_requeued_by_rq_s_command(
    real_queue: Queue, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signing.VARIABLE, KEY)
    queue = Queue(connection=real_queue.connection)
    job = queue.enqueue(jobs.square, 3, meta={"a": 1})
    queue.remove(job)
    queue.connection.hset(job.key, "status", "failed")
    queue.connection.zadd("rq:failed:default", {job.id: time.time() + 60})
    variables = {"TASKQ_SECRET_KEY": KEY, "RQ_JOB_CLASS": SIGNED}
    run("-m", "rq.cli", "requeue", "--url", server_url, "--queue", "default", job.id, **variables)
    assert queue.job_ids == [job.id]
    again = queue.fetch_job(job.id)
    assert (again.args, again.meta) == ((3,), {"a": 1})


def test_rq_s_own_queue_signs(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a program that imports taskq: its jobs are taken by workers with the key."""
    program = (
        "import sys, redis, taskq, rq; from tests import jobs\n"
        "c = redis.Redis(unix_socket_path=sys.argv[1])\n"
        "job = rq.Queue(connection=c).enqueue(jobs.square, 3, job_id='mine')\n"
        "assert rq.Queue(connection=c).fetch_job('mine').args == (3,)\n"
        "assert type(rq.Queue(connection=c).jobs[0]).__name__ == 'SignedJob'\n"
    )
    done = run("-c", program, socket_of(real_queue), TASKQ_SECRET_KEY=KEY)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv(signing.VARIABLE, KEY)
    assert Queue(connection=real_queue.connection).fetch_job("mine").args == (3,)


def test_without_a_key_nothing_changes(real_queue: Queue) -> None:
    job = Job.create(jobs.square, (3,), connection=real_queue.connection, origin="default", meta={"a": 1})
    job.save()
    program = (
        "import sys, redis, taskq, rq\nfrom rq.job import Job\n"
        "c = redis.Redis(unix_socket_path=sys.argv[1])\n"
        "job = Job.fetch(sys.argv[2], connection=c)\n"
        "assert (job.args, job.meta, rq.Queue.job_class) == ((3,), {'a': 1}, Job)\n"
    )
    done = run("-c", program, socket_of(real_queue), job.id)
    assert done.returncode == 0, done.stderr
