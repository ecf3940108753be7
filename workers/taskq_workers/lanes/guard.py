"""Ends what job code has started when its service is gone, however that one died.

    service ──starts, with a mark in the environment──> forkserver ──forks──> pool processes ──> what jobs start
       └─ holds a pipe; the forkserver reads its end, leaves, and kills whatever carries the mark

A pool process that dies takes its process group along (``signals.kill_group``). That is not enough when the
service is killed: nobody is left to see it, and what has made itself a session of its own is in no group of ours.
But each process inherits the environment, so the mark is found in ``/proc`` (Linux; elsewhere just groups die).

The forkserver imports this module before all others (``lone_pool.context``), and that sets it up.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from pathlib import Path
from types import TracebackType

from taskq_workers import signals, user_path

MARK = "TASKQ_MARK"
_KEEP = "SPT_NOENV"  # tells setproctitle to leave the environment in /proc alone

_PATIENCE = 2.0  # seconds: how long to look for processes which are just being started
_PROC = Path("/proc")

_token = ""
_lock = threading.Lock()  # several services may live in one process (tests do so)


def mark() -> str:
    """This process's own mark, which no other process has."""
    global _token  # noqa: PLW0603 - one for each process, also after a fork
    if not _token.startswith(f"{os.getpid()}-"):
        _token = f"{os.getpid()}-{os.urandom(8).hex()}"
    return _token


def ensure_forkserver() -> None:
    """Start multiprocessing's forkserver, if it does not run; it, and all that it starts, carry the mark."""
    with _lock, environment({MARK: mark(), _KEEP: "1", **user_path.safe()}):
        forkserver.ensure_running()


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Have what is started within the block find these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def carriers(token: str) -> list[int]:
    """The pids of all other processes whose environment carries this mark."""
    wanted = f"{MARK}={token}".encode()
    found = []
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if wanted in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def kill_carriers(token: str) -> None:
    """Kill them all, and what they start meanwhile."""
    deadline = time.monotonic() + _PATIENCE
    while (pids := [pid for pid in carriers(token) if not _is_dead(pid)]) and time.monotonic() < deadline:
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _is_dead(pid: int) -> bool:
    """Whether it is a zombie, which only its parent can bury."""
    state, _parent = _state_of(pid)
    return state in ("Z", "")


def _state_of(pid: int) -> tuple[str, int]:
    """One letter, and the parent's pid; an empty string if there is no such process."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0
    return fields[0], int(fields[1])


def _kill_groups() -> None:
    """Kill our children with their process groups, where a program without the mark may be."""
    for folder in _PROC.glob("[0-9]*"):
        pid = int(folder.name)
        if _state_of(pid)[1] == os.getpid():
            signals.kill_group(pid)


def _stand_guard() -> None:
    """In the forkserver only: it leaves, and so runs this, when it reads the end of its service's pipe."""
    user_path.forget_safe()
    token, pid = os.environ.get(MARK), os.getpid()
    if token and token.partition("-")[0] == str(os.getppid()):
        with suppress(OSError):
            os.setpgid(0, 0)  # a signal to the service's whole group must not reach the one who cleans up
        atexit.register(_clean_up, token, pid)
        sys.excepthook = _say_why


def _say_why(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print what the forkserver, or what it starts, ends by; not that the service was killed while it asked."""
    if not issubclass(kind, EOFError):
        sys.__excepthook__(kind, error, traceback)


def _clean_up(token: str, pid: int) -> None:
    if os.getpid() == pid:  # not in what a job has forked, and which ends as a program does
        _kill_groups()
        kill_carriers(token)


_stand_guard()
