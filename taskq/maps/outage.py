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


class Outages:
    """For how long a server that is away is waited for, while somebody waits for something else; sleeps nowhere.

    Args:
        connection: To the server.
        timeout: Seconds until all is over; None: as long as it takes.
    """

    def __init__(self, connection: Any, timeout: float | None) -> None:
        self._connection, self._timeout = connection, timeout
        self._deadline = math.inf if timeout is None else time.monotonic() + timeout
        self._back, self._until = -math.inf, 0.0  # when it was last there again; how long its absence is borne
        self._pause = _PAUSES[0]

    def left(self) -> float | None:
        """Seconds until the timeout is over; None: there is none."""
        return None if self._timeout is None else max(0.0, self._deadline - time.monotonic())

    def begin(self, error: Exception) -> None:
        """This was raised; what is borne is said on stderr.

        Raises:
            Exception: The same, if it does not say that the server is away, or the timeout is over.
        """
        now = time.monotonic()
        if not _is_away(error) or now >= self._deadline:
            raise error
        self._pause = _PAUSES[0]
        if now - self._back > _STEADY:  # else it has not been there in between, whatever has answered
            self._until = min(now + PATIENCE, self._deadline)
            say(f"Redis at {url_of(self._connection)} can't be reached: {reach.reason(error)}. "
                f"Waits for it, {self._until - now:.0f} s at most")  # fmt: skip

    def pause(self, error: Exception) -> float:
        """Seconds to let pass before the server is asked again whether it is there.

        Args:
            error: What it, or the way to it, has said last.

        Raises:
            ServerError: If it has not answered in time, or refuses.
        """
        left = self._until - time.monotonic()
        if left <= 0 or not _is_away(error):
            raise (
                error if isinstance(error, ServerError) else reach.server_error(error, url_of(self._connection))
            ) from None
        pause, self._pause = self._pause, min(2 * self._pause, _PAUSES[1])
        return min(pause, left)

    def over(self) -> None:
        """It has answered."""
        self._back = time.monotonic()


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
    outages = Outages(connection, timeout)
    while True:
        try:
            return ask(outages.left())
        except GoesOnError:
            continue
        except (RedisError, OSError, ServerError) as error:
            outages.begin(error)
            _wait(connection, outages, error)


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


def _wait(connection: Any, outages: Outages, error: Exception) -> None:
    """Until the server answers; raises as ``Outages.pause``."""
    while True:
        time.sleep(outages.pause(error))
        try:
            connection.ping()
        except (RedisError, OSError) as again:
            error = again
        else:
            outages.over()
            return
