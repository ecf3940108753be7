"""``taskq.local()``: server and workers are gone with the program, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from rq import Retry

import taskq
from tests import jobs
from tests.acceptance.worker import environment, processes_in, title
from tests.waiting import HANGS, LONG, wait_until

pytestmark = pytest.mark.acceptance

PROGRAM = """
import taskq, time
from tests import jobs
from tests.waiting import HANGS
with taskq.local(processes=2) as q:
    print(q.map(jobs.square, range(5)).get(timeout={hangs}), flush=True)
    {then}
"""
RESULTS = "[0, 1, 4, 9, 16]"

Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts the program; its processes and files can be told by the folder."""
    started: list[subprocess.Popen[str]] = []

    def start(then: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROGRAM.format(then=then, hangs=HANGS)]
        program = subprocess.Popen(
            command, cwd=folder, env=environment(TMPDIR=str(folder)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        started.append(program)
        return program

    yield start
    for program in started:
        program.kill()
        program.communicate()


def wait_for_results(program: subprocess.Popen[str], folder: Path) -> None:
    assert program.stdout is not None
    assert program.stdout.readline().strip() == RESULTS
    for wanted in ("taskq: manager", "taskq: service 0 [", "pool process 1", "-server"):
        # Else nobody could tell whether it ends.
        wait_until(lambda wanted=wanted: any(wanted in title(one) for one in processes_in(folder)), wanted)


def check_nothing_left(folder: Path) -> None:
    wait_until(lambda: not processes_in(folder), "no process is left")


def test_normal_end(start: Start, folder: Path) -> None:
    program = start("pass")
    output, errors = program.communicate(timeout=HANGS)
    assert program.returncode == 0
    assert (output.strip(), errors) == (RESULTS, "")
    check_nothing_left(folder)
    assert list(folder.iterdir()) == []


def test_exception(start: Start, folder: Path) -> None:
    program = start("1 / 0")
    _, errors = program.communicate(timeout=HANGS)
    assert program.returncode == 1
    assert errors.rstrip().endswith("ZeroDivisionError: division by zero")
    assert errors.count("Traceback") == 1
    check_nothing_left(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("then", [f"time.sleep({LONG})", f"q.map(jobs.sleep_in_c, [{LONG}]).get()"])
def test_interrupt(start: Start, folder: Path, then: str) -> None:
    program = start(then)
    wait_for_results(program, folder)
    os.killpg(program.pid, signal.SIGINT)  # as a terminal sends it
    _, errors = program.communicate(timeout=HANGS)
    assert program.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    check_nothing_left(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("then", [f"time.sleep({LONG})", f"q.map(jobs.sleep_in_c, [{LONG}] * 2).get()"])
def test_kill(start: Start, folder: Path, then: str) -> None:
    program = start(then)
    wait_for_results(program, folder)
    program.kill()
    program.wait()
    check_nothing_left(folder)


def test_what_is_due_is_run(tmp_path: Path) -> None:
    with taskq.local(processes=1, log_level="critical") as queue:
        job = queue.map(jobs.fail_once, [str(tmp_path / "flag")], retry=Retry(max=1, interval=1))
        later = queue.enqueue_in(timedelta(seconds=1), jobs.square, 3)
        assert job.get(timeout=HANGS) == ["done"]
        assert later.latest_result(timeout=HANGS).return_value == 9  # type: ignore[union-attr]
