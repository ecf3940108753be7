"""A front bears with a server that is away for a while, and then says why it can do no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from redis.exceptions import RedisError

from taskq.errors import ServerError, TaskqError
from taskq.redis import reach
from taskq.redis.urls import url_of
from taskq.views.said import say

_PAUSES = (0.05, 1.0)  # seconds: the first and the longest between two tries
_STEADY = 5.0  # seconds of work after which a server counts as back

T = TypeVar("T")


def is_away(error: BaseException) -> bool:
    """Whether it says that the server can't be reached now, and may be in a while."""
    if isinstance(error, TaskqError):
        return isinstance(error, ServerError) and error.away
    return reach.is_away(error)


class Outage:
    """Tries again what a server that is away has not heard.

    Args:
        connection: To it.
        patience: Seconds for which it may be away; None: for ever.
        over: Set when nothing is to be tried again.
    """

    def __init__(self, connection: Any, patience: float | None, over: threading.Event) -> None:
        self._connection, self._patience, self._over = connection, patience, over
        self._lock = threading.Lock()
        self._until: float | None = None  # on the monotonic clock; None: it is not away
        self._back = 0.0

    def through(self, ask: Callable[[], T]) -> T:
        """What ``ask`` returns, asked again after each outage.

        Raises:
            ServerError: If the server was away for longer than it may be, or refuses.
            Exception: What ``ask`` raises of other kinds.
        """
        while True:
            try:
                return ask()
            except (RedisError, OSError, ServerError) as error:
                if not is_away(error) or self._over.is_set():
                    raise
                self._wait(error)

    def _wait(self, error: Exception) -> None:
        pause, longest = _PAUSES
        until = self._begin(error)
        while True:
            if self._over.wait(pause) or time.monotonic() > until or not is_away(error):
                if isinstance(error, ServerError):
                    raise error
                raise reach.server_error(error, url_of(self._connection)) from error
            pause = min(2 * pause, longest)
            try:
                self._connection.ping()
            except (RedisError, OSError) as again:
                error = again
            else:
                self._back = time.monotonic()
                return

    def _begin(self, error: Exception) -> float:
        """Until when it is waited for; said once for all threads."""
        now = time.monotonic()
        with self._lock:
            if self._until is None or (self._back and now - self._back > _STEADY):
                self._until = now + self._patience if self._patience is not None else float("inf")
                self._back = 0.0
                most = "as long as it takes" if self._patience is None else f"{self._patience:g} s at most"
                url = url_of(self._connection)
                say(f"Redis at {url} can't be reached: {reach.reason(error)}. Waits for it, {most}")
            return self._until
