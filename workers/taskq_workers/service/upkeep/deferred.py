"""Enqueues jobs whose dependencies have ended, if whoever ended the last of them died before it could do so.

After a success RQ marks dependents as ready in the transaction that records it; after a failure or a cancellation
only afterwards, and RQ itself never looks again: a job that may run after a failure would be deferred for ever.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import rq
from rq.job import Job
from rq.registry import DeferredJobRegistry, ReadyJobRegistry

from taskq.payload.sealed import SealedSerializer
from taskq.redis import ids
from taskq_workers import readable
from taskq_workers.service.core.damage import contained, is_damage
from taskq_workers.service.core.state import State

log = logging.getLogger(__name__)

T = TypeVar("T")

INTERVAL = 5.0  # seconds between two looks of one service
_QUEUES = 10  # looked at each time
_COUNT = 50  # deferred jobs looked at each time, about


class Deferred:
    """Goes round all deferred jobs, a few at a time."""

    def __init__(self) -> None:
        self._cursors: dict[str, int] = {}
        self._looked = -math.inf  # on the monotonic clock
        self._at = 0  # the next queue

    def look(self, state: State) -> None:
        """Look at those marked as ready, and at the next few deferred ones, if it is time to."""
        for queue in self._next(state):
            with contained(f"dependents in the queue {queue.name}"):
                ready = ReadyJobRegistry(queue=queue)
                _sifting(
                    state, queue, ready.key, partial(state.connection.zrange, ready.key, 0, -1), ready.cleanup
                )
        if time.monotonic() - self._looked < INTERVAL:
            return
        self._looked = time.monotonic()
        for queue in state.queues:
            key = DeferredJobRegistry(queue=queue).key
            with contained(f"deferred jobs of the queue {queue.name}"):
                cursor, found = state.connection.zscan(key, self._cursors.get(key, 0), count=_COUNT)
                self._cursors[key] = cursor
                members = [member for member, _score in found]
                _sifting(state, queue, key, partial(list, members), partial(_enqueue_ready, state, members))

    def _next(self, state: State) -> list[rq.Queue]:
        """Some queues, others each time: each costs a round trip or two."""
        first = self._at if self._at < len(state.queues) else 0
        self._at = first + _QUEUES
        return state.queues[first : self._at]


def _sifting(
    state: State,
    queue: rq.Queue,
    key: str,
    members: Callable[[], Iterable[bytes]],
    act: Callable[[], T],
) -> T | None:
    """Act; what it stumbles over of this key is taken out, and the rest has its turn with the next look."""
    try:
        return act()
    except Exception as error:
        if is_damage(error) and readable.sift(state.connection, queue.name, key, members()):
            return None
        raise


def _enqueue_ready(state: State, members: Iterable[bytes]) -> None:
    found = [job_id for job_id in map(ids.read, members) if job_id]
    for job in Job.fetch_many(found, state.connection, serializer=SealedSerializer):
        if job is not None:
            with contained(f"the deferred job {job.id}"):
                _enqueue_if_ready(state, job)


def _enqueue_if_ready(state: State, job: Job) -> None:
    if not job.dependencies_are_met():
        return
    for parent in job.fetch_dependencies():
        # RQ's own way, which looks again and moves each dependent once; a live worker may be about to do it.
        queue = rq.Queue(parent.origin, connection=state.connection, job_class=Job, serializer=SealedSerializer)
        key = parent.dependents_key
        members, enqueue = partial(state.connection.smembers, key), partial(queue.enqueue_dependents, parent)
        moved = _sifting(state, queue, key, members, enqueue) or {}
        if any(job.id in enqueued for enqueued in moved.values()):
            log.warning("job %s was left deferred, enqueued", job.id,
                        extra={"action": "left_deferred", "job": job.id})  # fmt: skip
