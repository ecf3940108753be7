"""Ids of jobs, where RQ lists them: in the queues, and in their registries, one for each status."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import rq

from taskq.redis import checked, ids

STATUSES = ("queued", "started", "deferred", "scheduled", "finished", "failed", "canceled")


def newest(connection: Any, queues: Iterable[str], statuses: Iterable[str], most: int) -> list[str]:
    """The ids that came last into each of these places, one trip for all; what no job can have as its id is none.

    Args:
        connection: To Redis.
        queues: Their names.
        statuses: Of ``STATUSES``.
        most: How many of each place.
    """
    places = list(product(queues, statuses))
    if not places:
        return []
    with connection.pipeline(transaction=False) as pipe:
        for name, status in places:
            _ask(pipe, rq.Queue(name, connection=connection), status, most)
        replies = pipe.execute(raise_on_error=False)
    found: dict[str, None] = {}
    for (_name, status), reply in zip(places, replies, strict=True):
        read = ids.of_execution if status == "started" else ids.read
        members: list[bytes] = checked.reply(reply, [])
        found |= dict.fromkeys(job_id for job_id in map(read, members) if job_id)
    return list(found)


def _ask(pipe: Any, queue: rq.Queue, status: str, most: int) -> None:
    if status == "queued":
        pipe.lrange(queue.key, -most, -1)
    else:
        pipe.zrevrange(getattr(queue, f"{status}_job_registry").key, 0, most - 1)
