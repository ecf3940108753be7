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


def cpu(processes: set[psutil.Process]) -> dict[psutil.Process, float]:
    """Seconds of a core that each has used so far; without those that have ended."""
    used = {}
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            used[process] = times.user + times.system
    return used


def used_since(before: dict[psutil.Process, float]) -> float:
    """Seconds of a core which they have used since, all together; of those that have ended nothing is known."""
    return sum(seconds - before[process] for process, seconds in cpu(set(before)).items())
