"""What ``taskq doctor`` looks at: a function for each, which tells what it has found, with its remedy."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from redis.exceptions import ResponseError
from rq.suspension import WORKERS_SUSPENDED

from taskq.errors import DamagedError, MapError
from taskq.maps.store import MapStore
from taskq.payload import signing
from taskq.redis import clock, exposure, keys, refusals, services
from taskq.redis.scripting import is_forbidden
from taskq.redis.urls import hide_password, url_of
from taskq.views import backlog
from taskq.views.backlog import QueueLine
from taskq_workers.clock import WRONG
from taskq_workers.manager import health
from taskq_workers.service import server_check
from taskq_workers.service import version as versions
from taskq_workers.settings import HOST

_FULL = 0.9  # of the server's memory
_UNHEARD = 60.0  # seconds after which somebody should have taken over from a dead service
_MAPS = 200  # that are looked at
_PACKAGES = ("taskq-pool", "rq", "redis", "cotyledon", "cloudpickle")


@dataclass(frozen=True)
class Finding:
    """Something that was looked at.

    Args:
        what: What was found, for people.
        remedy: What to do about it; "": nothing is wrong.
    """

    what: str
    remedy: str = ""


class Patient:
    """A server, and what works on it; read once, when it is first asked for.

    Args:
        connection: To the server.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    @cached_property
    def queues(self) -> list[QueueLine]:
        return backlog.read_queues(self.connection)

    @cached_property
    def live(self) -> list[services.ServiceInfo]:
        return services.live(self.connection)

    @cached_property
    def info(self) -> dict[str, Any] | None:
        """What the server tells of itself; None: it does not let us ask."""
        try:
            return dict(self.connection.info())
        except ResponseError as error:
            if not is_forbidden(error):
                raise
            return None


def settings(patient: Patient) -> Iterator[Finding]:
    """This program's own."""
    yield Finding(f"Python {platform.python_version()} on {platform.system()}; {', '.join(_installed())}")
    signed = bool(signing.keyring())
    yield Finding(f"{signing.VARIABLE} is {'set' if signed else 'not set'}")
    if not signed and not exposure.is_private(patient.connection):
        yield Finding(
            "others may reach the server, and nothing is signed: whoever can write to it runs code in the workers",
            f"set {signing.VARIABLE} to the same value everywhere; see docs/security.md",
        )


def _installed() -> Iterator[str]:
    for name in _PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            yield f"{name} (not installed)"


def server(patient: Patient) -> Iterator[Finding]:
    """Where it is, and what it does with what it holds."""
    url, info = hide_password(url_of(patient.connection)), patient.info
    if info is None:
        yield Finding(f"the server at {url} does not let us ask what it is (INFO)")
        return
    name = info.get("server_name", "redis")
    number = info.get("valkey_version") or info.get("redis_version", "?")
    yield Finding(f"{name} {number} at {url}, for {int(info.get('uptime_in_seconds', 0)) // 60} minutes")
    snapshots = bool(info.get("rdb_saves")) or None
    for text in server_check.findings(info, snapshots):
        what, _, remedy = text.partition(". Remedy: ")
        yield Finding(f"the server: {what}", remedy)
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used > _FULL * most:
        yield Finding(
            f"the server's memory is nearly full: {used:,} of {most:,} bytes",
            "read results and delete their maps, give them a shorter result_ttl, or raise maxmemory",
        )
    if evicted := int(info.get("evicted_keys", 0)):
        yield Finding(
            f"the server has evicted {evicted:,} keys: maps may have lost items or results",
            "CONFIG SET maxmemory-policy noeviction, and push again what says that it is lost",
        )


def clocks(patient: Patient) -> Iterator[Finding]:
    """This host's, beside the server's."""
    before = time.time()
    said = clock.ask(patient.connection)
    off = max(before - said, said - time.time(), 0.0)
    if off > WRONG:
        yield Finding(
            f"this host's clock and the server's differ by {off:.1f} s",
            "nothing of ours goes by it, but times in logs will mislead you: let NTP set both",
        )


