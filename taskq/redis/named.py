"""What stands under one key of Redis, and may be passed to jobs."""

from __future__ import annotations

from typing import Any

from taskq.redis import clients
from taskq.redis import connection as connections


class Named:
    """Of one key, on the connection that it was given, or on that of the process in which it is used.

    Args:
        key: The Redis key.
        connection: None: one that is shared by this process, to ``TASKQ_URL`` (in a job: the worker's).

    Raises:
        OptionError: If the connection is one that can't be used: see ``Queue``.
    """

    def __init__(self, key: str, connection: Any = None) -> None:
        self.key = key
        if connection is not None:
            clients.check(connection)
        self._connection = connection

    @property
    def connection(self) -> Any:
        """The connection in use."""
        return self._connection if self._connection is not None else connections.shared()
