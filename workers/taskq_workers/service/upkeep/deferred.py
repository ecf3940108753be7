"""Enqueues jobs whose dependencies have ended, if whoever ended the last of them died before it could do so.

After a success RQ marks dependents as ready in the transaction that records it; after a failure or a cancellation
only afterwards, and RQ itself never looks again: a job that may run after a failure would be deferred for ever.
"""

from __future__ import annotations

import logging
import time

import rq
from rq.job import Job
from rq.registry import DeferredJobRegistry

from taskq.payload.sealed import SealedSerializer
from taskq_workers.service.core.state import State

log = logging.getLogger(__name__)

INTERVAL = 5.0  # seconds between two looks of one service
_COUNT = 50  # deferred jobs looked at each time, about


class Deferred:
    """Goes round all deferred jobs, a few at a time."""

    def __init__(self) -> None:
        self._cursors: dict[str, int] = {}
        self._looked = 0.0  # on the monotonic clock

    def look(self, state: State) -> None:
        """Look at the next few, if it is time to."""
        if time.monotonic() - self._looked < INTERVAL:
            return
        self._looked = time.monotonic()
        for queue in state.queues:
            key = DeferredJobRegistry(queue=queue).key
            cursor, found = state.connection.zscan(key, self._cursors.get(key, 0), count=_COUNT)
            self._cursors[key] = cursor
            if found:
                _enqueue_ready(state, [job_id.decode() for job_id, _score in found])


def _enqueue_ready(state: State, ids: list[str]) -> None:
    for job in Job.fetch_many(ids, state.connection, serializer=SealedSerializer):
        if job is None or not job.dependencies_are_met():
            continue
        for parent in job.fetch_dependencies():
            # RQ's own way, which looks again and moves each dependent once; a live worker may be about to do it.
            queue = rq.Queue(parent.origin, connection=state.connection, serializer=SealedSerializer)
            if any(job.id in moved for moved in queue.enqueue_dependents(parent).values()):
                log.warning("job %s was left deferred, enqueued", job.id,
                            extra={"action": "left_deferred", "job": job.id})  # fmt: skip