def workers(patient: Patient) -> Iterator[Finding]:
    """Services, alive and dead, and their versions."""
    live = patient.live
    hosts = len({one.host for one in live})
    yield Finding(f"{len(live)} services on {hosts} hosts, {sum(one.processes for one in live)} pool processes")
    if not live:
        yield Finding("no worker is alive", "start one: taskq worker")
    for one in live:
        if one.trouble:
            yield Finding(
                f"the service {one.name} on {one.host} is not well: {one.trouble}", "see its worker's log"
            )
    for note in versions.notes(patient.connection, live):
        yield Finding(note, "let one of the versions end what it has begun (drain), then start the other")
    if any(one.host == HOST for one in live):
        for problem in health.look(patient.connection, 1).problems:
            yield Finding(problem, "restart this host's worker")
    yield from _unheard(patient)


def _unheard(patient: Patient) -> Iterator[Finding]:
    """Services that are dead, and from which nobody has taken over."""
    now = clock.ask(patient.connection)
    try:
        dead = patient.connection.zrangebyscore(keys.LEASES, "(0", now - _UNHEARD, 0, _MAPS)
    except ResponseError:
        yield Finding(f"{keys.LEASES} is not what taskq writes there", "delete it: services write it anew")
        return
    if dead:
        yield Finding(
            f"{len(dead)} services have died, and nobody has taken over what they held",
            "start a worker that serves their queues: it looks after them within a minute",
        )


def queues(patient: Patient) -> Iterator[Finding]:
    """What waits, and why."""
    if patient.connection.exists(WORKERS_SUSPENDED):
        yield Finding("workers are suspended: nothing begins", "rq resume")
    served = {name for one in patient.live for name in one.queues}
    for line in patient.queues:
        waiting = line.jobs["queued"]
        if waiting and line.name not in served:
            yield Finding(
                f"nobody serves the queue {line.name}, where {waiting} jobs wait",
                f"start a worker for it: taskq worker {line.name}",
            )
        elif line.wait is not None and line.wait.seconds > _UNHEARD:
            behind = f"; before it: {line.wait.behind}" if line.wait.behind else ""
            yield Finding(f"the next job of the queue {line.name} has waited {line.wait.seconds:.0f} s{behind}")


def maps(patient: Patient) -> Iterator[Finding]:
    """Those that nobody can run, or that are paused."""
    lines = [one for line in patient.queues for one in line.maps][:_MAPS]
    for one in lines:
        serving = [service for service in patient.live if one.queue in service.queues]
        store = MapStore(one.id, patient.connection)
        try:
            info, refused = store.info(), store.refusals()
        except DamagedError as error:
            yield Finding(
                f"the map {one.id} can't be read: {error}", f"push it again, and delete it: taskq cancel {one.id}"
            )
            continue
        except MapError:
            continue  # it has gone meanwhile
        if info.paused:
            yield Finding(f"the map {one.id} ({one.name}) is paused", f"taskq resume {one.id}")
        why = {each.why for name, each in refused.items() if any(service.name == name for service in serving)}
        if serving and all(service.name in refused for service in serving):
            yield Finding(
                f"no worker can run the map {one.id} ({one.name}): {'; '.join(sorted(why))}",
                "install what is missing, and restart the workers",
            )
        elif why:
            yield Finding(f"some workers can't run the map {one.id} ({one.name}): {'; '.join(sorted(why))}")


def refused(patient: Patient) -> Iterator[Finding]:
    """What was turned away."""
    counted = refusals.counted(patient.connection)
    if counted.get(refusals.SIGNATURE):
        yield Finding(
            f"{counted[refusals.SIGNATURE]} jobs or chunks were refused, since they were not signed with this key",
            f"see that all producers have the workers' {signing.VARIABLE}; if they do, somebody else writes here",
        )
    if counted.get(refusals.IMPORT):
        yield Finding(
            f"{counted[refusals.IMPORT]} jobs or chunks were refused, since their function is not allowed",
            "if it is to run: taskq worker --allow-import",
        )


CHECKS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    settings, server, clocks, workers, queues, maps, refused,
)  # fmt: skip
