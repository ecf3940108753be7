"""Threads take turns; and a fork waits for none that it does not have."""

from __future__ import annotations

import threading
from types import TracebackType

from taskq.maps import forks


class Turn:
    """A lock for a ``with`` block. In a fork it is free: whoever had it is a thread of the parent's."""

    def __init__(self) -> None:
        self._lock, self._forks = threading.Lock(), forks.count

    def __enter__(self) -> None:
        if self._forks != forks.count:
            self._lock, self._forks = threading.Lock(), forks.count
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._lock.release()
