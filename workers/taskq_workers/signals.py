"""All signal handling: of the manager, of a service, of a pool process.

    signal             manager                                    service           pool process
    SIGTERM            stops: services drain within the grace     drains, exits 0   dies
    SIGINT (Ctrl-C)    first: as SIGTERM; second: kills at once   ignored           ignored
    SIGHUP             passed on to the services                  drains, restarts  dies
    parent died        -                                          drains, exits     is killed

A terminal sends Ctrl-C to all of them; only the manager decides what it means.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import forkserver

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def ignore_interrupts() -> None:
    """For a service; cotyledon would exit at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def on_next_interrupt(action: Callable[[], None]) -> None:
    """For the manager while it stops: what a further Ctrl-C does."""
    signal.signal(signal.SIGINT, lambda _signum, _frame: action())


def reset_in_pool_process() -> None:
    """For a pool process, before it runs anything of the user's."""
    signal.set_wakeup_fd(-1)  # cotyledon's, if it came along: our signals would wake the service
    for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()


def die_with_parent() -> None:
    """Be killed when the parent dies, even inside C code that never looks at a pipe (Linux only).

    The parent of a pool process is the forkserver, which ends when its service does: when it reads the end of
    a pipe whose other end the service holds. It hands a copy of that to each child; ours would keep it alive.
    """
    alive = forkserver._forkserver  # noqa: SLF001 - multiprocessing has no other way
    if (fd := getattr(alive, "_forkserver_alive_fd", None)) is not None:
        os.close(fd)
        alive._forkserver_alive_fd = None  # type: ignore[attr-defined] # noqa: SLF001
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel knew that we want to know
        os.kill(os.getpid(), signal.SIGKILL)


def end_quietly() -> None:
    """In a process that keeps nothing (the page): SIGTERM and Ctrl-C end it with exit code 0."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: sys.exit(0))
