"""The server's clock, which is the only one that hosts share: leases and deadlines between them go by it.

A host's own clock may be wrong, or be set while something runs. Scripts ask the server's themselves (``TIME``);
who needs a moment apart from them asks for it here, or keeps a ``Clock``.
"""

from __future__ import annotations

import time
from typing import Any


def read(reply: Any) -> float:
    """Unix time from the reply to ``TIME``; or from the numbers with which a script passes it on."""
    seconds, micros = reply
    return int(seconds) + int(micros) / 1e6


def ask(connection: Any) -> float:
    """Unix time by the server's clock."""
    return read(connection.time())


class Clock:
    """The server's clock, told without asking: by this host's monotonic one, and by how much that is behind.

    Both run at the same pace but for a few seconds a day, so whoever has a connection says now and then what the
    server's shows. Until it is known, this is the host's clock.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None  # seconds from the monotonic clock to the server's

    def heard(self, server: float, asked: float) -> None:
        """Learn what the server's clock shows.

        Args:
            server: Unix time, as it has just said.
            asked: When it was asked, on the monotonic clock. It looked at its clock between then and now, so what
                is known already is only corrected as far as it can't be true: a slow reply moves nothing.
        """
        least, most = server - time.monotonic(), server - asked
        known = (least + most) / 2 if self._ahead is None else self._ahead
        self._ahead = min(max(known, least), most)

    def measure(self, connection: Any) -> None:
        """Ask the server.

        Raises:
            redis.exceptions.RedisError: If it can't be reached.
        """
        asked = time.monotonic()
        self.heard(ask(connection), asked)

    def now(self) -> float:
        """Unix time."""
        return self.at(time.monotonic())

    def at(self, moment: float) -> float:
        """Unix time at a moment of the monotonic clock."""
        return moment + self.ahead

    @property
    def ahead(self) -> float:
        """Seconds from the monotonic clock to Unix time."""
        return time.time() - time.monotonic() if self._ahead is None else self._ahead
