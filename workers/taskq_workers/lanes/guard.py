"""Ends what job code has started when its service is gone, however that one died.

    service ──starts, with a mark in the environment──> forkserver ──forks──> pool processes ──> what jobs start
       └─ holds a pipe; the forkserver reads its end, leaves, and kills whatever carries the mark

A pool process that dies takes its process group along (``keeper.kill_group``). That is not enough when the
service is killed: nobody is left to see it, and what has made itself a session of its own is in no group of ours.
But each process inherits the environment, where the mark is found (``taskq.redis.keeper``). Should the forkserver
be killed, the service does the same at its end, or the manager, if the service was killed with it.

The forkserver imports this module before all others (``lone_pool.context``), and that sets it up.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Collection
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path
from types import TracebackType

import psutil

from taskq.redis import keeper
from taskq_workers import user_path

MARK = "TASKQ_MARK"  # process id of the service, and the name of the manager

_PROC = Path("/proc")

_manager = f"none-{os.urandom(8).hex()}"
_lock = threading.Lock()  # several services may live in one process (tests do so)


def serve(manager: str) -> None:
    """In a service: what it starts is also looked after by the manager with this name, which no other has."""
    global _manager  # noqa: PLW0603 - one for each process
    _manager = manager


def mark() -> str:
    """This service's own mark, which no other process has."""
    return f"{os.getpid()}-{_manager}"


def ensure_forkserver() -> None:
    """Start multiprocessing's forkserver, if it does not run; it, and all that it starts, carry the mark."""
    with _lock, user_path.safe(**{MARK: mark(), **keeper.VISIBLE}):
        forkserver.ensure_running()


def keep_forkserver_going() -> None:
    """Have it go on if an item has stopped it: it would start nothing, and not say that a process has died."""
    if pid := forkserver_pid():
        with suppress(OSError):  # it has ended
            os.kill(pid, signal.SIGCONT)


def stop_forkserver() -> None:
    """End it, and what it has started; the next one reads what is installed then."""
    with _lock, suppress(OSError):
        forkserver._forkserver._stop()  # type: ignore[attr-defined] # noqa: SLF001 - multiprocessing has no other way


def forkserver_pid() -> int:
    """The process id of the one that runs, or ran last; 0: there was none."""
    return int(getattr(forkserver._forkserver, "_forkserver_pid", None) or 0)  # noqa: SLF001


def has_ended(pid: int) -> bool:
    """Whether the forkserver with this process id has ended; it may have been waited for, or not."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def clean_up() -> None:
    """In a service, at its end: kill all that carries its mark. Its forkserver would, if it still is there."""
    keeper.kill_carriers(MARK, mark().__eq__)


def kill_orphans(manager: str, services: Collection[int]) -> None:
    """In the manager: kill what its dead services have left behind.

    Args:
        manager: Its name.
        services: Process ids of those that live.
    """

    def is_orphan(mark: str) -> bool:
        service, _, name = mark.partition("-")
        return name == manager and service not in living

    living = set(map(str, services))
    keeper.kill_carriers(MARK, is_orphan)


def _kill_groups() -> None:
    """Kill our children with their process groups, where a program without the mark may be."""
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():  # its parent
                keeper.kill_group(int(folder.name))


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
        keeper.kill_carriers(MARK, token.__eq__)


_stand_guard()
