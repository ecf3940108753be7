"""The register of live services: who they are, how many cores they bring, and until when they count as alive.

Leases are written and judged by the server's clock alone: what a host takes for the time of day changes nothing.
"""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from typing import Any

from taskq.redis import checked, clock, keys
from taskq.redis.lua import Operation, Scripts
from taskq.redis.patience import says_damage
from taskq.redis.schema import FIRST, SCHEMA

_MOST = 10_000  # processes that a service can have, or queues; a drawing of more would be none
_GREATEST_PID = 2**31 - 1
FEW = 20
"""Services that are always counted anew, and need not care how many they are."""

_COUNTED = 5000  # microseconds for which the number of more is believed, for each of them
_LISTED = 86_400  # seconds for which a host's list stays without a renewal
_LOST = 64  # dead workers that one service looks at, at a time


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
    trouble: str = ""  # what is wrong with it: it takes nothing, its turns fail; "" if it is well
    lease: float = 0.0  # seconds for which it is renewed; 0.0: it does not say


@dataclass(frozen=True)
class Renewal:
    """What came of renewing a lease.

    Args:
        alive: Whether the service had one; else it was given up for dead, or is new.
        now: Unix time by the server's clock.
    """

    alive: bool
    now: float


def renew(scripts: Scripts, info: ServiceInfo, lease: float) -> Renewal:
    """Keep a service alive for ``lease`` more seconds."""
    names = [keys.LEASES, keys.SERVICES, keys.HOST + info.host]
    alive, *now = scripts.renew(names, [info.name, lease, checked.dumps(asdict(info)), _LISTED])
    return Renewal(bool(alive), clock.read(now))


def note_work(pipe: Any, name: str) -> None:
    """Queue the command by which somebody looks after what a service takes, even if it was given up for dead."""
    pipe.zadd(keys.LEASES, {name: 0}, nx=True)


def depose(scripts: Scripts, name: str) -> bool:
    """Declare a service dead whose lease is over; False if it has renewed it meanwhile."""
    return bool(scripts.depose([keys.LEASES], [name]))


def remove(pipe: Any, name: str, host: str = "") -> None:
    """Queue the commands which strike a service, of this host if that is known, from the register."""
    pipe.zrem(keys.LEASES, name)
    if host:
        pipe.srem(keys.HOST + host, name)
    pipe.hdel(keys.SERVICES, name)
    pipe.hdel(keys.ACTIVITY, name)


def live(connection: Any, queue: str | None = None) -> list[ServiceInfo]:
    """The services whose lease is not over, by name; only those that listen on ``queue`` if given."""
    infos, _all = registered(connection)
    return [info for info in infos if queue is None or queue in info.queues]


def registered(connection: Any) -> tuple[list[ServiceInfo], list[ServiceInfo]]:
    """The services whose lease is not over; and all there are, also those that are dead and not yet recovered.

    Both by name.
    """
    with connection.pipeline(transaction=False) as pipe:
        ask_live(pipe)
        time, leases, raw = pipe.execute(raise_on_error=False)
    live = read_live(time, leases, raw)
    said = raw if isinstance(raw, dict) else {}
    return live, [info for name in sorted(said) if (info := _read(name, said[name]))]


def ask_live(pipe: Any) -> None:
    """Queue the three commands whose replies are for ``read_live``."""
    pipe.time()
    pipe.zrange(keys.LEASES, 0, -1, withscores=True)
    pipe.hgetall(keys.SERVICES)


def read_live(time: Any, leases: Any, raw: Any) -> list[ServiceInfo]:
    """The services whose lease is not over, by name."""
    for reply in (time, leases, raw):
        if says_damage(reply):
            return []  # no register; the services make it anew
        if isinstance(reply, Exception):
            raise reply
    now = clock.read(time)
    alive = sorted(name for name, ends in leases if ends > now)
    return [info for name in alive if name in raw and (info := _read(name, raw[name]))]


def known(connection: Any, name: str) -> ServiceInfo | None:
    """What this service has said of itself, if it is registered; it may be dead."""
    data = connection.hget(keys.SERVICES, name)
    return _read(name.encode(), data) if data else None


