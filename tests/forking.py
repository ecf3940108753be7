"""Jobs that fork: the child leaves in one way or another, the parent returns ten times the item."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any


def by_exit(n: int) -> int:
    return _forked(n, lambda: sys.exit(3))


def by_exception(n: int) -> int:
    return _forked(n, lambda: [][n])


def by_the_end(n: int) -> int:
    return _forked(n, lambda: None)


def _forked(n: int, leave: Any) -> int:
    pid = os.fork()
    if pid == 0:
        leave()
        return -1
    _pid, status = os.waitpid(pid, 0)
    assert os.WIFEXITED(status)
    return 10 * n


def in_c(n: int) -> int:
    """A child of which Python knows nothing; comes to the end, too."""
    pid = ctypes.CDLL(None).fork()
    if pid == 0:
        return -1
    os.waitpid(pid, 0)
    return 10 * n


class Result:
    """Forks when it is pickled."""

    def __reduce__(self) -> Any:
        return int, (_forked(1, lambda: None),)


def when_pickled(_n: int) -> Any:
    return Result()


def and_exit_code(leave: str) -> int:
    """How a child ends that leaves a job's function; it must not come back from there."""
    pid = os.fork()
    if pid == 0:
        return {"zero": lambda: sys.exit(0), "three": lambda: sys.exit(3), "text": lambda: sys.exit("so"),
                "error": lambda: 1 // 0, "end": lambda: 0}[leave]()  # fmt: skip
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def callback(job: Any, connection: Any, *args: Any) -> None:
    """A callback, or a handler, which forks; counts who comes out of it."""
    pid = os.fork()
    if pid == 0:
        sys.exit(0)
    os.waitpid(pid, 0)
    connection.incr(f"test:callback:{job.id}")


def fail_after_fork(n: int) -> int:
    _forked(n, lambda: sys.exit(0))
    raise ValueError(n)


def leave_a_daemon(flag: str) -> int:
    """A child in a session of its own, which lives until the flag is there."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        while not Path(flag).exists():
            time.sleep(0.01)
        os._exit(0)
    return pid
