"""No process of ours imports a module of the project's where Python's or a library's of that name is meant.

The project has a file for every module that there is; each notes by whom it is imported, and refuses. A pool
process has the project's folder in front, so what it would import late has to be in ``process/early.py``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from rq import Callback, Repeat, Retry
from rq.command import send_stop_job_command
from rq.job import Job, JobStatus

from taskq import Queue
from taskq.redis.connection import connect
from tests.acceptance.worker import COMMAND, SCRIPT, Workers, environment
from tests.waiting import HANGS, LONG, wait_until

pytestmark = pytest.mark.acceptance

SHADOW = """
import posix, sys
importer = sys._getframe(1)
while "importlib" in importer.f_code.co_filename:
    importer = importer.f_back
notes = posix.open({notes!r}, posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT, 0o600)
posix.write(notes, (__name__ + " by " + importer.f_code.co_filename + "\\n").encode())
posix.close(notes)
raise ImportError("this is the project's own " + __name__)
"""
NOT_NEEDED = {"__main__", "sitecustomize", "usercustomize"}  # Python itself asks every folder for the latter two

JOBS = """
import logging, os, time
from rq import Retry, get_current_job

def square(n): return n * n
def invert(n): return [1 / n][0] if n else undefined_name + 1
def syntax(n): exec("a b")
def several(n): raise ExceptionGroup("several", [ValueError(n), KeyError(n)])
def nap(seconds): time.sleep(seconds)
def die(*_args): os.kill(os.getpid(), 9)
def leave(n): raise SystemExit(n)
def log(n): logging.getLogger("mine").warning("n is %s", n)
def large(n): return bytes(200_000)
def strange(n): return Thing(lambda: n)
def append(results, n): results.append(n)
async def later(n): return n
def again(): return Retry(max=1)
def meta(n):
    job = get_current_job()
    job.meta["n"] = n
    job.save_meta()
    return [str(job.enqueued_at), job.kwargs, job.origin]
def note(*_args): get_current_job()
class Thing:
    def __init__(self, value): self.value = value
"""

ONE_BY_ONE = ("square", "invert", "syntax", "several", "leave", "log", "large", "strange", "meta", "later", "die")


class Project:
    """The folder, and what was noted there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self._notes = folder / "notes"
        self.folder.mkdir()
        installed = {name for name in packages_distributions() if name.isidentifier()}
        names = (installed | sys.stdlib_module_names) - set(sys.builtin_module_names) - NOT_NEEDED
        for name in names - {"taskq", "taskq_workers"}:
            (self.folder / f"{name}.py").write_text(SHADOW.format(notes=str(self._notes)))
        (self.folder / "mine.py").write_text(JOBS)

    def check(self) -> None:
        assert not self._notes.exists(), self._notes.read_text()

    def run(self, *command: str, url: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=environment(PYTHONPATH="", TASKQ_URL=url), input=stdin,
            capture_output=True, text=True, timeout=HANGS, check=False,
        )  # fmt: skip


@pytest.fixture
def project(folder: Path) -> Project:
    return Project(folder)


@pytest.fixture
def queue(url: str) -> Iterator[Queue]:
    with connect(url) as connection:
        yield Queue(connection=connection)


