"""A task that waits rides out a restart of the server, as ``taskq.maps.outage`` has it, and sleeps meanwhile."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from redis.exceptions import RedisError

from taskq.aio.hands import Hands
from taskq.errors import ServerError
from taskq.maps.outage import GoesOnError, Outages
from taskq.redis.patience import raise_clearly

T = TypeVar("T")
P = ParamSpec("P")


async def through_outages(hands: Hands, connection: Any, ask: Callable[[], Awaitable[T]]) -> T:
    """As ``taskq.maps.outage.through_outages``, without a timeout: a task has its own means for that."""
    outages = Outages(connection, None)
    while True:
        try:
            return await ask()
        except GoesOnError:
            continue
        except (RedisError, OSError, ServerError) as error:
            outages.begin(error)
            await _wait(hands, connection, outages, error)


async def _wait(hands: Hands, connection: Any, outages: Outages, error: Exception) -> None:
    while True:
        await asyncio.sleep(outages.pause(error))
        try:
            await hands.ask(connection.ping)
        except (RedisError, OSError) as again:
            error = again
        else:
            outages.over()
            return


def clear_errors(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """For a method of an object with a ``connection``: redis-py's errors become ours, with a remedy."""

    @functools.wraps(method)
    async def clear(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except RedisError as error:
            owner: Any = args[0]
            raise_clearly(error, owner.connection)

    return clear
