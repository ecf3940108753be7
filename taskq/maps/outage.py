"""Who waits for a map rides out a restart of the server: the map is there again with it."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

from redis.exceptions import RedisError

from taskq.errors import ServerError, TaskqError
from taskq.redis import reach
from taskq.redis.urls import url_of
from taskq.views.said import say

PATIENCE = 30.0  # seconds for which a server may be away
_STEADY = 5.0  # seconds of work after which a server counts as back
_PAUSES = (0.05, 1.0)  # seconds: the first and the longest between two tries

T = TypeVar("T")


class GoesOnError(Exception):
    """The map had ended, and goes on: the server came back as it was before, or somebody has it tried again.

    Nobody sees it: ``through_outages`` asks anew.
    """


def through_outages(connection: Any, timeout: float | None, ask: Callable[[float | None], T]) -> T:
    """What ``ask`` returns, asked anew after each outage, and if the map goes on; outages are said on stderr.

    Args:
        connection: To the server.
        timeout: Seconds until all is over; None: as long as it takes.
        ask: Called with the seconds that are left. It may be called again after anything that it does.

    Raises:
        ServerError: If the server stays away for longer than ``PATIENCE``, or the timeout.
        Exception: What ``ask`` raises of other kinds.
    """
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    back, until = -math.inf, 0.0  # when the server was last there again; how long its absence is borne
    while True:
        try:
            return ask(None if timeout is None else max(0.0, deadline - time.monotonic()))
        except GoesOnError:
            continue
        except (RedisError, OSError, ServerError) as error:
            now = time.monotonic()
            if not _is_away(error) or now >= deadline:
                raise
            if now - back > _STEADY:  # else it has not been there in between, whatever has answered
                until = min(now + PATIENCE, deadline)
                say(f"Redis at {url_of(connection)} can't be reached: {reach.reason(error)}. "
                    f"Waits for it, {until - now:.0f} s at most")  # fmt: skip
            _wait(connection, until, error)
            back = time.monotonic()


def rides_out(method: Callable[..., T]) -> Callable[..., T]:
    """For a method of an object with a ``connection``: it is called anew after an outage."""

    @functools.wraps(method)
    def ride(self: Any, *args: Any) -> T:
        return through_outages(self.connection, None, lambda _left: method(self, *args))

    return ride


def _is_away(error: Exception) -> bool:
    if isinstance(error, TaskqError):
        return isinstance(error, ServerError) and error.away
    return reach.is_away(error)


def _wait(connection: Any, until: float, error: Exception) -> None:
    """Until the server answers.

    Raises:
        ServerError: If it does not in time, or refuses.
    """
    pause, longest = _PAUSES
    while True:
        left = until - time.monotonic()
        if left <= 0 or not _is_away(error):
            raise (
                error if isinstance(error, ServerError) else reach.server_error(error, url_of(connection))
            ) from None
        time.sleep(min(pause, left))
        pause = min(2 * pause, longest)
        try:
            connection.ping()
        except (RedisError, OSError) as again:
            error = again
        else:
            return
