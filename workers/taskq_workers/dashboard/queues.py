"""RQ's queues and registries: how many jobs are where, and one page of them at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rq import Queue
from rq.job import Job
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)

from taskq.redis import keys
from taskq.redis.kinds import kind_of

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

MAX_TEXT = 300  # characters of a description


def names_of(reply: Any) -> list[str]:
    """The queues' names, from the set of their keys."""
    prefix = Queue.redis_queue_namespace_prefix
    return sorted(text(key).removeprefix(prefix) for key in reply)[:MAX_QUEUES]


def ask_counts(pipe: Any, name: str) -> None:
    """Queue the commands whose replies are for ``counts``."""
    pipe.llen(Queue.redis_queue_namespace_prefix + name)
    for registry in REGISTRIES.values():
        pipe.zcard(registry.key_template.format(name))


def counts(name: str, replies: Sequence[int]) -> dict[str, Any]:
    """One queue's row."""
    return {"name": name, **dict(zip(PLACES, replies, strict=True))}


def started_ids(members: Sequence[bytes]) -> list[str]:
    """Job ids from a piece of a started registry, whose members are ``job:execution``."""
    return [text(member).partition(":")[0] for member in members]


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
        total, members = pipe.execute()
        ids = list(dict.fromkeys(started_ids(members)))
        for job_id in ids:
            pipe.hmget(Job.key_for(job_id), FIELDS)
        rows = [job_row(job_id, fields) for job_id, fields in zip(ids, pipe.execute(), strict=True)]
    return {
        "queue": queue,
        "place": place,
        "page": number,
        "pages": -(-total // PAGE),
        "total": total,
        "jobs": rows,
    }


def job_row(job_id: str, values: Sequence[bytes | None]) -> dict[str, Any]:
    """What the page says of a job, from its ``FIELDS``; only text, whatever stands there."""
    fields = dict(zip(FIELDS, values, strict=True))
    kind = kind_of({keys.JOB_KIND.encode(): fields[keys.JOB_KIND] or b""}).name
    return {
        "id": job_id,
        "kind": kind,
        "status": text(fields["status"]) or "gone",
        "queue": text(fields["origin"]),
        "description": text(fields["description"])[:MAX_TEXT],
        "worker": text(fields["worker_name"]),
        "retries": number(fields["number_of_retries"]),
        "retries_left": number(fields["retries_left"]),
        **{name.removesuffix("_at"): moment(fields[name]) for name in ("created_at", "started_at", "ended_at")},
    }


def text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def number(value: bytes | None) -> int:
    try:
        return int(value or 0)
    except ValueError:
        return 0


def moment(value: bytes | None) -> float:
    """RQ's UTC stamps as Unix time; 0.0 if there is none."""
    try:
        return datetime.fromisoformat(text(value)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
