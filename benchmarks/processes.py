"""What a session started, and what is left of it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

_SET_CHILD_SUBREAPER = 36  # prctl(2)
_GONE = 5.0  # seconds the kernel may take to end what was killed


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """Be the parent of whatever loses its own meanwhile, so that nothing escapes; on Linux, elsewhere it may."""
    _be_subreaper(1)
    try:
        yield
    finally:
        _be_subreaper(0)


def _be_subreaper(value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, value, 0, 0, 0)


def descendants() -> set[psutil.Process]:
    """All processes below this one."""
    return set(psutil.Process().children(recursive=True))


def kill_all_but(spared: set[psutil.Process]) -> None:
    """Kill what is below this process, until nothing else is left."""
    while left := descendants() - spared:
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, _GONE)


def memory(processes: set[psutil.Process]) -> int:
    """Their resident bytes, all together."""
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def cpu(processes: set[psutil.Process]) -> float:
    """Seconds of a core they used so far, all together."""
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total
