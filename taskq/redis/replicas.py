"""What a producer has pushed, on replicas: ``Queue(min_replicas=...)``."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from taskq.errors import ServerError
from taskq.redis.once import RECEIPT_TTL, Receipt
from taskq.redis.urls import url_of

_LOOK = 0.5  # seconds that the server waits at a time: well below any time limit of a socket
USUAL = 5.0
"""Seconds for which replicas are waited for, where the queue's ``patience`` says no more."""


@dataclass(frozen=True)
class Replicas:
    """How many replicas must have what is pushed, before a push returns.

    Args:
        least: So many; 0: nobody asks.
        seconds: For which they are waited for.
    """

    least: int = 0
    seconds: float = USUAL

    def follow(self, connection: Any, receipt: Receipt | None, what: str) -> None:
        """Wait until they have it.

        A replica gets everything in the order of the primary's, so who has what is written now has it, too; and
        the receipt shows that the primary which answers is one that has.

        Args:
            connection: To Redis.
            receipt: Of the transaction that has pushed it; None: there is none, and nobody knows.
            what: For messages: ``the map ...``.

        Raises:
            ServerError: If another server is the primary by now, and has not heard of it; or if not so many
                replicas have it in time. It was pushed all the same.
            redis.exceptions.RedisError: If the server can't be reached.
        """
        if not self.least:
            return
        until = time.monotonic() + self.seconds
        while True:
            there, have = self._ask(connection, receipt, min(_LOOK, max(0.001, until - time.monotonic())))
            if not there:
                raise ServerError(
                    f"{what} was pushed, and is gone: the server at {url_of(connection)} has not heard of it, or "
                    f"not any more. Another one has become the primary, or it has lost what it had. Push it again."
                )
            if have >= self.least:
                return
            if time.monotonic() >= until:
                raise ServerError(
                    f"{what} was pushed, but {have} of {self.least} replicas have it after {self.seconds:g} s: if "
                    f"the server at {url_of(connection)} is lost now, so is that. It stays, and is not to be "
                    f"pushed again; look at the replicas. See docs/redis.md"
                )

    def _ask(self, connection: Any, receipt: Receipt | None, seconds: float) -> tuple[bool, int]:
        """Whether the primary has it, and how many replicas have; asked on one connection.

        The server waits for what that has written last. So something is written.
        """
        with connection.pipeline(transaction=False) as pipe:
            if receipt is None:
                Receipt().write(pipe)
            else:
                pipe.get(receipt.key)
                pipe.expire(receipt.key, RECEIPT_TTL)
            pipe.execute_command("WAIT", self.least, max(1, math.ceil(seconds * 1000)))
            first, *_, have = pipe.execute()
        return receipt is None or receipt.is_(first), int(have)


NONE = Replicas()
"""Nobody asks."""
