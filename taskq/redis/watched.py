"""A socket on which nobody waits for a server that is not the right one any more."""

from __future__ import annotations

import errno
import select
import time
from collections.abc import Callable
from typing import Any

PACE = 0.5  # seconds of waiting after which it is asked
_PIECE = 1 << 18  # bytes that are sent at a time


class Watched:
    """A connected socket, TLS or not.

    Args:
        sock: The socket; in all else, this one is it.
        instead: Which server is the right one now; "": this one is. Asked before each command, and while a wait
            lasts.
    """

    def __init__(self, sock: Any, instead: Callable[[], str]) -> None:
        self._sock = sock
        self._instead = instead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv_into(self, *args: Any) -> int:
        self._wait(select.POLLIN)
        return int(self._sock.recv_into(*args))

    def recv(self, *args: Any) -> bytes:
        self._wait(select.POLLIN)
        return bytes(self._sock.recv(*args))

    def sendall(self, data: Any) -> None:
        self._check()
        left = memoryview(data).cast("B")
        while left:
            self._wait(select.POLLOUT)
            left = left[self._sock.send(left[:_PIECE]) :]

    def _wait(self, event: int) -> None:
        """Wait until the socket is ready, for as long as its own time limit says.

        Raises:
            ConnectionResetError: If it is not to be used any more.
            TimeoutError: If the time is over.
        """
        limit = self._sock.gettimeout()
        if limit == 0 or (event == select.POLLIN and hasattr(self._sock, "pending") and self._sock.pending()):
            return
        until = None if limit is None else time.monotonic() + limit
        poller = select.poll()
        poller.register(self._sock, event)
        while True:
            left = PACE if until is None else min(PACE, until - time.monotonic())
            if poller.poll(max(0.0, left) * 1000):
                return
            if until is not None and time.monotonic() >= until:
                raise TimeoutError("timed out")
            self._check()

    def _check(self) -> None:
        if other := self._instead():
            raise ConnectionResetError(errno.ECONNRESET, f"the primary is {other} now")
