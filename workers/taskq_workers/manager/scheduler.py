"""RQ's scheduler (``service/rq/scheduler.py``) as a service of its own, beside those that run jobs."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress

import cotyledon
from redis.exceptions import RedisError
from setproctitle import setproctitle

from taskq.redis.connection import connect
from taskq_workers import clock, signals
from taskq_workers.service.core.damage import is_damage
from taskq_workers.service.rq.scheduler import INTERVAL, Scheduler
from taskq_workers.settings import Settings

log = logging.getLogger(__name__)


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
        clock.follow()
        scheduler = Scheduler(self._settings.queues, connect(self._settings.url), self._name)
        while not self._stopping.is_set():
            try:
                self._turn(scheduler)
            except Exception as error:  # noqa: BLE001 - of what stands in Redis, RQ's code may raise anything
                self._failed(scheduler, error)
            self._stopping.wait(INTERVAL)
        try:
            scheduler.stop()
        except RedisError as error:
            log.warning("locks of the scheduler stay for a minute: %s", error, extra={"action": "leave_failed"})
        self._ended.set()

    @staticmethod
    def _turn(scheduler: Scheduler) -> None:
        clock.SERVER.measure(scheduler.connection)  # what is due is due by the server's clock
        if scheduler.pid == 0:
            scheduler.register_birth()
        scheduler.take_locks()
        scheduler.heartbeat()
        scheduler.enqueue_scheduled_jobs()

    @staticmethod
    def _failed(scheduler: Scheduler, error: Exception) -> None:
        if not is_damage(error):
            log.warning("the scheduler can't reach Redis: %s", error, extra={"action": "redis_failed"})
            return
        log.error("the scheduler met damage: %s: %s", type(error).__name__, error, extra={"action": "damage"})
        with suppress(RedisError):
            scheduler.sift()

    def terminate(self) -> None:
        """Give the locks back: called by cotyledon on SIGTERM, and when the manager has died."""
        self._stopping.set()
        self._ended.wait(self._settings.grace)
