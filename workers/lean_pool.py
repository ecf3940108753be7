"""The connection of one thread of a service, at hand without further questions."""

from __future__ import annotations

from typing import Any

from redis.connection import ConnectionPool


class LeanPool(ConnectionPool):
    """redis-py's pool without what it does around every command: a twelfth of the time of a job on an idle worker.

    It asks the socket whether the connection is still good, and counts what is in use, for telemetry. A connection
    that has gone bad is noticed all the same: the command fails, and its caller tries again. Not for threads in
    which an exception may come from outside, such as Ctrl-C: one in the middle of a reply leaves the rest behind.
    """

    def get_connection(self, *_: Any, **__: Any) -> Any:
        with self._lock:
            idle = self._available_connections
            connection = idle.pop() if idle else self.make_connection()
            self._in_use_connections.add(connection)
        try:
            connection.connect()
        except BaseException:
            self.release(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:
        if not connection.is_connected:  # it has broken, and so have the others
            self.disconnect(inuse_connections=False)
        with self._lock:
            if connection in self._in_use_connections:
                self._in_use_connections.remove(connection)
                self._available_connections.append(connection)