@pytest.fixture
def started(url: str, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(url, tmp_path)
    yield workers
    workers.close()


def push(queue: Queue) -> list[Job]:
    """Every way to run, and to fail, of a plain job and of an item."""
    pushed: list[Job] = [
        *(queue.enqueue(f"mine.{name}", 1) for name in ONE_BY_ONE),
        *(queue.map(f"mine.{name}", range(3), chunksize=2) for name in ONE_BY_ONE),
        queue.enqueue("mine.invert", 0, retry=Retry(max=1), on_failure=Callback("mine.note")),
        queue.enqueue("mine.square", 2, on_success=Callback("mine.note")),
        queue.enqueue("mine.nap", LONG, job_timeout=1),
        queue.enqueue("mine.again"),
        queue.enqueue("mine.square", 2, repeat=Repeat(times=1)),
        queue.enqueue(lambda n: 1 / n, 0),
        queue.enqueue("no_such.function"),
        queue.enqueue("mine.append", queue.result_list("some"), 1),
        queue.enqueue_in(timedelta(seconds=1), "mine.square", 2),
        queue.map("mine.nap", [LONG], item_timeout=1),
        queue.map("mine.square", range(3), on_success=Callback("mine.note")),
        queue.map("mine.invert", range(3), retry=Retry(max=1), on_failure=Callback("mine.note")),
        queue.map("no_such.function", range(3)),
        queue.map(lambda n: 1 / n, range(3)),
    ]
    return [*pushed, queue.enqueue("mine.square", 1, depends_on=pushed[0])]


def stop_one(queue: Queue) -> None:
    job = queue.enqueue("mine.nap", LONG, on_stopped=Callback("mine.note"), job_timeout=-1)
    wait_until(lambda: job.get_status() == JobStatus.STARTED, "it runs")
    send_stop_job_command(queue.connection, job.id)
    wait_until(lambda: job.get_status() == JobStatus.STOPPED, "it is stopped")


OPTIONS = {
    "script": (SCRIPT, ("--log-format", "json")),
    "python -m": (COMMAND, ("--log-format", "human")),
    "options": (SCRIPT, ("--preload", "mine", "--config", "mine", "-S", "pickle", "--services", "2",
                         "--exception-handler", "mine.note", "--work-horse-killed-handler", "mine.die")),
}  # fmt: skip


@pytest.mark.parametrize("way", list(OPTIONS))
def test_a_worker(started: Workers, queue: Queue, project: Project, url: str, way: str) -> None:
    command, options = OPTIONS[way]
    worker = started.start("--processes", "2", "--url", url, "--with-scheduler", *options, command=command,
                           cwd=project.folder, PYTHONPATH="")  # fmt: skip
    jobs = push(queue)
    for job in jobs:
        wait_until(lambda job=job: job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED), repr(job))
    stop_one(queue)
    assert jobs[0].return_value() == 1
    assert worker.stop() == 0
    project.check()


def test_commands(started: Workers, queue: Queue, project: Project, url: str) -> None:
    started.start("--processes", "1", "--url", url, cwd=project.folder, PYTHONPATH="")
    things, failed = queue.map("mine.Thing", range(2)), queue.map("mine.invert", range(2))
    for job in (things, failed):
        job.wait(timeout=HANGS)
    for arguments, word in (
        (("attach", things.id), "mine.Thing object"),
        (("results", things.id, "--as-completed"), "mine.Thing object"),
        (("map", "mine:square", "7", "--progress"), "49"),
        (("show", failed.id), "NameError"),
        (("report", failed.id), "NameError"),
        (("top", "--once"), "default"),
        (("health",), "healthy"),
        (("completion", "bash"), "complete"),
    ):
        told = project.run(*SCRIPT[:1], *arguments, url=url)
        assert word in told.stdout, f"{arguments}: {told.stdout}{told.stderr}"
    told = project.run(*COMMAND[:3], "results", things.id, url=url)
    assert "mine.Thing object" in told.stdout, told.stderr
    project.check()


def test_a_shell_finds_modules_as_python_does(started: Workers, queue: Queue, project: Project, url: str) -> None:
    started.start("--processes", "1", "--url", url, cwd=project.folder, PYTHONPATH="")
    program = f"import mine\nprint(q.map(mine.square, range(3)).get(timeout={HANGS}))\n"
    told = project.run(*SCRIPT[:1], "shell", url=url, stdin=program)
    assert told.stdout == "[0, 1, 4]\n", told.stderr
    project.check()


def test_stock_rq_worker_runs_maps(started: Workers, queue: Queue, project: Project, url: str) -> None:
    rq = (str(Path(sys.executable).with_name("rq")), "worker", "--url")
    started.start(url, command=rq, cwd=project.folder, PYTHONPATH="")
    maps = [queue.map(f"mine.{name}", range(1, 4)) for name in ("square", "invert", "syntax", "meta")]
    for job in maps:
        wait_until(lambda job=job: job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED), repr(job))
    assert maps[0].get() == [1, 4, 9]
    project.check()
