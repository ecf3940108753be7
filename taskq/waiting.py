"""Waiting for a map without polling: its channel in Redis says when there is something to look at."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

_LOOK_AGAIN = 1.0  # seconds: bound of one wait, in case a message was lost with a connection
_END = b"end"


class Events:
    """A subscription to a map's channel.

    Subscribed before the caller looks at the state, so no change between look and wait is missed.

    Args:
        connection: Anything redis-py compatible.
        channel: ``MapKeys.events``.
        timeout: Seconds until ``next`` gives up altogether; None: never.
    """

    def __init__(self, connection: Any, channel: str, timeout: float | None = None) -> None:
        self._pubsub = connection.pubsub()
        self._channel = channel
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def __enter__(self) -> Self:
        self._pubsub.subscribe(self._channel)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._pubsub.close()

    def next(self, ends_only: bool = False, pace: float = 0.0) -> bool:
        """Wait for a message (all that have come are taken as one), at most a second.

        Args:
            ends_only: Sleep on over mere progress.
            pace: Seconds to let pass after a message of progress, so that there are fewer looks.

        Returns:
            False if the timeout is over; True: look again.
        """
        until = time.monotonic() + _LOOK_AGAIN
        if self._deadline is not None:
            until = min(until, self._deadline)
        while (left := until - time.monotonic()) > 0:
            message = self._pubsub.get_message(timeout=left)
            if not message or message["type"] != "message":
                continue
            if message["data"] == _END or (not ends_only and not pace):
                self._drain()
                return True
            if not ends_only:
                until = min(until, time.monotonic() + pace)
        return self._deadline is None or time.monotonic() < self._deadline

    def _drain(self) -> None:
        while self._pubsub.get_message(timeout=0):
            pass
