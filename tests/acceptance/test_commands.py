"""The command's options, its help, and the subcommands that end by themselves."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import taskq
from taskq import Queue
from tests import jobs
from tests.acceptance.worker import Workers, environment, processes_in, run, title
from tests.waiting import HANGS, LONG, wait_until

pytestmark = pytest.mark.acceptance


def test_options_from_the_environment(workers: Workers, real_queue: Queue) -> None:
    worker = workers.start(
        services=2, TASKQ_QUEUES="high low", TASKQ_SERVICES="2", TASKQ_PROCESSES="1", TASKQ_GRACE="0.2",
        TASKQ_LEASE="2000", TASKQ_LOG_LEVEL="warning",
    ).wait_until_ready()  # fmt: skip
    connection = real_queue.connection
    for info in worker.infos:
        assert info.queues == ("high", "low")
        assert info.processes == 1
        assert 1000 < connection.zscore("taskq:leases", info.name) - time.time() < 2000
    jobs_ = [Queue(name, connection=connection).map(jobs.nap, [LONG]) for name in ("high", "low")]
    wait_until(lambda: all(job.get_status() == "started" for job in jobs_))
    assert worker.stop() == 0
    assert {job.get_status() for job in jobs_} == {"queued"}
    assert " INFO " not in worker.output


def test_grace_from_the_environment(workers: Workers) -> None:
    worker = workers.start("--processes", "1", TASKQ_GRACE="7").wait_until_ready()
    assert worker.stop() == 0
    assert "finishes what runs, 7 s at most" in worker.output


def test_options_on_the_command_line_win(workers: Workers) -> None:
    worker = workers.start(
        "one", "two", "--processes", "1", "--services", "1", "--log-level", "debug",
        TASKQ_QUEUES="three", TASKQ_PROCESSES="2", TASKQ_SERVICES="2",
    ).wait_until_ready()  # fmt: skip
    [info] = worker.infos
    assert info.queues == ("one", "two")
    assert info.processes == 1


@pytest.mark.parametrize(
    "option",
    [("--processes", "0"), ("--services", "0"), ("--lease", "0.5"), ("--grace", "-1"), ("--log-level", "loud")],
)
def test_unusable_options(option: tuple[str, str]) -> None:
    ended = run("worker", *option)
    assert ended.returncode in (1, 2)
    assert option[0].lstrip("-") in ended.stderr
    assert "Traceback" not in ended.stderr


def test_process_titles(workers: Workers) -> None:
    worker = workers.ready(services=2, processes=2)
    wanted = ["taskq: manager [default]"]
    for service in (0, 1):
        wanted.append(f"taskq: service {service} [default]")
        wanted += [f"taskq: service {service} pool process {process}" for process in (0, 1)]
    wait_until(lambda: set(wanted) <= {title(process) for process in worker.processes}, f"{wanted}")
    assert title(psutil.Process(worker.pid)) == "taskq: manager [default]"
    assert worker.infos[0].pid in worker.service_pids
    assert sorted(pid for info in worker.infos for pid in info.pids) == sorted(worker.pool_pids)


def test_status(workers: Workers, real_queue: Queue, server_url: str) -> None:
    worker = workers.ready()
    assert real_queue.map(jobs.square, range(10)).get(timeout=HANGS)
    real_queue.enqueue(jobs.square, 3).latest_result(timeout=HANGS)
    wait_until(lambda: real_queue.finished_job_registry.get_job_count(cleanup=False) == 2)
    told = run("status", TASKQ_URL=server_url)
    assert told.returncode == 0
    assert told.stderr == ""
    assert re.search(r"default +0 +0 +2 +0 ", told.stdout), told.stdout
    [info] = worker.infos
    assert re.search(rf"{re.escape(info.name)} +{re.escape(info.host)} +{info.pid} +2 default ", told.stdout)


def test_status_of_an_empty_server(real_queue: Queue, server_url: str) -> None:
    told = run("status", "--url", server_url)
    assert told.returncode == 0
    assert told.stderr == ""


@pytest.mark.parametrize("command", [(), ("worker",)])
def test_help(command: tuple[str, ...]) -> None:
    told = run(*command, "--help")
    assert told.returncode == 0
    assert "Usage:" in told.stdout
    assert told.stderr == ""


def test_version() -> None:
    told = run("--version")
    assert told.returncode == 0
    assert taskq.__version__ in told.stdout


def test_shell_runs_a_program(workers: Workers, real_queue: Queue, server_url: str) -> None:
    workers.ready()
    program = (
        f"def double(n):\n    return 2 * n\n\njob = q.map(double, range(5))\nprint(job.get(timeout={HANGS}))\n"
    )
    told = run("shell", stdin=program, TASKQ_URL=server_url)
    assert told.stdout == "[0, 2, 4, 6, 8]\n"
    assert told.returncode == 0
    assert told.stderr == ""


def test_shell_finds_the_modules_beside_it(real_queue: Queue, server_url: str, folder: Path) -> None:
    """Whichever way it is started: of itself, pip's script does not look in the working directory."""
    (folder / "beside.py").write_text("answer = 42\n")
    script = [str(Path(sys.executable).with_name("taskq")), "shell"]
    for command in (script, [sys.executable, "-m", "taskq", "shell"]):
        told = subprocess.run(
            command, input="import beside; print(beside.answer)", cwd=folder, text=True, check=True,
            env=environment(TASKQ_URL=server_url), capture_output=True, timeout=HANGS,
        )  # fmt: skip
        assert told.stdout == "42\n"


@pytest.mark.parametrize(
    ("program", "code"), [("1 / 0", 1), ("import sys; sys.exit(3)", 3), ("raise KeyError", 1), ("(", 1)]
)
def test_shell_fails_as_its_program_does(real_queue: Queue, server_url: str, program: str, code: int) -> None:
    assert run("shell", stdin=program, TASKQ_URL=server_url).returncode == code


def test_demo(folder: Path) -> None:
    told = run("demo", "--items", "20", "--processes", "2", cwd=folder, TMPDIR=str(folder))
    assert told.returncode == 0, told.stderr
    assert "Traceback" not in told.stderr
    assert re.search(r"\[(\d{8},\s){7}\d{8}\]", told.stdout), told.stdout
    assert "20/20 done, 0 failed" in told.stdout
    assert "What ran where" in told.stdout
    assert "ratio" in told.stdout
    wait_until(lambda: not processes_in(folder), "no process is left")
    assert list(folder.iterdir()) == []


def test_a_worker_says_when_it_is_ready_and_names_functions(
    workers: Workers, real_queue: Queue, server_url: str
) -> None:
    worker = workers.start("high", "default", "--processes", "2", url=server_url)
    worker.wait_until_output(f"ready: runs jobs of high, default on 2 pool processes; Redis at {server_url}")
    job = real_queue.map(jobs.square, range(3))
    assert job.get(timeout=HANGS) == [0, 1, 4]
    worker.wait_until_output(f"map {job.id} (square): 3 items")
    worker.wait_until_output(f"map {job.id} (square) ended: finished")
    failed = real_queue.enqueue(jobs.invert, 0, description="tests.jobs.invert('secret')")
    worker.wait_until_output(f"job {failed.id}: exception raised while executing (tests.jobs.invert)")
    worker.wait_until_output("ZeroDivisionError: division by zero")
    assert "secret" not in worker.output
