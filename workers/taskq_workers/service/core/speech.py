"""How a turn's commands reach Redis: all in one pipeline, and each alone after that went wrong.

All maps and jobs of a service share a pipeline. If one command in it can't be said, because it is larger than
what the server takes or holds what redis-py can't send, none of the others comes through, however often all of it
is said again. So after a turn that failed each command goes alone, until a turn has succeeded: what breaks then is
known.

A server refuses what is too large by hanging up, as if it had gone away. That is a command's own fault if it is
over the limits which the server tells; else only if it is large at all, and has gone wrong again and again while
the server answered what was asked in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from taskq.redis import limits

_TRIES = 5  # in a row, of a command that is large, before it is to blame for a connection that broke


class Speech:
    """What one service says.

    Args:
        apart: Whether each command is said alone.
        limits: Of the server, as far as they are known.
    """

    def __init__(self) -> None:
        self.apart = False
        self.limits = limits.USUAL

    def learn(self, connection: Any) -> None:
        """Ask for the server's limits, which may be another's than before.

        Raises:
            redis.exceptions.RedisError: If it can't be reached.
        """
        self.limits = limits.read(connection)

    def say(self, connection: Any, pipe: Any) -> tuple[list[Any], Exception | None]:
        """Say what is in a pipeline.

        Returns:
            The replies, errors among them, as far as they are known; and what has kept the others away.
        """
        commands = pipe.command_stack  # the pipeline forgets it
        if not self.apart:
            try:
                return pipe.execute(raise_on_error=False), None
            except DataError:
                pass  # redis-py has sent nothing
            except Exception as error:  # noqa: BLE001 - the caller raises it, when it has heard the replies
                return [], error
        replies: list[Any] = []
        for args, options in commands:
            try:
                replies.append(self._say_alone(connection, args, options))
            except (RedisConnectionError, RedisTimeoutError, OSError) as error:
                return replies, error
            except RedisError as error:
                replies.append(error)
        return replies, None

    def _say_alone(self, connection: Any, args: Sequence[Any], options: dict[str, Any]) -> Any:
        tries = 0
        while True:
            tries += 1
            try:
                return connection.execute_command(*args, **options)
            except (RedisConnectionError, RedisTimeoutError, OSError) as error:
                sizes = [limits.size_of(part) for part in args]
                if not limits.is_much(sizes):
                    raise
                if refused := self.blames(connection, sizes, tries, error):
                    raise refused from None

    def went_well(self) -> None:
        """A whole turn has succeeded."""
        self.apart = False

    def blames(self, connection: Any, sizes: Sequence[int], tries: int, error: Exception) -> ResponseError | None:
        """Why a large command on which the connection broke is itself to blame; None: it is to be said again.

        Args:
            connection: To the server.
            sizes: Bytes of each of its parts.
            tries: How often it was said.
            error: By which the connection broke the last time.

        Raises:
            redis.exceptions.RedisError: If the server can't be reached now.
        """
        self.learn(connection)
        over = self.limits.broken_by(sizes)
        if not over and tries < _TRIES:
            return None
        why = over or f"{sum(sizes):,} bytes in {len(sizes):,} parts, and each time the connection broke: {error}"
        return ResponseError(f"Protocol error: {why}")
