"""What a worker asks the server at its start: is it set up so that it may lose jobs?

``INFO`` tells most of it, also to a user without ``CONFIG``; one who may send neither is told nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from redis.exceptions import ResponseError

from taskq.redis.scripting import is_forbidden

log = logging.getLogger(__name__)

_SAFE = "noeviction"
_PROBES: tuple[tuple[str, Callable[[Any], object], str], ...] = (
    ("INFO", lambda connection: connection.info("memory"), "how it is set up is not looked at, nor shown"),
    ("CONFIG", lambda connection: connection.config_get("proto-max-bulk-len"),
     "its limits are taken for the usual ones, 512 MiB a value and 1 GiB a command"),
    ("SCRIPT", lambda connection: connection.script_load("return 1"),
     "nothing is lost: scripts are made known by EVAL"),
    ("CLIENT", lambda connection: connection.client_setname("taskq"),
     "services have no address in `rq info`, and no name in CLIENT LIST"),
)  # fmt: skip
"""Commands that administrators of servers forbid, how each is tried, and what is lost without it."""


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
    """Log a warning for everything that is wrong, and return them all; say, too, what is lost without a command.

    Raises:
        redis.exceptions.RedisError: If the server can't be asked; not if it refuses to answer.
    """
    forbidden = [name for name, probe, _lost in _PROBES if not _may(connection, probe)]
    for name, _probe, lost in _PROBES:
        if name in forbidden:
            log.info("the server does not let us use %s: %s", name, lost, extra={"action": "server_check"})
    if "INFO" in forbidden:
        return []
    info = connection.info()
    found = list(findings(info, info.get("aof_enabled") or _snapshots(connection)))
    for text in found:
        log.warning("the server: %s", text, extra={"action": "server_check"})
    return found


def _may(connection: Any, probe: Callable[[Any], object]) -> bool:
    try:
        probe(connection)
    except ResponseError as error:
        if not is_forbidden(error):
            raise
        return False
    return True


def _snapshots(connection: Any) -> bool | None:
    try:
        return bool(connection.config_get("save").get("save"))
    except ResponseError as error:
        if not is_forbidden(error):
            raise
        return None
