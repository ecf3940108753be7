"""A job as ``taskq jobs`` and ``taskq show`` print it, read without unpickling anything of the user's."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from rq.job import Job

from taskq.maps import told
from taskq.redis import checked, ids, keys, kinds
from taskq.redis.keys import MapField, MapKeys
from taskq.redis.kinds import MAP
from taskq.views import backlog, listed

_ITEMS = (MapField.TOTAL, MapField.NEXT, MapField.DONE, MapField.FAILED, MapField.PAUSED, *told.FIELDS)
_DATES = ("created_at", "enqueued_at", "started_at", "ended_at")


@dataclass(frozen=True)
class Items:
    """How far a map is.

    Args:
        total: Of an open map, those it has so far.
        sealed: Whether it gets no more.
        paused: Whether nothing of it starts.
        terms: What else it was told, by name: see ``maps/told.py``.
    """

    total: int
    done: int
    failed: int
    sealed: bool = True
    paused: bool = False
    terms: dict[str, Any] = field(default_factory=dict)


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
    """The newest jobs in these statuses, by their creation."""
    queues = [queue] if queue is not None else backlog.queue_names(connection, backlog.MOST)
    found = [view for view in views(connection, listed.newest(connection, queues, statuses, limit)) if view]
    return sorted(found, key=lambda view: view.created_at or "", reverse=True)[:limit]


def views(connection: Any, jobs: Collection[str]) -> list[JobView | None]:
    """The jobs with these ids; None for one that is gone."""
    found = [job_id for job_id in jobs if ids.read(job_id)]
    with connection.pipeline(transaction=False) as pipe:
        for job_id in found:
            pipe.hmget(Job.key_for(job_id), keys.JOB_KIND, "status", "origin", "description", *_DATES)
            pipe.hmget(MapKeys(job_id).hash, _ITEMS)
        replies = pipe.execute(raise_on_error=False) if found else []
    seen = {one[0]: _view(*one) for one in zip(found, replies[::2], replies[1::2], strict=True)}
    return [seen.get(job_id) for job_id in jobs]


def _view(job_id: str, reply: Any, counts: Any) -> JobView | None:
    fields: list[bytes | None] = checked.reply(reply, [None] * (4 + len(_DATES)))
    mark, status, origin, description, *dates = map(checked.text, fields)
    kind = kinds.read((mark.encode(), dates[0].encode() or None)).name
    if not status:
        return None
    items = _items(*checked.reply(counts, [None] * len(_ITEMS))) if kind == MAP else None
    created, enqueued, started, ended = (date or None for date in dates)
    return JobView(job_id, kind or "plain", status, origin, description, created, enqueued, started, ended, items)


def _items(
    total: bytes | None, written: bytes | None, done: bytes | None, failed: bytes | None, paused: bytes | None,
    *options: bytes | None,
) -> Items:  # fmt: skip
    count, sealed = checked.items(total, written)
    named = told.shown(options)
    return Items(count, checked.count(done), checked.count(failed), sealed, paused is not None, named)
