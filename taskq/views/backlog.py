"""What waits and what runs on each queue: for ``taskq status``, ``taskq top``, the metrics and an autoscaler.

Costs the same with two finished jobs as with 200,000: registries are only counted, and of a long queue the
first ``LOOK`` jobs are looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

import rq
from rq.job import Job

from taskq.redis import checked, clock, ids, kinds, services
from taskq.redis.keys import MapField, MapKeys
from taskq.redis.kinds import MAP
from taskq.redis.services import ServiceInfo
from taskq.views import waits
from taskq.views.progress import Progress
from taskq.views.waits import Load, Wait

LOOK = 1000
"""Waiting jobs of a queue that are looked at; what waits behind them counts as one chunk each."""

MOST = 200
"""Queues that are looked at; anybody can name more, and each costs a round trip."""

_MAP_FIELDS = (
    MapField.NAME, MapField.DONE, MapField.FAILED, MapField.STARTED, MapField.ENDED, MapField.TOTAL, MapField.NEXT,
)  # fmt: skip


@dataclass(frozen=True)
class MapLine:
    """A map that runs, or waits in a queue for its turn.

    Args:
        status: ``started`` or ``queued``.
        waiting: Chunks that nobody holds.
        claimed: Chunks that services hold.
    """

    id: str
    name: str
    queue: str
    status: str
    waiting: int
    claimed: int
    progress: Progress


@dataclass(frozen=True)
class QueueLine:
    """One queue.

    Args:
        jobs: RQ's status -> how many jobs are in it.
        waiting: Chunks outstanding that nobody holds yet; a plain job is one chunk.
        claimed: Chunks outstanding that are with a service.
        maps: Maps that run, then those that wait.
        wait: Of the next job; None: no job waits.
    """

    name: str
    jobs: dict[str, int]
    waiting: int
    claimed: int
    maps: list[MapLine]
    wait: Wait | None = None


def read_queues(connection: Any) -> list[QueueLine]:
    """The queues that RQ knows, by name; of absurdly many, those on which services listen, and some others."""
    infos, names = _served(connection, MOST)
    lines = [_read(connection, rq.Queue(name, connection=connection)) for name in names]
    loads = {line.name: Load(line.jobs["queued"], line.jobs["started"]) for line in lines}
    found = waits.read(connection, loads, infos) if lines else {}
    return [replace(line, wait=found.get(line.name)) for line in lines]


def queue_names(connection: Any, most: int) -> list[str]:
    """The names of the queues that RQ knows, sorted; no more than ``most``, those that are listened on first."""
    return _served(connection, most)[1]


def _served(connection: Any, most: int) -> tuple[list[ServiceInfo], list[str]]:
    """The services that are alive, and the queues: see ``queue_names``."""
    with connection.pipeline(transaction=False) as pipe:
        pipe.smembers(rq.Queue.redis_queues_keys)
        services.ask_live(pipe)
        members, *live = pipe.execute(raise_on_error=False)
    infos = services.read_live(*live)
    served = {name for info in infos for name in info.queues}
    return infos, names_of(checked.reply(members, set()), served, most)


def names_of(members: Iterable[bytes], served: Collection[str], most: int) -> list[str]:
    """As ``queue_names``, of the members of RQ's set of queues."""
    prefix = rq.Queue.redis_queue_namespace_prefix.encode()
    names = {checked.text(member.removeprefix(prefix)) for member in members if member.startswith(prefix)}
    return sorted(sorted(names, key=lambda name: (name not in served, name))[:most])


def _read(connection: Any, queue: rq.Queue) -> QueueLine:
    registries = {
        "finished": queue.finished_job_registry,
        "failed": queue.failed_job_registry,
        "deferred": queue.deferred_job_registry,
        "scheduled": queue.scheduled_job_registry,
        "canceled": queue.canceled_job_registry,
    }
    with connection.pipeline(transaction=False) as pipe:
        pipe.lrange(queue.key, 0, LOOK - 1)
        pipe.llen(queue.key)
        pipe.zrange(queue.started_job_registry.key, 0, LOOK - 1)  # executions: "job id:execution id"
        for registry in registries.values():
            pipe.zcard(registry.key)
        replies = pipe.execute(raise_on_error=False)
    first: list[bytes] = checked.reply(replies[0], [])
    running: list[bytes] = checked.reply(replies[2], [])
    length, *counts = (checked.reply(one, 0) for one in (replies[1], *replies[3:]))
    queued = [job_id for job_id in map(ids.read, first) if job_id]
    started = [job_id for job_id in map(ids.of_execution, running) if job_id]
    kinds = _kinds(connection, {*queued, *started})
    maps = [
        *_maps(connection, queue.name, "started", [one for one in started if kinds[one] == MAP]),
        *_maps(connection, queue.name, "queued", [one for one in queued if kinds[one] == MAP]),
    ]
    plain_queued = max(0, length - sum(kinds[one] == MAP for one in queued))
    return QueueLine(
        queue.name,
        {
            "queued": length,
            "started": len(started),
            **dict(zip(registries, counts, strict=True)),
        },
        waiting=plain_queued + sum(one.waiting for one in maps),
        claimed=sum(kinds[one] == "" for one in started) + sum(one.claimed for one in maps),
        maps=maps,
    )


def _kinds(connection: Any, found: Iterable[str]) -> dict[str, str]:
    """What kind of job each is: "map", or ""."""
    jobs = list(found)
    with connection.pipeline(transaction=False) as pipe:
        for job_id in jobs:
            pipe.hmget(Job.key_for(job_id), kinds.FIELDS)
        replies = pipe.execute(raise_on_error=False) if jobs else []
    nothing = [None] * len(kinds.FIELDS)
    return {
        job_id: kinds.read(checked.reply(reply, nothing)).name for job_id, reply in zip(jobs, replies, strict=True)
    }


def _maps(connection: Any, queue: str, status: str, found: list[str]) -> list[MapLine]:
    if not found:
        return []
    with connection.pipeline(transaction=False) as pipe:
        pipe.time()
        for job_id in found:
            key = MapKeys(job_id)
            pipe.hmget(key.hash, _MAP_FIELDS)
            pipe.llen(key.pending)
            pipe.llen(key.again)
            pipe.llen(key.failed)
            pipe.hlen(key.claims)
        now, *raw = pipe.execute(raise_on_error=False)
    lines, replies = [], iter(raw)
    for job_id in found:
        fields: list[bytes | None] = checked.reply(next(replies), [None] * len(_MAP_FIELDS))
        pending, again, failed, claimed = (checked.reply(next(replies), 0) for _ in range(4))
        # Of a map that waits for a retry, what failed is to be done as well.
        waiting = pending + again + (0 if status == "started" else failed)
        lines.append(_line(job_id, queue, status, clock.read(now), fields, waiting, claimed))
    return lines


def _line(
    job_id: str, queue: str, status: str, now: float, fields: list[bytes | None], waiting: int, claimed: int
) -> MapLine:
    done, failed = map(checked.count, fields[1:3])
    started, ended = map(checked.seconds, fields[3:5])
    total, sealed = checked.items(*fields[5:])
    progress = Progress.since(started, ended or now, done, failed, total, sealed=sealed)
    return MapLine(job_id, checked.text(fields[0]), queue, status, waiting, claimed, progress)
