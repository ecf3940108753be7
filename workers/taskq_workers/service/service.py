"""One service: a cotyledon process with its own connections, pool processes and dispatcher."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cotyledon
from redis.exceptions import RedisError
from setproctitle import setproctitle

from taskq.errors import VersionError
from taskq.payload import signing
from taskq.redis import exposure, reach
from taskq.redis.connection import connect
from taskq.redis.lua import Scripts
from taskq.redis.urls import hide_password
from taskq_workers import clock, logs, signals, telemetry
from taskq_workers.engines import choose
from taskq_workers.engines.seats import Seats
from taskq_workers.lanes import guard
from taskq_workers.lanes.death import ForkserverLostError
from taskq_workers.lanes.lanes import Lanes
from taskq_workers.link import flight, host_file
from taskq_workers.link.flight import Flight
from taskq_workers.service import server_check, version
from taskq_workers.service.core.events import Died, Done, Message, Stop
from taskq_workers.service.core.inbox import Inbox
from taskq_workers.service.core.state import FETCHERS, State
from taskq_workers.service.core.webhooks import Webhooks
from taskq_workers.service.dispatcher import Dispatcher
from taskq_workers.service.jobs import fetcher
from taskq_workers.service.jobs.fetcher import Fetcher
from taskq_workers.service.jobs.fetching import Fetching
from taskq_workers.service.rq.lean import LeanPool, LeanRedis
from taskq_workers.service.rq.scheduler import enqueue_due
from taskq_workers.service.rq.worker import RQWorker
from taskq_workers.settings import Settings, worker_name

log = logging.getLogger(__name__)

FINISHED = 88  # exit code of a service that has ended by itself, for good: burst, shutdown command, ...
REFUSED = 87  # of one that may not work here: another version of taskq does
UNUSABLE = 86  # of one that can't work here: the server wants a password, has no such database, is none of Redis

_OVERHEAD = 10.0  # seconds that handing everything back may take, after the grace
_BACK_OFF = (0.5, 10.0)  # seconds: first and longest pause while Redis can't be reached at the start


class Service(cotyledon.Service):  # type: ignore[misc,unused-ignore]
    """What cotyledon starts, stops and restarts; its ``run`` is a thread of its own there.

    Args:
        worker_id: cotyledon's number of it, which a restarted service has again.
        settings: The worker's.
        manager: Its own name; part of the RQ worker's name.
        ready: Shared numbers, one for each service: where this one says, once it has registered, who it is.
    """

    name = "service"

    def __init__(self, worker_id: int, settings: Settings, manager: str, ready: Any) -> None:
        super().__init__(worker_id)  # type: ignore[arg-type,unused-ignore]
        signals.ignore_interrupts()
        guard.serve(manager)
        self._settings = settings
        self._title = f"taskq: service {worker_id}"
        self._name = worker_name(manager, worker_id, settings.rq.name)
        self._inbox = Inbox()
        self._record = flight.path_of(worker_id)
        self._ready = ready
        self._stopping = threading.Event()
        self._ended = threading.Event()

    def run(self) -> None:
        """Work until ``terminate``."""
        multiprocessing.current_process().name = self._title
        threading.current_thread().name = "dispatcher"
        logs.at(worker=self._name)
        spans = telemetry.set_up(self._name)
        host_file.sweep()  # what a service before us has left that was killed
        setproctitle(f"{self._title} [{' '.join(self._settings.queues)}]")
        try:
            if self._wait_for_redis():
                clock.follow()
                self._check_version()
                self._check_server()
                url = self._settings.url
                # No retries of redis-py's own: it would send a pipeline twice whose reply was lost, and the
                # claims of the first time would be ours without our knowing.
                parts = self._settings, self._name, self._title, self._inbox
                dispatcher = build(
                    *parts,
                    connect(url, retries=0, pool=LeanPool, client=LeanRedis),
                    lambda: connect(url, retries=0, timeout=fetcher.TIMEOUT, client=LeanRedis),
                    self._say_ready,
                    self._record,
                )
                gc.freeze()  # to go through all modules takes as long as some turns
                dispatcher.run()
                guard.clean_up()
                host_file.sweep()
                if dispatcher.state.finished:
                    sys.exit(FINISHED)
        except ForkserverLostError as error:
            log.error("%s: this service ends, too", error, extra={"action": "forkserver_lost"})
            guard.clean_up()  # the manager would, if it is still there
            os.kill(os.getpid(), signal.SIGKILL)  # the manager says of what ran that it may have done it
        finally:
            telemetry.flush(spans)
            self._ended.set()

    def _say_ready(self) -> None:
        """To the manager, and to people: what this service does, and where."""
        self._ready[self.worker_id] = os.getpid()
        settings = self._settings
        count = settings.engine or f"{settings.processes} pool process{'es' if settings.processes > 1 else ''}"
        log.info("ready: runs jobs of %s on %s; Redis at %s", ", ".join(settings.queues), count,
                 hide_password(settings.url), extra={"action": "ready"})  # fmt: skip

    def terminate(self) -> None:
        """Drain: called by cotyledon on SIGTERM, and when the manager has died."""
        self._stopping.set()
        self._inbox.put(Stop(time.monotonic() + self._settings.grace))
        self._ended.wait(self._settings.grace + _OVERHEAD)

    def _check_version(self) -> None:
        """The manager has asked, too, if it could reach Redis; it may be another server by now."""
        try:
            version.check_build(self._settings)
            with connect(self._settings.url) as connection:
                version.check(connection)
        except VersionError as error:
            log.error("%s", error, extra={"action": "other_version"})
            sys.exit(REFUSED)

    def _check_server(self) -> None:
        """Once for all services of a worker; not of a private server, which is to forget, and has our clock."""
        if self.worker_id or self._settings.private:
            return
        with connect(self._settings.url, retries=0) as connection:
            exposure.warn(connection, signed=bool(signing.keyring()), variable=signing.VARIABLE)
            try:
                clock.warn(connection)
                server_check.check(connection)
            except RedisError as error:  # the dispatcher waits for it, and says so
                log.warning("the server's settings were not checked: %s", error, extra={"action": "server_check"})

    def _wait_for_redis(self) -> bool:
        """Whether it answers; False if we were stopped before. Ends the process if waiting would not help."""
        pause = _BACK_OFF[0]
        while not self._stopping.is_set():
            try:
                connect(self._settings.url, retries=0).ping()
            except (RedisError, OSError) as error:
                url, why = hide_password(self._settings.url), reach.reason(error)
                if said := reach.unusable(error, url):
                    log.error("%s", said, extra={"action": "no_redis"})
                    sys.exit(UNUSABLE)
                log.error("no Redis at %s: %s. Next try in %.1f s", url, why, pause, extra={"action": "no_redis"})
                self._stopping.wait(pause)
                pause = min(pause * 2, _BACK_OFF[1])
            else:
                return True
        return False


def build(
    settings: Settings,
    name: str,
    title: str,
    inbox: Inbox,
    connection: Any,
    new_connection: Callable[[], Any],
    on_ready: Callable[[], object] = lambda: None,
    record: Path | None = None,
) -> Dispatcher:
    """Put one service's parts together; nothing runs yet but RQ's command channel.

    Args:
        settings: The worker's.
        name: Of the RQ worker.
        title: Begins the titles of the pool processes.
        inbox: The dispatcher's.
        connection: The dispatcher's.
        new_connection: Makes one for each fetcher.
        on_ready: Called once the service is registered and its pool processes are on their way.
        record: The file of its flight record; None: it keeps none.
    """
    clock.SERVER.measure(connection)
    worker = _rq_worker(settings, name, inbox, connection)
    lanes = _seats(settings, name, inbox, record) if settings.engine else Lanes(
        settings,
        title,
        on_done=lambda lane, ends: inbox.hand(Done(lane, ends)),
        on_death=lambda lane: inbox.put(Died(lane)),
        record=Flight(record, settings.processes) if record else None,
        worker=name,
    )  # fmt: skip
    webhooks = Webhooks(
        lambda: inbox.put(Message({"command": "taskq-sent"})), private=settings.trust.private_webhooks
    )
    if settings.rq.with_scheduler and settings.rq.burst:
        enqueue_due(settings.queues, connection, f"{name}-scheduler")
    state = State(settings, connection, worker, lanes, Scripts(connection), webhooks)
    return Dispatcher(state, inbox, _fetching(state, inbox, new_connection), on_ready)


def _seats(settings: Settings, name: str, inbox: Inbox, record: Path | None) -> Seats:
    """Seats in place of lanes. The flight record stays empty: what runs elsewhere does not die with us."""
    if record:
        Flight(record, 1)
    return Seats(
        settings,
        choose.make(settings, name),
        on_done=lambda lane, ends: inbox.put(Done(lane, ends)),
        on_death=lambda lane: inbox.put(Died(lane)),
        on_change=inbox.ring,
    )


def _rq_worker(settings: Settings, name: str, inbox: Inbox, connection: Any) -> RQWorker:
    """RQ's side of it, which hears commands from now on."""
    worker = RQWorker(settings.queues, name, connection, settings.rq)
    worker.on_message = lambda payload: inbox.put(Message(payload))
    worker.subscribe()
    return worker


def _fetching(state: State, inbox: Inbox, new_connection: Callable[[], Any]) -> Fetching:
    gate, worker = threading.Event(), state.worker
    fetchers = [
        Fetcher(one, worker, new_connection(), gate, state.tickets, inbox.hand) for one in worker.queues[:FETCHERS]
    ]
    return Fetching(state, gate, fetchers)
