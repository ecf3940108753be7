"""RQ's scheduler, as a service of its own: it enqueues what is due of ``enqueue_at``, ``enqueue_in`` and retries.

It is RQ's code and RQ's locks, one for each queue, so that of all workers and hosts only one schedules a queue.
Job data pass through it unopened (``sealed.py``): it needs no user code. RQ's worker looks every two minutes
whether a lock has become free; here it is every few seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import cotyledon
from redis.exceptions import RedisError
from rq.scheduler import RQScheduler
from setproctitle import setproctitle

from taskq.connection import connect
from workers import signals
from workers.sealed import SealedSerializer
from workers.settings import Settings

log = logging.getLogger(__name__)

_INTERVAL = 1  # second between two looks; RQ's own
_LOCKS = 5.0  # seconds between two looks at locks which others hold


class _Scheduler(RQScheduler):  # type: ignore[misc,unused-ignore]
    """RQ's, on a connection which it need not be able to pickle."""

    def __init__(self, queues: tuple[str, ...], connection: Any, name: str) -> None:
        super().__init__(list(queues), connection, _INTERVAL, log.getEffectiveLevel(),
                         serializer=SealedSerializer, name=name)  # fmt: skip
        self._connection = connection
        self._looked = 0.0

    @property
    def connection(self) -> Any:
        return self._connection

    def take_locks(self) -> None:
        """Ask for those that we do not hold."""
        missing = self._queue_names != self.acquired_locks
        if missing and time.monotonic() - self._looked >= _LOCKS:
            self._looked = time.monotonic()
            self.acquire_locks()


def enqueue_due(queues: tuple[str, ...], connection: Any, name: str) -> None:
    """Once: enqueue what is due, of those queues which nobody else schedules. For bursts.

    Args:
        queues: Names.
        connection: To Redis.
        name: Of the scheduler; no other has it.
    """
    scheduler = _Scheduler(queues, connection, name)
    if scheduler.acquire_locks():
        try:
            scheduler.register_birth()
            scheduler.enqueue_scheduled_jobs()
        finally:
            scheduler.release_locks()
            scheduler.register_death()


class SchedulerService(cotyledon.Service):  # type: ignore[misc,unused-ignore]
    """What cotyledon starts, stops and restarts; a restarted one has the same name, and so its locks again.

    Args:
        worker_id: cotyledon's number of it.
        settings: The worker's.
        manager: Its own name; part of the scheduler's name.
    """

    name = "scheduler"

    def __init__(self, worker_id: int, settings: Settings, manager: str) -> None:
        super().__init__(worker_id)  # type: ignore[arg-type,unused-ignore]
        signals.ignore_interrupts()
        self._settings = settings
        self._name = f"taskq-{manager}-scheduler"
        self._stopping = threading.Event()
        self._ended = threading.Event()

    def run(self) -> None:
        """Schedule until ``terminate``."""
        setproctitle(f"taskq: scheduler [{' '.join(self._settings.queues)}]")
        scheduler = _Scheduler(self._settings.queues, connect(self._settings.url), self._name)
        while not self._stopping.is_set():
            try:
                self._turn(scheduler)
            except RedisError as error:
                log.warning("the scheduler can't reach Redis: %s", error, extra={"action": "redis_failed"})
            self._stopping.wait(_INTERVAL)
        try:
            scheduler.stop()
        except RedisError as error:
            log.warning("locks of the scheduler stay for a minute: %s", error, extra={"action": "leave_failed"})
        self._ended.set()

    @staticmethod
    def _turn(scheduler: _Scheduler) -> None:
        if scheduler.pid == 0:
            scheduler.register_birth()
        scheduler.take_locks()
        scheduler.heartbeat()
        scheduler.enqueue_scheduled_jobs()

    def terminate(self) -> None:
        """Give the locks back: called by cotyledon on SIGTERM, and when the manager has died."""
        self._stopping.set()
        self._ended.wait(self._settings.grace)
