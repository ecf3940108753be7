"""The manager: cotyledon's master process, which starts the services and hands on what a dead one held."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import threading
import time
from collections import deque
from contextlib import nullcontext
from typing import Any

import cotyledon
from setproctitle import setproctitle

from taskq.redis.connection import connect
from taskq_workers import signals, user_path
from taskq_workers.lanes import guard
from taskq_workers.lanes.death import cause_of
from taskq_workers.lanes.oom import OomKills
from taskq_workers.link import flight
from taskq_workers.manager.metrics_server import MetricsServer
from taskq_workers.manager.reload import Reload
from taskq_workers.manager.respawn import Respawn
from taskq_workers.manager.scheduler import SchedulerService
from taskq_workers.service.service import FINISHED, REFUSED, UNUSABLE, Service
from taskq_workers.service.upkeep import recovery
from taskq_workers.service.upkeep.evidence import Evidence
from taskq_workers.settings import HOST, Settings, worker_prefix

log = logging.getLogger(__name__)

_OVERHEAD = 14  # seconds after the grace at which cotyledon loses its patience
_RELOAD_LOOK = 0.05  # seconds between looks at whether a service that was hung up on has been replaced
_NO_START = 0.1  # seconds until the next try where the system starts no process: memory, processes, semaphores
_WATCH = 1.0  # seconds between looks at what the kernel has killed for want of memory
_HOOK_TIMEOUT = 2.0  # seconds a reply may take while a dead service waits to be restarted
KILLED = 130  # exit code after a second Ctrl-C, as shells have it


class Manager(cotyledon.ServiceManager):  # type: ignore[misc,unused-ignore]
    """Supervises the services of one host. ``run()`` returns never: it ends the process.

    Services are forked: a new one runs after 20 ms. (Pool processes are not, see ``lone_pool.py``.)
    """

    def __init__(self, settings: Settings) -> None:
        start_method = "fork" if sys.platform == "linux" else "spawn"
        super().__init__(
            graceful_shutdown_timeout=int(settings.grace) + _OVERHEAD,
            mp_context=multiprocessing.get_context(start_method),
        )
        self._settings = settings
        log.debug("%r", settings, extra={"action": "settings"})
        self._name = f"{os.getpid()}-{os.urandom(3).hex()}"
        self._respawn = Respawn()
        self._oom = OomKills()
        # Process id of each service that has registered, written by itself.
        self._ready: Any = self.mp_context.RawArray("q", settings.services)  # type: ignore[attr-defined,unused-ignore]
        self._to_reload: deque[int] = deque()
        self._reloading: tuple[int, int, float] | None = None  # a service's number, its pid, until when to wait
        # The folder of the forkservers' sockets: made here it is inherited by all services, and removed when
        # the manager ends. A service ends by os._exit or a signal, and would leave its own behind.
        multiprocessing.util.get_temp_dir()  # type: ignore[no-untyped-call,unused-ignore]
        self._services_id = self.add(Service, workers=settings.services, args=(settings, self._name, self._ready))
        self._others: dict[Any, int] = {}  # what is no worker: service id -> its number here
        if settings.metrics:
            self._others[self.add(MetricsServer, args=(settings,))] = -1
        if settings.rq.with_scheduler and not settings.rq.burst:
            self._others[self.add(SchedulerService, args=(settings, self._name))] = -2
        self._finished: set[int] = set()  # services that have ended for good
        self.refused = False  # whether one of them may not work here: another version of taskq does
        self.unusable = False  # whether one of them can't: the server will refuse it for ever
        self.register_hooks(on_dead_worker=self._hand_on)
        multiprocessing.current_process().name = threading.current_thread().name = "manager"
        setproctitle(f"taskq: manager [{' '.join(settings.queues)}]")

    def run(self) -> None:
        """Start the services, and supervise them until the end of this process."""
        threading.Thread(target=self._watch, name="oom kills", daemon=True).start()
        if self._settings.reload:
            Reload(self._settings.path).start()
        super().run()

    def _watch(self) -> None:
        """Note when the kernel kills, so that nobody takes an old kill for the cause of a new death."""
        while not self._dead.wait(_WATCH):
            self._oom.look()

    def _hand_on(self, service_id: Any, worker_id: int, exit_code: int) -> None:
        """Return a dead service's claims and jobs, before it is started again."""
        if exit_code in (FINISHED, REFUSED, UNUSABLE):
            self._finished.add(worker_id)
            self.refused = self.refused or exit_code == REFUSED
            self.unusable = self.unusable or exit_code == UNUSABLE
            return
        guard.kill_orphans(self._name, [one.pid for one in self._child_processes if one.pid and one.is_alive()])
        pause = self._respawn.died(self._number(service_id, worker_id), exit_code)
        if service_id in self._others:
            return  # the metrics' holds nothing; the scheduler locks, which it finds again under its own name
        evidence = self._evidence(worker_id, exit_code)
        if exit_code:
            again = f"; starts again in {pause:.1f} s" if pause else ""
            log.error(
                "service %d died by %s%s", worker_id, evidence.cause, again, extra={"action": "service_died"}
            )
        try:
            connection = connect(self._settings.url, retries=1, timeout=_HOOK_TIMEOUT)
            recovery.recover_prefix(
                connection, worker_prefix(self._name, worker_id, self._settings.rq.name), evidence
            )
        except Exception as error:  # noqa: BLE001 - what stands in Redis may be anything, and all services hang on us
            log.error("can't hand on what service %d held: %s; others do, when its lease ends", worker_id, error,
                      extra={"action": "hand_on_failed"})  # fmt: skip

    def _evidence(self, worker_id: int, exit_code: int) -> Evidence:
        ran = flight.take(flight.path_of(worker_id))
        cause = cause_of(exit_code, starved=self._oom.lately())
        return Evidence(cause, HOST, None if ran is None else tuple(ran))

    # -- starting --------------------------------------------------------------------------------------

    def _slowdown_respawn_if_needed(self) -> None:
        """Each service has a pause of its own: see ``Respawn``."""

    def _start_worker(self, service_id: Any, worker_id: Any) -> None:
        """Called by cotyledon at the start, and when a service has died."""
        number = self._number(service_id, worker_id)
        if number in self._finished:
            if len(self._finished) == self._settings.services:
                os.kill(os.getpid(), signal.SIGTERM)
            return
        if wait := self._respawn.wait(number):
            self._look_again(wait)
            return
        self._respawn.started(number)
        # A service that is spawned is a Python program, which finds these variables all its life.
        try:
            with user_path.safe() if self.mp_context.get_start_method() == "spawn" else nullcontext():
                super()._start_worker(service_id, worker_id)
        except OSError as error:  # the supervising thread must not end by it
            pause = max(self._respawn.died(number, exit_code=1), _NO_START)
            log.error("service %d can't be started: %s; tried again in %.1f s", worker_id, error, pause,
                      extra={"action": "service_not_started"})  # fmt: skip
            self._look_again(pause)

    def _number(self, service_id: Any, worker_id: int) -> int:
        """Cotyledon counts each kind of service from 0; what is no worker has a number below 0 here."""
        return self._others.get(service_id, worker_id)

    def _adjust_workers(self) -> None:
        """Start what is missing; by its number, since any of them may be waiting for its next start."""
        for service_id, config in self._services.items():
            running = {info.worker_id for info in self._running_services[service_id].values()}
            for worker_id in range(config.workers):
                if worker_id not in running:
                    self._start_worker(service_id, worker_id)
        self._reload_next()

    def _look_again(self, seconds: float) -> None:
        """Let the supervising thread look in a while at what no signal tells of."""
        timer = threading.Timer(seconds, self._got_sig_chld.set)
        timer.daemon = True
        timer.start()

    # -- signals ---------------------------------------------------------------------------------------

    def _on_signal_received(self, sig: int) -> None:
        if sig == signal.SIGINT:
            # cotyledon would exit at once. The second Ctrl-C must find a handler of its own: the main
            # thread waits for the services by then, and reads no more signals from cotyledon's pipe.
            log.info("Ctrl-C: finishes what runs, %.0f s at most; once more kills", self._settings.grace,
                     extra={"action": "interrupted"})  # fmt: skip
            signals.on_next_interrupt(self._kill)
            self._shutdown()
        else:
            super()._on_signal_received(sig)

    def _reload(self) -> None:
        """Let the services drain and start afresh, one after the other; their pool processes hear nothing of it.

        cotyledon would hang up on the whole process group at once, pool processes and forkservers included.
        """
        self._to_reload = deque(range(self._settings.services))
        self._got_sig_chld.set()

    def _reload_next(self) -> None:
        """Hang up on the next service, once the one before has been replaced."""
        if self._reloading is not None:
            worker_id, pid, deadline = self._reloading
            if not self._is_replaced(worker_id, pid) and time.monotonic() < deadline:
                self._look_again(_RELOAD_LOOK)
                return
            self._reloading = None
        while self._to_reload and self._reloading is None:
            worker_id = self._to_reload.popleft()
            process = self._process(worker_id)
            if process is not None and process.pid and process.is_alive():
                self._reloading = worker_id, process.pid, time.monotonic() + self._settings.grace + _OVERHEAD
                os.kill(process.pid, signal.SIGHUP)
                self._look_again(_RELOAD_LOOK)

    def _process(self, worker_id: int) -> Any:
        for process, info in self._running_services[self._services_id].items():
            if info.worker_id == worker_id:
                return process
        return None

    def _is_replaced(self, worker_id: int, pid: int) -> bool:
        """Whether another process than this one is ready in its place."""
        process = self._process(worker_id)
        return process is not None and process.pid == self._ready[worker_id] != pid

    def _kill(self) -> None:
        for process in self._child_processes:
            process.kill()
        os._exit(KILLED)
