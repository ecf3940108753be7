"""RQ's queues and registries: how many jobs are where, and one page of them at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)

from taskq.redis import checked, ids, keys, kinds
from taskq.redis.checked import count, text

MAX_QUEUES = 50  # shown
PAGE = 25  # jobs on one page

REGISTRIES = {
    "started": StartedJobRegistry,
    "finished": FinishedJobRegistry,
    "failed": FailedJobRegistry,
    "deferred": DeferredJobRegistry,
    "scheduled": ScheduledJobRegistry,
    "canceled": CanceledJobRegistry,
}
PLACES = ("queued", *REGISTRIES)

FIELDS = ("status", "origin", "description", "created_at", "started_at", "ended_at", "worker_name",
          "retries_left", "number_of_retries", keys.JOB_KIND)  # fmt: skip
"""What is read of a job's hash: never its ``data``, which is the user's pickle."""

_STATUSES = frozenset(one.value for one in JobStatus)
MAX_TEXT = 300  # characters of a description


def ask_counts(pipe: Any, name: str) -> None:
    """Queue the commands whose replies are for ``counts``."""
    pipe.llen(Queue.redis_queue_namespace_prefix + name)
    for registry in REGISTRIES.values():
        pipe.zcard(registry.key_template.format(name))


def counts(name: str, replies: Sequence[Any]) -> dict[str, Any]:
    """One queue's row."""
    return {"name": name, **dict(zip(PLACES, (checked.reply(one, 0) for one in replies), strict=True))}


def started_ids(reply: Any) -> list[str]:
    """Job ids from a piece of a started registry, whose members are ``job:execution``."""
    members: list[bytes] = checked.reply(reply, [])
    return [job_id for job_id in map(ids.of_execution, members) if job_id]


def page(connection: Any, queue: str, place: str, number: int) -> dict[str, Any]:
    """Jobs of one queue and registry, newest first (queued ones: next first): a row each.

    Two round trips, and never more than ``PAGE`` jobs, however many there are.

    Raises:
        KeyError: If there is no such registry.
    """
    start, end = number * PAGE, (number + 1) * PAGE - 1
    with connection.pipeline(transaction=False) as pipe:
        if place == "queued":
            pipe.llen(Queue.redis_queue_namespace_prefix + queue)
            pipe.lrange(Queue.redis_queue_namespace_prefix + queue, start, end)
        else:
            key = REGISTRIES[place].key_template.format(queue)
            pipe.zcard(key)
            pipe.zrevrange(key, start, end)
        length, reply = pipe.execute(raise_on_error=False)
        total, members = checked.reply(length, 0), list[bytes](checked.reply(reply, []))
        read = ids.of_execution if place == "started" else ids.read
        found = list(dict.fromkeys(job_id for job_id in map(read, members) if job_id))
        for job_id in found:
            pipe.hmget(Job.key_for(job_id), FIELDS)
        replies = pipe.execute(raise_on_error=False) if found else []
        rows = [job_row(*one) for one in zip(found, replies, strict=True)]
    return {
        "queue": queue,
        "place": place,
        "page": number,
        "pages": -(-total // PAGE),
        "total": total,
        "jobs": rows,
    }


def job_row(job_id: str, reply: Any) -> dict[str, Any]:
    """What the page says of a job, from its ``FIELDS``; only text, whatever stands there."""
    values: Sequence[bytes | None] = checked.reply(reply, [None] * len(FIELDS))
    fields = dict(zip(FIELDS, values, strict=True))
    kind = kinds.read([fields[name] for name in kinds.FIELDS]).name
    return {
        "id": job_id,
        "kind": kind,
        "status": _status(fields["status"]),
        "queue": text(fields["origin"]),
        "description": text(fields["description"], MAX_TEXT),
        "worker": text(fields["worker_name"]),
        "retries": count(fields["number_of_retries"]),
        "retries_left": count(fields["retries_left"]),
        **{name.removesuffix("_at"): moment(fields[name]) for name in ("created_at", "started_at", "ended_at")},
    }


def _status(value: bytes | None) -> str:
    """One of RQ's words, or of ours; the page makes more of it than a text."""
    if not value:
        return "gone"
    return text(value) if text(value) in _STATUSES else "unknown"


def moment(value: bytes | None) -> float:
    """RQ's UTC stamps as Unix time; 0.0 if there is none."""
    try:
        found = datetime.fromisoformat(text(value)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return found if found > 0 else 0.0
