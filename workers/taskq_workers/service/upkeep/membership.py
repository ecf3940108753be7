"""A service among the others: its lease, RQ's heartbeats, and taking over from those whose lease is over.

Leases are renewed by the service, never by pool processes: a long C call must not look like a death.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from redis.exceptions import ResponseError
from rq.worker.base import WorkerStatus

from taskq.redis import services
from taskq.redis.services import Renewal, ServiceInfo
from taskq_workers import clock
from taskq_workers.service.core.damage import contained, mend
from taskq_workers.service.core.fleet import Fleet
from taskq_workers.service.core.state import State
from taskq_workers.service.rq import own_keys
from taskq_workers.service.upkeep import mirror, recovery
from taskq_workers.settings import HOST

log = logging.getLogger(__name__)

_RENEWALS = 3  # of a lease, within its time
_TAKES_OVER = 0.5  # seconds at a time: all else waits meanwhile, the lease too
_PAUSE = 1.0  # seconds until it goes on with that


class Membership:
    """Keeps one service registered, with RQ and with the other services."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._renewed = self._beaten = -math.inf
        self._beats: Iterator[None] | None = None  # what is left to be said of the last one
        self._renewed_at = 0.0  # by the server's clock, which also counts while a laptop sleeps
        self._patient_until = 0.0
        self._was_away = False
        self._others: set[str] = set()  # the dead that concern others only
        self._given_up = False
        self._stop_at: datetime | None = None
        self._stop_unsaid = False
        self._shown: tuple[tuple[int, ...], int, str] = ((), 0, "")  # processes and trouble, as said last
        options = state.settings.rq
        # RQ's worker beats as often as the second, while it waits for jobs, and as the first, while one runs.
        self._pace = min(options.job_monitoring_interval, state.worker.dequeue_timeout)
        self._started = clock.SERVER.now()

    @property
    def info(self) -> ServiceInfo:
        settings = self._state.settings
        version = ".".join(map(str, sys.version_info[:3]))
        worker = self._state.worker
        return ServiceInfo(
            worker.name, HOST, worker.pid or 0, self._state.lanes.size, settings.queues, version, self._started,
            self._state.lanes.pids, build=settings.build, lease=settings.lease, trouble=self._state.trouble,
        )  # fmt: skip

    def join(self) -> None:
        """Take the lease and register with RQ; may be called again if Redis went away in its middle.

        The lease comes first: if the host is lost between the two, others strike off what there is when it ends.
        """
        mend(self._state.scripts)
        self._hold_lease()
        mirror.register(self._state, WorkerStatus.IDLE)
        self.keep(force=True)

    @property
    def due(self) -> float:
        """When the lease is to be renewed, on the monotonic clock."""
        return self._renewed + self._state.settings.lease / _RENEWALS

    def keep(self, *, force: bool = False) -> None:
        """Renew what is due; cheap when nothing is. After an outage RQ's records are made anew at once."""
        state, moment = self._state, time.monotonic()
        if force or moment >= self.due or self._shown != (state.lanes.pids, state.lanes.size, state.trouble):
            more = self._renew()
            self._renewed = moment - self._state.settings.lease / _RENEWALS + _PAUSE if more else moment
        if moment - self._beaten >= self._pace or state.unsure:
            self._beats, self._beaten = mirror.beats(state), moment
        if self._beats:
            self._beat(self._beats)

    def _beat(self, beats: Iterator[None]) -> None:
        """Say the next portion; after an outage all of them, before anything else."""
        self._beats = None
        with contained("the heartbeats"):
            for _ in beats:
                if not self._state.unsure:
                    self._beats = beats
                    break

    def _renew(self) -> bool:
        """Renew the lease, and take over from those whose is over; whether there are more of these."""
        state, lease = self._state, self._state.settings.lease
        self._shown = state.lanes.pids, state.lanes.size, state.trouble
        self.mend()
        renewal = self._hold_lease()
        state.note_fleet(Fleet(*(max(1, one) for one in services.count(state.scripts))))  # ours may be struck off
        self._given_up = not renewal.alive or self._given_up
        if self._given_up:
            self._come_back()
            self._given_up = False
        # Renewed every third of a lease, the others' may end a third before ours.
        late = renewal.now - self._renewed_at > lease * 2 / 3
        if late:
            self._be_patient(was_away=self._renewed_at > 0)
        self._renewed_at = renewal.now
        if time.monotonic() < self._patient_until:
            return False
        lost = self._lost()
        if lost is None:
            self._be_patient(was_away=True)
            return False
        self._was_away = False
        return self._take_over(lost)

    def _be_patient(self, *, was_away: bool) -> None:
        """Give the others the time of a lease to show that they live.

        Redis, or this host, was away for as long, and with it perhaps everybody's renewals.
        """
        self._patient_until = time.monotonic() + self._state.settings.lease
        self._was_away = was_away

    def _take_over(self, lost: list[str]) -> bool:
        """Take over from these for some time; whether there are more."""
        state = self._state
        until = time.monotonic() + _TAKES_OVER
        for name in lost:
            if time.monotonic() > until:
                return True
            with contained(f"what the worker {name} held"):
                if not recovery.concerns(state.connection, name, state.settings.queues):
                    self._others.add(name)
                    continue
                if services.depose(state.scripts, name):
                    recovery.recover(state.connection, name)
        return False

    def _lost(self) -> list[str] | None:
        """Those whose lease is over; first who is registered: what else stands among them may be anything.

        Last come those that concerned others only: these stay, and nobody is to wait behind them for ever.
        None: the server was away since our lease was renewed.
        """
        state = self._state
        names = services.lost(state.connection, state.scripts, state.settings.lease, state.worker.name)
        if names is None or len(names) <= 1:
            return names
        registered = services.known_of(state.connection, names)
        self._others &= {*names}
        return sorted(names, key=lambda name: (name in self._others, name not in registered))

    def mend(self) -> None:
        """Delete what can't be worked with of the keys that all services share, and of our own."""
        mend(self._state.scripts)
        own_keys.mend(self._state.worker, (taken.execution for taken in self._state.taken))

    def _hold_lease(self) -> Renewal:
        asked = time.monotonic()
        renewal = services.renew(self._state.scripts, self.info, self._state.settings.lease)
        clock.SERVER.heard(renewal.now, asked)
        return renewal

    def _come_back(self) -> None:
        """We were given up for dead, and what we held was handed on: register again, and see what is left."""
        state = self._state
        log.warning("was given up for dead; begins anew", extra={"action": "came_back"})
        mirror.register(state, WorkerStatus.BUSY if state.taken else WorkerStatus.IDLE)
        for lane in state.lanes:
            if lane.recall_due is not None:
                lane.recall()  # what it has not begun was handed on with the rest
        state.unsure = True

    @property
    def was_away(self) -> bool:
        """Whether Redis, or this host, was away, and since then the others have not had the time of a lease.

        RQ's registries may still tell of what they hold as they did before.
        """
        return self._was_away

    def note_stop(self) -> None:
        """The service stops; as RQ's worker, it says since when, if something runs. Redis may be away just now."""
        if self._state.taken and not self._stop_at:
            self._stop_at, self._stop_unsaid = clock.utc(), True

    def say_stop(self) -> None:
        """Say what ``note_stop`` has noted, once."""
        if self._stop_unsaid and self._stop_at:
            with suppress(ResponseError):  # of a server without memory; the stop is worth more than its date
                self._state.worker.say_stop(self._stop_at)
            self._stop_unsaid = False