def of_host(connection: Any, host: str) -> list[ServiceInfo]:
    """The services of one host, also those that are dead and not yet recovered, by name; no others are read."""
    with connection.pipeline(transaction=False) as pipe:
        pipe.smembers(keys.HOST + host)
        [found] = pipe.execute(raise_on_error=False)
    names: list[bytes] = sorted(checked.reply(found, set()))
    if not names:  # of another version, which keeps no such list
        return [info for info in registered(connection)[1] if info.host == host]
    return [info for info in _said_by(connection, names) if info.host == host]


def known_of(connection: Any, names: list[str]) -> set[str]:
    """Those of these workers that are registered as services; they may be dead."""
    return {info.name for info in _said_by(connection, [name.encode() for name in names])}


def _said_by(connection: Any, names: list[bytes]) -> list[ServiceInfo]:
    with connection.pipeline(transaction=False) as pipe:
        pipe.hmget(keys.SERVICES, names)
        [found] = pipe.execute(raise_on_error=False)
    said: list[bytes | None] = checked.reply(found, [None] * len(names))
    pairs = zip(names, said, strict=True)
    return [info for name, data in pairs if data is not None and (info := _read(name, data)) is not None]


def lost(connection: Any, scripts: Scripts, lease: float, asks: str = "") -> list[str] | None:
    """Names of the workers whose lease is over; of very many some, and others the next time.

    Args:
        connection: To Redis.
        scripts: On the same.
        lease: Seconds that a registered service gets which has none at all, to show that it lives.
        asks: The service that asks, and has just renewed its lease, of as many seconds; "": anybody.

    Returns:
        The names; None if the server was away since that lease was renewed, and so maybe everybody's renewals.
    """
    found = scripts.lost([keys.LEASES, keys.SERVICES], [lease, _LOST, asks])
    if found is None:
        return None
    names = []
    for name in found:
        try:
            names.append(name.decode())
        except UnicodeDecodeError:  # nobody's, and it would be lost for ever
            connection.zrem(keys.LEASES, name)
    return names


def cores(connection: Any, queue: str) -> int:
    """How many pool processes live services bring to a queue; 0 if there is none yet.

    Counted by the server, since what a thousand services say of themselves is a lot to send for one number; and of
    many, some moments ago: 5 ms for each beyond ``FEW``.
    """
    return _count(Operation(connection, "fleet"), queue)[2]


def count(scripts: Scripts) -> tuple[int, int]:
    """How many services are alive, and how many pool processes they have; as ``cores`` counts them."""
    alive, processes, _of_queue = _count(scripts.fleet)
    return alive, processes


def _count(script: Operation, queue: str | None = None) -> tuple[int, int, int]:
    names = [keys.LEASES, keys.SERVICES, keys.FLEET]
    alive, processes, of_queue = script(names, [checked.dumps(queue), FEW, _COUNTED])
    return alive, processes, of_queue


def _read(name: bytes, data: bytes) -> ServiceInfo | None:
    """What the service with this name says of itself; None if no service says such a thing."""
    fields = checked.record(data)
    queues, pids = fields.get("queues"), fields.get("pids")
    if not (isinstance(queues, list) and isinstance(pids, list) and len(queues) + len(pids) <= _MOST):
        return None
    known: dict[str, Any] = {one.name: fields.get(one.name) for one in dataclasses.fields(ServiceInfo)}
    # What was not said before there was such a field.
    later = {"schema": FIRST, "build": "", "trouble": "", "lease": 0.0}
    missing = {name: value for name, value in later.items() if name not in fields}
    info = ServiceInfo(**{**known, **missing, "queues": tuple(queues), "pids": tuple(pids)})
    sound = (
        checked.are(checked.is_text, (info.name, info.host, info.python, info.build, info.trouble, *info.queues))
        and checked.are(_is_pid, (info.pid, *info.pids))
        and checked.is_count(info.schema)
        and checked.is_count(info.processes, _MOST)
        and checked.are(checked.is_seconds, (info.started, info.lease))
    )
    return info if sound and info.name.encode() == name else None


def _is_pid(value: object) -> bool:
    return checked.is_count(value, _GREATEST_PID)
