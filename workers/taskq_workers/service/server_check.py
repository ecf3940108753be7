"""What a worker asks the server at its start: is it set up so that it may lose jobs?

``INFO`` tells most of it, also to a user without ``CONFIG``; one who may send neither is told nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import NoPermissionError

log = logging.getLogger(__name__)

_SAFE = "noeviction"


def findings(info: Mapping[str, Any], snapshots: bool | None) -> Iterator[str]:
    """What is wrong with the server, each with its remedy.

    Args:
        info: The reply to ``INFO``.
        snapshots: Whether it takes any; None: it would not say.
    """
    policy = info.get("maxmemory_policy", _SAFE)
    if policy != _SAFE:
        yield (
            f"it may evict chunks and results when it runs out of memory: its maxmemory-policy is {policy}. "
            f"Remedy: CONFIG SET maxmemory-policy {_SAFE}, and the same in its configuration file"
        )
    if snapshots is None:
        snapshots = bool(info.get("rdb_saves"))
    if not info.get("aof_enabled") and not snapshots:
        yield (
            "it forgets all jobs and results when it is restarted: it has neither an append-only file nor "
            "snapshots. Remedy: CONFIG SET appendonly yes, and the same in its configuration file"
        )


def check(connection: Any) -> list[str]:
    """Log a warning for everything that is wrong, and return them all.

    Raises:
        redis.exceptions.RedisError: If the server can't be asked; not if it refuses to answer.
    """
    try:
        info = connection.info()
    except NoPermissionError as error:
        log.info("the server's settings were not checked: %s", error, extra={"action": "server_check"})
        return []
    found = list(findings(info, info.get("aof_enabled") or _snapshots(connection)))
    for text in found:
        log.warning("the server: %s", text, extra={"action": "server_check"})
    return found


def _snapshots(connection: Any) -> bool | None:
    try:
        return bool(connection.config_get("save").get("save"))
    except NoPermissionError:
        return None
