"""Asks whether this version of taskq may work on a server, beside those that do: see schema.py for the rule.

A worker asks before it starts any service, a producer at a push, if the register doesn't tell (``begin.lua``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis.exceptions import ResponseError

from taskq.errors import VersionError
from taskq.redis import checked, clock, keys, services
from taskq.redis.lua import Scripts
from taskq.redis.schema import SCHEMA, is_adjacent
from taskq.redis.services import ServiceInfo

_FRESH = 10  # seconds for which producers take the register for true
_STARTING = 30  # seconds in which a worker's services must have registered
_NAMED = 3  # services that a message names


def admit_worker(scripts: Scripts, connection: Any, *, check_maps: Callable[[], object]) -> None:
    """Reserve this schema for services that are about to start.

    Args:
        scripts: Of the connection.
        connection: To the server.
        check_maps: Called if nobody has worked with this schema on the server: raises if maps are open which could
            not be run.

    Raises:
        VersionError: If services are alive with which they can't work side by side; says which, and what to do.
    """
    if not _admit(scripts, connection, "this worker", 0):
        check_maps()
    _admit(scripts, connection, "this worker", _STARTING)


def admit_producer(scripts: Scripts, connection: Any) -> None:
    """Look whether services are alive that can't run what this producer writes.

    Raises:
        VersionError: If so; says which, and what to do.
    """
    _admit(scripts, connection, "this program", 0)


def strangers(connection: Any) -> list[ServiceInfo]:
    """Live services beside which this version can't work.

    Each host's probes ask, so the register is read only if what it says in a few bytes is not known, or not well.
    """
    with connection.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hmget(keys.SCHEMA, "least", "greatest", "fresh")
        now, found = pipe.execute(raise_on_error=False)
    least, greatest, until = map(checked.count, checked.reply(found, [None] * 3))
    fresh: float = until
    if fresh <= clock.read(now):
        names = [keys.SCHEMA, keys.SERVICES, keys.LEASES]
        with suppress(ResponseError):  # of a server without memory, which can't note it
            _may, least, greatest, *_ = Scripts(connection).schema(names, [SCHEMA, 0, _FRESH])
            fresh = math.inf
    if fresh > clock.read(now) and is_adjacent(least) and is_adjacent(greatest):
        return []
    return [one for one in services.live(connection) if not is_adjacent(one.schema)]


def _admit(scripts: Scripts, connection: Any, who: str, reserve: int) -> bool:
    """Whether this schema was in use before."""
    names = [keys.SCHEMA, keys.SERVICES, keys.LEASES]
    may, least, greatest, starting, known = scripts.schema(names, [SCHEMA, reserve, _FRESH])
    if not may:
        raise VersionError(_why(connection, who, least, greatest, starting=bool(starting)))
    return bool(known)


def _why(connection: Any, who: str, least: int, greatest: int, *, starting: bool) -> str:
    strange = [one for one in services.live(connection) if not is_adjacent(one.schema)]
    named = ", ".join(f"{one.name} (schema {one.schema})" for one in strange[:_NAMED])
    if len(strange) > _NAMED:
        named += f" and {len(strange) - _NAMED} more"
    there = f"these services are alive: {named}" if strange else f"schema {least} to {greatest} is in use"
    if not strange and starting:
        there = f"a worker with schema {least if least < SCHEMA else greatest} is just starting"
    remedy = (
        "Drain before you start: stop all workers of the other version (SIGTERM; what runs is finished), and then "
        "start those of this one"
        if least < SCHEMA
        else "Install the version that the others have"
    )
    return (
        f"{who} has a version of taskq (schema {SCHEMA}) that can't work side by side with another one on this "
        f"server: {there}. {remedy}. See docs/operations.md, Upgrading"
    )
