"""A job as ``taskq jobs`` and ``taskq show`` print it, read without unpickling anything of the user's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import rq
from rq.job import Job

from taskq.redis import keys
from taskq.redis.keys import MapField, MapKeys
from taskq.redis.kinds import HELPER, MAP, kind_of

STATUSES = ("queued", "started", "deferred", "scheduled", "finished", "failed", "canceled")
_DATES = ("created_at", "enqueued_at", "started_at", "ended_at")


@dataclass(frozen=True)
class Items:
    """How far a map is."""

    total: int
    done: int
    failed: int


@dataclass(frozen=True)
class JobView:
    """One job.

    Args:
        kind: ``map`` or ``plain``.
        status: RQ's.
        created_at: This and the others: ISO 8601 in UTC, None if not yet.
        items: Of a map.
    """

    id: str
    kind: str
    status: str
    queue: str
    description: str
    created_at: str | None
    enqueued_at: str | None
    started_at: str | None
    ended_at: str | None
    items: Items | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def newest(connection: Any, statuses: Iterable[str], queue: str | None, limit: int) -> list[JobView]:
    """The newest jobs in these statuses, by their creation; helper jobs are not shown."""
    ids: dict[str, None] = {}
    for one in rq.Queue.all(connection):
        if queue is None or one.name == queue:
            for status in statuses:
                ids |= dict.fromkeys(_ids(connection, one, status, limit))
    found = [view for view in views(connection, ids) if view is not None]
    return sorted(found, key=lambda view: view.created_at or "", reverse=True)[:limit]


def _ids(connection: Any, queue: rq.Queue, status: str, limit: int) -> list[str]:
    """The ids that came last into a queue or one of its registries."""
    if status == "queued":
        members = connection.lrange(queue.key, -limit, -1)
    else:
        registry = getattr(queue, f"{status}_job_registry")
        members = connection.zrevrange(registry.key, 0, limit - 1)
    return [member.decode().partition(":")[0] for member in members]  # of started ones: "job id:execution id"


def views(connection: Any, ids: Iterable[str]) -> list[JobView | None]:
    """The jobs with these ids; None for one that is gone, or is a helper job."""
    ids = list(ids)
    with connection.pipeline(transaction=False) as pipe:
        for job_id in ids:
            pipe.hmget(Job.key_for(job_id), keys.JOB_KIND, "status", "origin", "description", *_DATES)
            pipe.hmget(MapKeys(job_id).hash, MapField.TOTAL, MapField.DONE, MapField.FAILED)
        replies = pipe.execute() if ids else []
    return [_view(*one) for one in zip(ids, replies[::2], replies[1::2], strict=True)]


def _view(job_id: str, fields: list[bytes | None], counts: list[bytes | None]) -> JobView | None:
    mark, status, origin, description, *dates = ((one or b"").decode("utf-8", "replace") for one in fields)
    kind = kind_of({keys.JOB_KIND.encode(): mark.encode()})[0]
    if not status or kind == HELPER:
        return None
    items = Items(*(int(one or 0) for one in counts)) if kind == MAP else None
    created, enqueued, started, ended = (date or None for date in dates)
    return JobView(job_id, kind or "plain", status, origin, description, created, enqueued, started, ended, items)
