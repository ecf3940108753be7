"""Jobs, classes and handlers that RQ's users write, and the tests of RQ's behaviour name."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rq import Retry, Worker, get_current_job
from rq.job import Job
from rq.worker import RoundRobinWorker

import taskq
from tests.waiting import HANGS, LONG


class LoudJob(Job):
    """A job class of the user's."""

    def perform(self) -> Any:
        return f"{super().perform()}!"


class TellingWorker(Worker):
    """A worker class of the user's: tells what it performs, and how that went."""

    def perform_job(self, job: Any, queue: Any, execution: Any) -> bool:
        went_well = super().perform_job(job, queue, execution)
        self.tell(f"{job.func_name} {went_well}")
        return went_well

    def handle_exception(self, job: Any, *exc_info: Any) -> None:
        self.tell(f"{job.func_name} {exc_info[1]!r}")
        super().handle_exception(job, *exc_info)

    def tell(self, what: str) -> None:
        self.connection.rpush("test:told", what)


class OwnWay(Worker):
    def execute_job(self, job: Any, queue: Any) -> None:
        raise NotImplementedError


def tell_how_it_is(job: Job, *_: Any) -> None:
    """A callback, or a handler: what the job looks like there."""
    seen = job.get_status(refresh=False).value, job.started_at is not None, job.ended_at is not None
    job.connection.rpush(f"test:seen:{job.id}", json.dumps([*seen, bool(job.worker_name)]))


def delete_itself(n: int = 1) -> float:
    job = get_current_job()
    assert job
    job.delete()
    return 1 / n


def note_failure(job: Any, kind: type[BaseException], *_: Any) -> bool:
    """An exception handler of the user's."""
    job.meta["noted"] = kind.__name__
    job.save_meta()
    return True


class Noting(taskq.Worker):
    """A user's, derived from ours."""

    def perform_job(self, job: Any, queue: Any, execution: Any) -> bool:
        went_well = super().perform_job(job, queue, execution)
        job.meta["noted"] = job.func_name
        job.save_meta()
        return went_well


class OwnTaskqWay(taskq.Worker):
    def execute_job(self, job: Any, queue: Any) -> None:
        raise NotImplementedError


class InTurn(RoundRobinWorker):
    pass


class Upside:
    """A serializer of the user's: JSON, backwards."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        return json.dumps(value).encode()[::-1]

    @staticmethod
    def loads(data: bytes) -> Any:
        return json.loads(data[::-1])


def first_handler(job: Job, kind: type[BaseException], error: BaseException, traceback: Any) -> bool:
    job.connection.rpush(f"test:handlers:{job.id}", f"first {kind.__name__} {os.getpid()}")
    return False


def second_handler(job: Job, *_exc_info: Any) -> None:
    job.connection.rpush(f"test:handlers:{job.id}", "second")


def note_killed(job: Job, pid: int, status: int, usage: Any) -> None:
    job.connection.set(f"test:killed:{job.id}", f"{pid} {os.WTERMSIG(status)} {usage} {os.getpid()}")


async def later(n: int) -> int:
    await asyncio.sleep(0.01)
    return n * n


def change_itself() -> None:
    """What RQ's work horse saves with the job: its own object."""
    job = get_current_job()
    assert job is not None
    job.description, job.retries_left = "changed", 0
    job.save()
    raise ValueError("once is enough")


def start_children(file: str, *, wait: float = LONG) -> None:
    """Start a process of multiprocessing's, a command, and a command in a session of its own; note their ids."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(LONG,))
    child.start()
    sleep = [sys.executable, "-c", f"import time; time.sleep({LONG})"]
    commands = [subprocess.Popen(sleep, start_new_session=new) for new in (False, True)]
    path = Path(file)
    path.with_suffix(".new").write_text(" ".join(str(pid) for pid in (child.pid, *(one.pid for one in commands))))
    path.with_suffix(".new").rename(path)
    time.sleep(wait)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def note_abandoned(job: Job, connection: Any, kind: type[BaseException], *_rest: Any) -> None:
    connection.set(f"test:abandoned:{job.id}", f"{kind.__name__} {os.getpid()}")


def tick(name: str) -> str:
    """For ``rq cron``."""
    return f"ticked {name}"


def noted_until(ledger: str, flag: str, n: int) -> int:
    """Leaves a line in the ledger; item 2 fails while the flag is there."""
    with Path(f"{ledger}.{os.getpid()}").open("a") as file:
        file.write(f"{n}\n")
    if n == 2 and Path(flag).exists():
        raise ValueError("not yet")
    return n


def nothing() -> None:
    """Returns None."""


def again() -> Retry:
    """Asks to be run again; RQ gives up after the second time."""
    return Retry(max=1)


def interrupt() -> None:
    raise KeyboardInterrupt("by its own code")


def rest(*_told: Any) -> None:
    """A callback that takes long."""
    time.sleep(LONG)


def describe_oddly() -> None:
    """Leaves on its job what only this process could unpickle."""

    class Odd:
        def __str__(self) -> str:
            return "odd"

    get_current_job().description = Odd()


def count_in_meta(how: str, *, save: bool) -> Any:
    """Counts its runs in its meta, and ends as told: ``fail``, ``again`` or well."""
    job = get_current_job()
    assert job is not None
    note_in_meta(job, save=save)
    if how == "fail":
        raise ValueError("counted")
    return Retry(max=2) if how == "again" else None


def note_in_meta(job: Job, *_rest: Any, save: bool = False, name: str = "runs") -> None:
    """Also a callback."""
    job.meta[name] = job.meta.get(name, 0) + 1
    if save:
        job.save_meta()


def note_and_save(job: Job, *_rest: Any) -> None:
    """A callback, or an exception handler."""
    note_in_meta(job, save=True, name="calls")


def empty_meta(*, save: bool) -> None:
    """Fails, and leaves no meta."""
    job = get_current_job()
    assert job is not None
    job.meta.clear()
    if save:
        job.save_meta()
    raise ValueError("emptied")


def spoil_meta() -> None:
    """Leaves in its meta what no pickle takes, and fails."""
    job = get_current_job()
    assert job is not None
    job.meta["odd"] = (i for i in range(3))
    raise ValueError("spoilt")


def wait_to_be_told(job: Job, connection: Any, _value: Any) -> None:
    """A success callback that lasts until somebody says so."""
    connection.rpush(f"test:called:{job.id}", "yes")
    assert connection.blpop(f"test:go:{job.id}", timeout=HANGS)


def wait_as_failed(job: Job, connection: Any, *_rest: Any) -> None:
    """A failure callback that lasts until somebody says so."""
    wait_to_be_told(job, connection, None)


def fork_and_raise() -> str:
    """The child leaves the function by an exception; it must not end its parent's job."""
    child = os.fork()
    if not child:
        raise ValueError("in the child")
    os.waitpid(child, 0)
    return "parent"


def rest_deaf(*_told: Any) -> None:
    """A callback that takes long, and that no alarm ends, as in C code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(LONG)
