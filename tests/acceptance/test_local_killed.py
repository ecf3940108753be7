"""``taskq.local()``: whichever of its processes are killed at once, the others end by themselves."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.acceptance.worker import environment, processes_in, title
from tests.waiting import HANGS, wait_until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody ends a server whose keeper was killed"),
]

PROGRAM = """
import sys, taskq
from tests import rq_jobs
with taskq.local(processes=2, log_level="critical") as q:
    q.enqueue(rq_jobs.start_children, sys.argv[1])
    sys.stdin.read()
"""
SWEEP = "from taskq.redis.server import sweep; sweep()"
MEMBERS = ("program", "keeper", "server", "manager", "service", "forkserver", "pool process")


TITLES = {
    "keeper.py": "keeper", "-server": "server", "taskq: manager": "manager", "pool process": "pool process",
    "taskq: service": "service", "multiprocessing.forkserver": "forkserver", "import sys, taskq": "program",
}  # fmt: skip


def members(folder: Path) -> dict[str, list[psutil.Process]]:
    """Who works in this folder, by the part that each one plays; "children" are what the job has started."""
    children = {int(pid) for pid in (folder / "children").read_text().split()}
    found: dict[str, list[psutil.Process]] = {"children": []}
    for process in processes_in(folder):
        words = title(process)
        part = next((part for mark, part in TITLES.items() if mark in words), "")
        found.setdefault("children" if process.pid in children else part, []).append(process)
    return found


Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts the program, with all of its processes, and a job's."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder / "children")], cwd=folder,
            env=environment(TMPDIR=str(folder)), stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        started.append(program)
        wait_until((folder / "children").exists, "the job has started its children")
        return program

    yield start
    for program in started:
        program.kill()
        program.communicate()


def kill_at_once(victims: Collection[psutil.Process]) -> None:
    """None of them sees the death of another."""
    for signum in (signal.SIGSTOP, signal.SIGKILL):
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signum)


SUBSETS = {
    "program, manager and service": {"program", "manager", "service"},
    "program and all of its workers": {"program", "manager", "service", "forkserver", "pool process", "children"},
    "workers": {"manager", "service", "forkserver", "pool process"},
    "manager and service": {"manager", "service"},
    "service and forkserver": {"service", "forkserver"},
    "service and server": {"service", "server"},
    "program and keeper": {"program", "keeper"},
    "program and server": {"program", "server"},
    "program, manager and server": {"program", "manager", "server"},
    "keeper": {"keeper"},
    "keeper, manager and service": {"keeper", "manager", "service"},
    "keeper, manager and forkserver": {"keeper", "manager", "forkserver"},
    "all that would look after a job's children": {"keeper", "manager", "service", "forkserver"},
    "all but a job's children": set(MEMBERS),
    "all but the keeper": {*MEMBERS, "children"} - {"keeper"},
    "all but the server": {*MEMBERS, "children"} - {"server"},
    "all but the manager": {*MEMBERS, "children"} - {"manager"},
    "all but a service": {*MEMBERS, "children"} - {"service"},
    "all but a forkserver": {*MEMBERS, "children"} - {"forkserver"},
    "all but pool processes": {*MEMBERS, "children"} - {"pool process"},
    "all but what a job has started, and the keeper": {*MEMBERS} - {"keeper"},
}


@pytest.mark.parametrize("victims", SUBSETS.values(), ids=SUBSETS)
def test_kill(start: Start, folder: Path, victims: set[str]) -> None:
    program = start()
    there = members(folder)
    assert set(there) >= {*MEMBERS, "children"}, f"these are there: {there}"
    killed = [process for part in victims for process in there[part]]
    orphans = [
        *(there["children"] if victims & {"service", "manager", "program"} else []),
        *(there["pool process"] if victims & {"service", "forkserver", "manager", "program"} else []),
        *(there["server"] if victims & {"keeper", "program"} else []),
    ]
    kill_at_once(killed)
    nobody_looks = victims >= {"keeper", "manager", "service", "forkserver"}  # after what the job has started
    if "program" not in victims:
        if nobody_looks:
            orphans = [process for process in orphans if process not in there["children"]]
        wait_until(lambda: not any(map(is_alive, orphans)), "what belonged to the killed has ended")
        program.communicate(timeout=HANGS)  # it leaves the block
        assert program.returncode == 0
    program.wait(HANGS)
    if nobody_looks and "program" in victims:
        subprocess.run([sys.executable, "-c", SWEEP], env=environment(TMPDIR=str(folder)), check=True)
    wait_until(lambda: not processes_in(folder), f"no process is left of {folder}")
    if victims >= {"program", "keeper", "manager"}:  # nobody was left to remove the folder; the next one does
        subprocess.run([sys.executable, "-c", SWEEP], env=environment(TMPDIR=str(folder)), check=True)
    assert list(folder.glob("taskq-*")) == []


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
