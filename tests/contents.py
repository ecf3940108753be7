"""All that stands in a Redis, for tests that compare it, or tell of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def everything(connection: Any) -> dict[bytes, Any]:
    """Key -> value, as redis-py reads it; what was deleted meanwhile is left out."""
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"hash": connection.hgetall,
        b"list": lambda key: connection.lrange(key, 0, -1),
        b"set": connection.smembers,
        b"zset": lambda key: connection.zrange(key, 0, -1, withscores=True),
        b"stream": connection.xrange,
        b"string": connection.get,
    }
    kinds = {key: connection.type(key) for key in sorted(connection.keys())}
    return {key: read[kind](key) for key, kind in kinds.items() if kind in read}
