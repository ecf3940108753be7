"""Waiting for a map without polling: its channels in Redis say when there is something to look at."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from redis.exceptions import RedisError

from taskq.maps.nested import Lending
from taskq.redis.keys import MapKeys

LOOK_AGAIN = 1.0  # seconds: bound of one wait, in case a message was lost with a connection
_ANSWER = 0.05  # seconds after which a wait that lends its process looks whether it may
_END = b"end"


class Events:
    """A subscription to a map's channels.

    Subscribed before the caller looks at the state, so no change between look and wait is missed.

    Args:
        connection: Anything redis-py compatible.
        keys: Of the map.
        timeout: Seconds until ``next`` gives up altogether; None: never.
        progress: Hear of each commit, too. Of a fast map there are a thousand a second, and to be told of each
            costs a caller more than to look now and then.
    """

    def __init__(
        self, connection: Any, keys: MapKeys, timeout: float | None = None, *, progress: bool = True
    ) -> None:
        self._pubsub = connection.pubsub()
        self._channels = [keys.end, keys.events] if progress else [keys.end]
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self.told_end = False  # by the last message
        self._lending = Lending(connection, f"the map {keys.id}")

    def __enter__(self) -> Self:
        self._pubsub.subscribe(*self._channels)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            self._lending.end()
            if kind is None:
                with suppress(RedisError):  # it is broken then, and closed as any other
                    self._give_back()
        finally:
            self._pubsub.close()

    def _give_back(self) -> None:
        """Return the connection as it came, once it hears of nothing any more.

        redis-py's ``close`` disconnects it, and the next command has to log in again, which takes several times as
        long as to end a subscription.
        """
        pubsub = self._pubsub
        pubsub.unsubscribe()
        until = time.monotonic() + LOOK_AGAIN
        while pubsub.subscribed and (left := until - time.monotonic()) > 0:
            pubsub.get_message(timeout=left)
        if not pubsub.subscribed:
            connection, pubsub.connection = pubsub.connection, None
            connection.deregister_connect_callback(pubsub.on_connect)
            pubsub.connection_pool.release(connection)

    def next(
        self, pace: float = 0.0, look_again: float = LOOK_AGAIN, on_quiet: Callable[[], object] | None = None
    ) -> bool:
        """Wait for a message; all that have come are taken as one.

        Args:
            pace: Seconds to let pass after a message of progress, so that there are fewer looks.
            look_again: Seconds to wait at most.
            on_quiet: Called if there was none.

        Returns:
            False if the timeout is over; True: look again.

        Raises:
            NestedWaitError: If this is a process which that map may need.
        """
        heard = self.told_end = False
        self._lending.begin()
        until = time.monotonic() + look_again
        if self._deadline is not None:
            until = min(until, self._deadline)
        while (left := until - time.monotonic()) > 0:
            message = self._pubsub.get_message(timeout=min(left, _ANSWER) if self._lending.concerned else left)
            self._lending.begin()
            if not message or message["type"] != "message":
                continue
            heard, self.told_end = True, message["data"] == _END
            if self.told_end or not pace:
                self._drain()
                return True
            until = min(until, time.monotonic() + pace)
        in_time = self._deadline is None or time.monotonic() < self._deadline
        if in_time and not heard and on_quiet:
            on_quiet()
        return in_time

    def renew(self) -> None:
        """What is waited for has changed: perhaps it is another task of this process that waits from now on."""
        self._lending.renew()

    def rest(self) -> None:
        """Nothing is waited for until the next ``next``: a process that was lent is taken back."""
        self._lending.end()

    def _drain(self) -> None:
        while self._pubsub.get_message(timeout=0):
            pass
