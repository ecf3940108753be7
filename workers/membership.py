"""A service among the others: its lease, RQ's heartbeats, and taking over from those whose lease is over.

Leases are renewed by the service, never by pool processes: a long C call must not look like a death.
"""

from __future__ import annotations

import logging
import sys
import time

from taskq import services
from taskq.services import ServiceInfo
from workers import recovery
from workers.state import HOST, State

log = logging.getLogger(__name__)

_HEARTBEAT = 30.0  # seconds; RQ's own interval
_RENEWALS = 3  # of a lease, within its time


class Membership:
    """Keeps one service registered, with RQ and with the other services."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._renewed = self._beaten = 0.0
        self._started = time.time()

    @property
    def info(self) -> ServiceInfo:
        settings = self._state.settings
        version = ".".join(map(str, sys.version_info[:3]))
        worker = self._state.worker
        return ServiceInfo(
            worker.name, HOST, worker.pid or 0, settings.processes, settings.queues, version, self._started,
            self._state.lanes.pids,
        )  # fmt: skip

    def join(self) -> None:
        """Register with RQ and take the lease."""
        self._state.worker.register_birth()
        self.keep(force=True)

    def keep(self, *, force: bool = False) -> None:
        """Renew what is due; cheap when nothing is."""
        now = time.monotonic()
        if force or now - self._renewed >= self._state.settings.lease / _RENEWALS:
            self._renew()
            self._renewed = now
        if now - self._beaten >= _HEARTBEAT:
            self._beat()
            self._beaten = now

    def _renew(self) -> None:
        state = self._state
        with state.connection.pipeline() as pipe:
            services.renew(pipe, self.info, state.settings.lease)
            pipe.execute()
        mine = set(state.settings.queues)
        others = [info for info in services.live(state.connection) if info.name != state.name]
        state.others = any(mine & set(info.queues) for info in others)
        for name in services.lost(state.connection, time.time()):
            if name != state.name:
                recovery.recover(state.connection, name)

    def _beat(self) -> None:
        self._state.worker.heartbeat()
        for taken in self._state.taken:
            self._state.worker.maintain_heartbeats(taken.job, taken.execution)

    def leave(self) -> None:
        """Strike the service from all registers."""
        self._state.worker.register_death()
        with self._state.connection.pipeline() as pipe:
            services.remove(pipe, self._state.name)
            pipe.execute()
