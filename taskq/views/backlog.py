"""What waits and what runs on each queue: for ``taskq status``, ``taskq top``, the metrics and an autoscaler.

Costs the same with two finished jobs as with 200,000: registries are only counted, and of a long queue the
first ``LOOK`` jobs are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import rq
from rq.job import Job

from taskq.redis import clock, keys
from taskq.redis.keys import MapField, MapKeys
from taskq.redis.kinds import HELPER, MAP, kind_of
from taskq.views.progress import Progress

LOOK = 1000
"""Waiting jobs of a queue that are looked at; what waits behind them counts as one chunk each."""

_MAP_FIELDS = (MapField.NAME, MapField.TOTAL, MapField.DONE, MapField.FAILED, MapField.STARTED, MapField.ENDED)


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
        jobs: RQ's status -> how many jobs are in it; ``queued`` counts no helper jobs of those looked at.
        waiting: Chunks outstanding that nobody holds yet; a plain job is one chunk.
        claimed: Chunks outstanding that are with a service.
        maps: Maps that run, then those that wait.
    """

    name: str
    jobs: dict[str, int]
    waiting: int
    claimed: int
    maps: list[MapLine]


def read_queues(connection: Any) -> list[QueueLine]:
    """Every queue that RQ knows, by name."""
    queues = sorted(rq.Queue.all(connection), key=lambda queue: queue.name)
    return [_read(connection, queue) for queue in queues]


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
        pipe.zrange(queue.started_job_registry.key, 0, -1)  # executions: "job id:execution id"
        for registry in registries.values():
            pipe.zcard(registry.key)
        first, length, running, *counts = pipe.execute()
    queued = [job_id.decode() for job_id in first]
    started = [member.decode().partition(":")[0] for member in running]
    kinds = _kinds(connection, {*queued, *started})
    maps = [
        *_maps(connection, queue.name, "started", [one for one in started if kinds[one] == MAP]),
        *_maps(connection, queue.name, "queued", [one for one in queued if kinds[one] == MAP]),
    ]
    helpers = sum(kinds[one] == HELPER for one in queued)
    plain_queued = length - helpers - sum(kinds[one] == MAP for one in queued)
    return QueueLine(
        queue.name,
        {
            "queued": length - helpers,
            "started": sum(kinds[one] != HELPER for one in started),
            **dict(zip(registries, counts, strict=True)),
        },
        waiting=plain_queued + sum(one.waiting for one in maps),
        claimed=sum(kinds[one] == "" for one in started) + sum(one.claimed for one in maps),
        maps=maps,
    )


def _kinds(connection: Any, ids: Iterable[str]) -> dict[str, str]:
    """What kind of job each is: "map", "helper", or ""."""
    ids = list(ids)
    with connection.pipeline(transaction=False) as pipe:
        for job_id in ids:
            pipe.hget(Job.key_for(job_id), keys.JOB_KIND)
        marks = pipe.execute() if ids else []
    field = keys.JOB_KIND.encode()
    return {job_id: kind_of({field: mark or b""})[0] for job_id, mark in zip(ids, marks, strict=True)}


def _maps(connection: Any, queue: str, status: str, ids: list[str]) -> list[MapLine]:
    if not ids:
        return []
    with connection.pipeline(transaction=False) as pipe:
        pipe.time()
        for job_id in ids:
            key = MapKeys(job_id)
            pipe.hmget(key.hash, _MAP_FIELDS)
            pipe.llen(key.pending)
            pipe.llen(key.again)
            pipe.llen(key.failed)
            pipe.hlen(key.claims)
        now, *replies = pipe.execute()
    lines, each = [], iter(replies)
    for job_id in ids:
        fields, pending, again, failed, claimed = (next(each) for _ in range(5))
        # Of a map that waits for a retry, what failed is to be done as well.
        waiting = pending + again + (0 if status == "started" else failed)
        lines.append(_line(job_id, queue, status, clock.read(now), fields, waiting, claimed))
    return lines


def _line(
    job_id: str, queue: str, status: str, now: float, fields: list[bytes | None], waiting: int, claimed: int
) -> MapLine:
    name, total, done, failed, started, ended = ((one or b"").decode("utf-8", "replace") for one in fields)
    progress = Progress.since(
        float(started or 0), float(ended or 0) or now, int(done or 0), int(failed or 0), int(total or 0)
    )
    return MapLine(job_id, name, queue, status, waiting, claimed, progress)
