"""Which clients of redis-py can be used, and which would do harm or hang.

A client that decodes what it reads makes every type, field and id look foreign, and what looks foreign is mended.
One of asyncio answers with coroutines, one of a cluster can't run our scripts, and of a pool with one connection a
wait takes that one, so that what it waits for can't be asked.
"""

from __future__ import annotations

import inspect
from typing import Any

from redis.client import Pipeline, PubSub
from redis.cluster import RedisCluster
from redis.connection import ConnectionPool

from taskq.errors import OptionError

_LEAST = 2  # connections: one that listens, one that asks
_EXAMPLE = "give a redis.Redis, or just a url="


def check(client: Any) -> None:
    """See that it is one that can be used; the server is not contacted.

    Raises:
        OptionError: If not; says why, and what to do.
    """
    if fault := _fault(client):
        raise OptionError(f"this connection can't be used, a {type(client).__module__}."
                          f"{type(client).__qualname__}: {fault}")  # fmt: skip


def _fault(client: Any) -> str | None:
    if isinstance(client, (ConnectionPool, PubSub, Pipeline, str, bytes)):
        return f"it is no client; {_EXAMPLE}"
    if inspect.iscoroutinefunction(getattr(client, "execute_command", None)):
        return f"it is for asyncio, and taskq would wait for coroutines that nobody runs; {_EXAMPLE}"
    if isinstance(client, RedisCluster):
        return (
            "it is for a cluster, over whose nodes a map's keys would be scattered; give one of a single server, "
            "or of a primary that Sentinel has found"
        )
    pool = getattr(client, "connection_pool", None)
    return f"it is no client of redis-py; {_EXAMPLE}" if pool is None else _fault_of_pool(pool)


def _fault_of_pool(pool: Any) -> str | None:
    options = pool.connection_kwargs
    if options.get("decode_responses"):
        return "it decodes what it reads (decode_responses=True), and pickles are no text; leave that out"
    if options.get("legacy_responses") is False:
        return "its replies are of another form (legacy_responses=False); leave that out"
    if getattr(pool, "is_master", True) is False:
        return "it is for replicas, to which nothing can be written; take Sentinel(...).master_for(...)"
    most = getattr(pool, "max_connections", None)
    if isinstance(most, int) and most < _LEAST:
        return f"its pool has one connection, and who waits needs {_LEAST}: max_connections={_LEAST} or more"
    return None
