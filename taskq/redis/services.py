"""The register of live services: who they are, how many cores they bring, and until when they count as alive."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import asdict, dataclass
from typing import Any

from taskq.redis import checked, keys
from taskq.redis.lua import Scripts
from taskq.redis.patience import says_damage
from taskq.redis.schema import FIRST, SCHEMA

_MOST = 10_000  # processes that a service can have, or queues; a drawing of more would be none
_GREATEST_PID = 2**31 - 1


@dataclass(frozen=True)
class ServiceInfo:
    """What a service says of itself; its JSON is the value in ``taskq:services``."""

    name: str  # of the RQ worker
    host: str
    pid: int
    processes: int
    queues: tuple[str, ...]
    python: str
    started: float  # Unix time
    pids: tuple[int, ...] = ()  # of the pool processes
    schema: int = SCHEMA  # of its version of taskq
    build: str = ""  # its version of taskq, to the letter: see build.py
    trouble: str = ""  # why it has no pool processes, and takes nothing; "" if it does


def renew(pipe: Any, info: ServiceInfo, lease: float) -> None:
    """Queue the commands which keep a service alive for ``lease`` more seconds.

    The first reply is when the lease would have ended: None or 0 if the service was given up for dead.

    Hosts' clocks are taken to agree to within a few seconds, as RQ's registries take them to.
    """
    pipe.zscore(keys.LEASES, info.name)
    pipe.zadd(keys.LEASES, {info.name: time.time() + lease})
    pipe.hset(keys.SERVICES, info.name, checked.dumps(asdict(info)))


def note_work(pipe: Any, name: str) -> None:
    """Queue the command by which somebody looks after what a service takes, even if it was given up for dead."""
    pipe.zadd(keys.LEASES, {name: 0}, nx=True)


def depose(scripts: Scripts, name: str, now: float) -> bool:
    """Declare a service dead whose lease is over; False if it has renewed it meanwhile."""
    return bool(scripts.depose([keys.LEASES], [name, now]))


def remove(pipe: Any, name: str) -> None:
    """Queue the commands which strike a service from the register."""
    pipe.zrem(keys.LEASES, name)
    pipe.hdel(keys.SERVICES, name)
    pipe.hdel(keys.ACTIVITY, name)


def live(connection: Any, queue: str | None = None) -> list[ServiceInfo]:
    """The services whose lease is not over, by name; only those that listen on ``queue`` if given."""
    with connection.pipeline(transaction=False) as pipe:
        ask_live(pipe)
        infos = read_live(*pipe.execute(raise_on_error=False))
    return [info for info in infos if queue is None or queue in info.queues]


def ask_live(pipe: Any) -> None:
    """Queue the two commands whose replies are for ``read_live``."""
    pipe.zrangebyscore(keys.LEASES, time.time(), "+inf")
    pipe.hgetall(keys.SERVICES)


def read_live(alive: Any, raw: Any) -> list[ServiceInfo]:
    """The services whose lease is not over, by name."""
    for reply in (alive, raw):
        if says_damage(reply):
            return []  # no register; the services make it anew
        if isinstance(reply, Exception):
            raise reply
    return [info for name in sorted(alive) if name in raw and (info := _read(name, raw[name]))]


def all_known(connection: Any) -> list[ServiceInfo]:
    """All registered services, also those that are dead and not yet recovered, by name."""
    raw = connection.hgetall(keys.SERVICES) if connection.type(keys.SERVICES) == b"hash" else {}
    return [info for name in sorted(raw) if (info := _read(name, raw[name]))]


def known(connection: Any, name: str) -> ServiceInfo | None:
    """What this service has said of itself, if it is registered; it may be dead."""
    data = connection.hget(keys.SERVICES, name)
    return _read(name.encode(), data) if data else None


def lost(connection: Any, now: float) -> list[str]:
    """Names of the workers whose lease ended before ``now``."""
    names = []
    for name in connection.zrangebyscore(keys.LEASES, "-inf", now):
        try:
            names.append(name.decode())
        except UnicodeDecodeError:  # nobody's, and it would be lost for ever
            connection.zrem(keys.LEASES, name)
    return names


def cores(connection: Any, queue: str) -> int:
    """How many pool processes live services bring to a queue; 0 if there is none yet."""
    return sum(info.processes for info in live(connection, queue))


def _read(name: bytes, data: bytes) -> ServiceInfo | None:
    """What the service with this name says of itself; None if no service says such a thing."""
    fields = checked.record(data)
    queues, pids = fields.get("queues"), fields.get("pids")
    if not (isinstance(queues, list) and isinstance(pids, list) and len(queues) + len(pids) <= _MOST):
        return None
    known: dict[str, Any] = {one.name: fields.get(one.name) for one in dataclasses.fields(ServiceInfo)}
    later = {"schema": FIRST, "build": "", "trouble": ""}  # what was not said before there was such a field
    missing = {name: value for name, value in later.items() if name not in fields}
    info = ServiceInfo(**{**known, **missing, "queues": tuple(queues), "pids": tuple(pids)})
    sound = (
        checked.are(checked.is_text, (info.name, info.host, info.python, info.build, info.trouble, *info.queues))
        and checked.are(_is_pid, (info.pid, *info.pids))
        and checked.is_count(info.schema)
        and checked.is_count(info.processes, _MOST)
        and checked.is_seconds(info.started)
    )
    return info if sound and info.name.encode() == name else None


def _is_pid(value: object) -> bool:
    return checked.is_count(value, _GREATEST_PID)
