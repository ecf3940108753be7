"""The manager: cotyledon's master process, which starts the services and hands on what a dead one held."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.util
import os
import signal
import sys
from typing import Any

import cotyledon
from redis.exceptions import RedisError
from setproctitle import setproctitle

from taskq.connection import connect
from workers import recovery, signals
from workers.service import Service
from workers.settings import Settings, worker_prefix

log = logging.getLogger(__name__)

_OVERHEAD = 10  # seconds after the grace at which cotyledon loses its patience
_HOOK_TIMEOUT = 2.0  # seconds a reply may take while a dead service waits to be restarted
KILLED = 130  # exit code after a second Ctrl-C, as shells have it


class Manager(cotyledon.ServiceManager):  # type: ignore[misc,unused-ignore]
    """Supervises the services of one host. ``run()`` returns never: it ends the process.

    Services are forked: a new one runs after 20 ms. (Pool processes are not, see ``lane.py``.)
    """

    def __init__(self, settings: Settings) -> None:
        start_method = "fork" if sys.platform == "linux" else "spawn"
        super().__init__(
            graceful_shutdown_timeout=int(settings.grace) + _OVERHEAD,
            mp_context=multiprocessing.get_context(start_method),
        )
        self._settings = settings
        self._name = f"{os.getpid()}-{os.urandom(3).hex()}"
        # The folder of the forkservers' sockets: made here it is inherited by all services, and removed when
        # the manager ends. A service ends by os._exit or a signal, and would leave its own behind.
        multiprocessing.util.get_temp_dir()  # type: ignore[no-untyped-call,unused-ignore]
        self.add(Service, workers=settings.services, args=(settings, self._name))
        self.register_hooks(on_dead_worker=self._hand_on)
        setproctitle(f"taskq: manager [{' '.join(settings.queues)}]")

    def _hand_on(self, _service_id: Any, worker_id: int, exit_code: int) -> None:
        """Return a dead service's claims and jobs, before it is started again."""
        if exit_code:
            log.error("service %d died (exit code %d)", worker_id, exit_code, extra={"action": "service_died"})
        try:
            connection = connect(self._settings.url, retries=1, timeout=_HOOK_TIMEOUT)
            recovery.recover_prefix(connection, worker_prefix(self._name, worker_id))
        except RedisError as error:
            log.error("can't hand on what service %d held: %s; others do, when its lease ends", worker_id, error,
                      extra={"action": "hand_on_failed"})  # fmt: skip

    def _on_signal_received(self, sig: int) -> None:
        if sig == signal.SIGINT:
            # cotyledon would exit at once. The second Ctrl-C must find a handler of its own: the main
            # thread waits for the services by then, and reads no more signals from cotyledon's pipe.
            log.info("Ctrl-C: finishes what runs, %.0f s at most; once more kills", self._settings.grace)
            signals.on_next_interrupt(self._kill)
            self._shutdown()
        else:
            super()._on_signal_received(sig)

    def _reload(self) -> None:
        """Let each service drain and start afresh; the processes of their pools hear nothing of it.

        cotyledon would hang up on the whole process group, pool processes and forkservers included.
        """
        self._forktimes = []
        for process in self._child_processes:
            if process.pid and process.is_alive():
                os.kill(process.pid, signal.SIGHUP)

    def _kill(self) -> None:
        for process in self._child_processes:
            process.kill()
        os._exit(KILLED)
