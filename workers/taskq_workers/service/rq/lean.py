"""A service's connections, without what redis-py does around every command: counting, and asking the socket.

On a worker that rests, where every line of Python is read from memory first, that is a third of a round trip.
"""

from __future__ import annotations

from typing import Any

from redis.client import Pipeline
from redis.connection import ConnectionPool
from redis.exceptions import ConnectionError, ResponseError, WatchError  # noqa: A004 - redis-py's own name

from taskq.redis.scripting import Client

_BROKEN = "occurred while watching"  # in redis-py's words for a connection that broke in a transaction


class LeanRedis(Client):
    """A redis-py client whose pipelines go straight to the socket."""

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        if transaction:
            return FrankPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        return LeanPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class FrankPipeline(Pipeline):
    """A transaction that says so if its connection breaks.

    redis-py says then that a watched key has changed, and whoever hears that begins anew at once: for ever, if
    what is to be said is what the server does not take.
    """

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            return super().execute(raise_on_error)
        except WatchError as error:
            if _BROKEN in str(error):
                raise ConnectionError(str(error)) from error
            raise


class LeanPipeline(Pipeline):
    """One packet there, all replies back. Nothing is tried again."""

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        if raise_on_error or self.scripts or self.watching or self.explicit_transaction or not self.command_stack:
            return super().execute(raise_on_error)
        connection = self.connection_pool.get_connection()
        try:
            packet = connection.pack_commands([args for args, _options in self.command_stack])
            connection.send_packed_command(packet)
            return [self._reply(connection, args[0], options) for args, options in self.command_stack]
        except BaseException:
            connection.disconnect()  # a reply may be on its way still
            raise
        finally:
            self.connection_pool.release(connection)
            self.reset()

    def _reply(self, connection: Any, command: str, options: dict[str, Any]) -> Any:
        try:
            return self.parse_response(connection, command, **options)
        except ResponseError as error:
            return error


class LeanPool(ConnectionPool):
    """redis-py's pool for the connection of one thread at a time, which is at hand without further questions.

    A connection that has gone bad is noticed all the same: the command fails, and its caller tries again. Not for
    threads in which an exception may come from outside, such as Ctrl-C: one in the middle of a reply leaves the
    rest behind.
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
