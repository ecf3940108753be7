"""A project may call its folders and files as it likes: whoever runs its jobs finds them, and ours as ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rq.job import JobStatus

from taskq import Queue
from taskq.redis.connection import connect
from tests.acceptance.worker import COMMAND, SCRIPT, Worker, Workers, environment
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance

JOB = "def job(n):\n    return n + 1\n"
HANDLER = "def handler(job, *_exc_info):\n    job.meta['handled'] = True\n    job.save_meta()\n"
NAMES = {
    "workers.mailer.job": "workers/mailer.py",
    "tests.checks.job": "tests/checks.py",
    "logging_.job": "logging_/__init__.py",
    "manager.job": "manager.py",
    "service.jobs.job": "service/jobs.py",
    "chunk.job": "chunk.py",  # up to Python 3.12 also a module of Python's own, which nobody imports
    "settings.job": "settings.py",
    "queue.job": "queue.py",
}
TAKEN = {"queue.job"}  # Python's own is there before any job: as under RQ, what is called so is not found
LOADED = ("queue", "signal", "struct", "socket", "selectors", "subprocess", "threading", "json", "redis", "rq")

RQ = (str(Path(sys.executable).with_name("rq")), "worker", "--logging_level", "WARNING", "--url")
OPTIONS = ("--preload", "workers.mailer", "--preload", "tests.checks", "--config", "settings",
           "--exception-handler", "manager.handler", "--work-horse-killed-handler", "chunk.job")  # fmt: skip


@pytest.fixture
def project(folder: Path) -> Path:
    """A working directory whose modules have names of ours, of Python's and of libraries'."""
    project = folder / "project"
    for name in LOADED:
        write(project / f"{name}.py", f"raise RuntimeError('the project\\'s own {name}')\n")
    for path in NAMES.values():
        write(project / path, JOB)
        if "/" in path:
            (project / path).with_name("__init__.py").touch()
    write(project / "settings.py", f"NAME = 'of-settings'\n{JOB}")
    write(project / "manager.py", HANDLER + JOB)
    return project


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def started(url: str, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(url, tmp_path)
    yield workers
    workers.close()


def start(started: Workers, project: Path, command: tuple[str, ...], *arguments: str) -> Worker:
    """In the project's folder, and without a word of where this clone is."""
    return started.start(*arguments, command=command, cwd=project, PYTHONPATH="")


def check_all_run(url: str, names: set[str]) -> None:
    """Each as a plain job and as a map, by name."""
    with connect(url) as connection:
        queue = Queue(connection=connection)
        pushed = {name: (queue.enqueue(name, 1), queue.map(name, range(5))) for name in names}
        for name, (plain, mapped) in pushed.items():
            if name in TAKEN:
                for job in (plain, mapped):
                    wait_until(lambda job=job: job.get_status() == JobStatus.FAILED, name)
            else:
                result = plain.latest_result(timeout=HANGS)
                assert result is not None, name
                assert result.return_value == 2, f"{name}: {result.exc_string}"
                assert mapped.get(timeout=HANGS) == [1, 2, 3, 4, 5], name


@pytest.mark.parametrize("command", [SCRIPT, COMMAND, (sys.executable, "-umtaskq", "worker")], ids=" ".join)
@pytest.mark.parametrize("options", [(), OPTIONS], ids=["plain", "options"])
def test_worker(
    started: Workers, url: str, project: Path, command: tuple[str, ...], options: tuple[str, ...]
) -> None:
    worker = start(started, project, command, "--processes", "2", "--url", url, *options)
    check_all_run(url, set(NAMES))
    assert "--preload" not in worker.output, "all of it could be imported"
    if options:
        with connect(url) as connection:
            failed = Queue(connection=connection).enqueue("manager.job", None)
            wait_until(lambda: failed.get_status() == JobStatus.FAILED, "it fails")
            assert failed.get_meta(refresh=True) == {"handled": True}
            assert failed.latest_result().worker_name.startswith("of-settings-")


def test_rq_worker(started: Workers, url: str, project: Path) -> None:
    """RQ looks in the working directory last, so there Python's own modules come first."""
    start(started, project, (*RQ, url))
    check_all_run(url, {name for name in NAMES if name.partition(".")[0] not in sys.stdlib_module_names} | TAKEN)


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment(PYTHONPATH=""), capture_output=True, text=True,
        timeout=HANGS, check=False,
    )  # fmt: skip


PROGRAM = """
import sys, taskq
sys.path.insert(0, {project!r})
from workers.mailer import job
with taskq.local(processes=2) as q:
    for name in {names}:
        plain = q.enqueue(name, 1)
        print(name, q.map(name, range(3)).get(timeout=120), plain.latest_result(timeout=120).return_value)
    print(q.map(job, range(3)).get(timeout=120))
"""


def test_local(project: Path) -> None:
    """In a program that has all of it on its path, by the time that it calls us."""
    names = sorted(set(NAMES) - TAKEN)
    done = python("-c", PROGRAM.format(project=str(project), names=names), cwd=project.parent)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [*(f"{name} [1, 2, 3] 2" for name in names), "[1, 2, 3]"]


def test_local_looks_where_its_program_does(folder: Path) -> None:
    """That is its own folder, and not the working directory."""
    write(folder / "elsewhere/settings.py", "def job(n):\n    return 'elsewhere'\n")
    write(folder / "project/settings.py", JOB)
    write(folder / "project/program.py", PROGRAM.format(project="lib", names=["settings.job"]))
    write(folder / "project/workers/mailer.py", JOB)
    done = python(str(folder / "project/program.py"), cwd=folder / "elsewhere")
    assert (done.stdout, done.stderr) == ("settings.job [1, 2, 3] 2\n[1, 2, 3]\n", "")


SPAWNED = """
import types, taskq_workers.manager.manager as manager
manager.sys = types.SimpleNamespace(platform="darwin")
if __name__ == "__main__":
    from taskq_workers.cli import main
    main()
"""


def test_services_that_are_spawned_as_on_macos(started: Workers, url: str, project: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SPAWNED)
    start(started, project, (sys.executable, str(program), "worker"), "--processes", "1", "--url", url)
    check_all_run(url, {"workers.mailer.job", "settings.job"})


@pytest.mark.parametrize("options", [("--preload", "finds"), ("--config", "finds")], ids=" ".join)
def test_what_the_project_does_to_its_path_holds_for_its_jobs(
    started: Workers, url: str, project: Path, options: tuple[str, str]
) -> None:
    """A module may say where others are, wherever it is imported first."""
    write(project / "lib/helper.py", JOB)
    write(project / "finds.py", "import sys\nsys.path.insert(0, 'lib')\nNAME = 'finds'\n")
    start(started, project, SCRIPT, "--processes", "1", "--url", url, *options)
    check_all_run(url, {"helper.job", "settings.job"})
