"""RQ's scheduler: it enqueues what is due of ``enqueue_at``, ``enqueue_in`` and retries.

It is RQ's code and RQ's locks, one for each queue, so that of all workers and hosts only one schedules a queue.
Job data pass through it unopened (``sealed.py``): it needs no user code. RQ's worker looks every two minutes
whether a lock has become free; here it is every few seconds.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from rq.registry import ScheduledJobRegistry
from rq.scheduler import RQScheduler

from taskq.payload.sealed import SealedSerializer
from taskq_workers import clock, readable

log = logging.getLogger(__name__)

INTERVAL = 1  # second between two looks; RQ's own
_DUE = 1000  # jobs that RQ enqueues at a time
_LOCKS = 5.0  # seconds between two looks at locks which others hold


class Scheduler(RQScheduler):  # type: ignore[misc,unused-ignore]
    """RQ's, on a connection which it need not be able to pickle."""

    def __init__(self, queues: tuple[str, ...], connection: Any, name: str) -> None:
        super().__init__(list(queues), connection, INTERVAL, log.getEffectiveLevel(),
                         serializer=SealedSerializer, name=name)  # fmt: skip
        self._connection = connection
        self._looked = -math.inf

    @property
    def connection(self) -> Any:
        return self._connection

    def take_locks(self) -> None:
        """Ask for those that we do not hold."""
        missing = self._queue_names != self.acquired_locks
        if missing and time.monotonic() - self._looked >= _LOCKS:
            self._looked = time.monotonic()
            self.acquire_locks()

    def sift(self) -> None:
        """Take out of what is due the jobs that RQ's code can't enqueue: they keep all others from it."""
        for name in self.acquired_locks:
            key = ScheduledJobRegistry(name, self.connection).key
            due = self.connection.zrangebyscore(key, 0, clock.SERVER.now(), start=0, num=_DUE)
            readable.sift(self.connection, name, key, due)


def enqueue_due(queues: tuple[str, ...], connection: Any, name: str) -> None:
    """Once: enqueue what is due, of those queues which nobody else schedules. For bursts.

    Args:
        queues: Names.
        connection: To Redis.
        name: Of the scheduler; no other has it.
    """
    scheduler = Scheduler(queues, connection, name)
    if scheduler.acquire_locks():
        try:
            scheduler.register_birth()
            scheduler.enqueue_scheduled_jobs()
        finally:
            scheduler.release_locks()
            scheduler.register_death()
