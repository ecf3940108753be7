"""Tells the others what this service does and has counted: one round trip, once a second if there are few."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

import psutil
from redis.exceptions import ResponseError

from taskq.redis import keys
from taskq.redis.patience import says_damage
from taskq.views import activity
from taskq.views.activity import Activity, ProcessActivity
from taskq_workers import clock
from taskq_workers.lanes.lane import Lane
from taskq_workers.service.core.execution import MapRun, PlainJob
from taskq_workers.settings import HOST

if TYPE_CHECKING:
    from taskq_workers.service.core.state import State

log = logging.getLogger(__name__)

PACE = 1.0  # seconds, where services are few enough


class Monitor:
    """Looks at one service; called by the thread that owns its state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._told = -math.inf  # on the monotonic clock
        self._refusal = ""  # the server's last one
        self._self = psutil.Process()
        self._processes: dict[int, psutil.Process | None] = {}

    def tell(self, *, force: bool = False) -> None:
        """Say how things are, if that is due; ``force``: for the last time.

        A server that refuses (no memory, or a key that holds something else) does not keep the service from its
        work: what is counted is kept until it can be said.
        """
        now = time.monotonic()
        if not force and now - self._told < PACE * self._state.fleet.pace:
            return
        self._told = now
        with self._state.connection.pipeline(transaction=self._state.meter.has_news) as pipe:
            names = self._state.meter.send(pipe)
            activity.tell(pipe, self._activity())
            try:
                replies = pipe.execute(raise_on_error=False)
            except ResponseError as error:  # nothing of it was done
                replies = [error] * (len(names) + 1)
        self._state.meter.sent(names, replies)
        # What stands there is no number; it begins anew. (Of a key of another type see ``damage.mend``.)
        if bad := [name for name, reply in zip(names, replies, strict=False)
                   if says_damage(reply) and "WRONGTYPE" not in str(reply)]:  # fmt: skip
            self._state.connection.hdel(keys.METRICS, *bad)
        refusal = next((str(reply) for reply in replies if isinstance(reply, Exception)), "")
        if refusal and refusal != self._refusal:
            log.warning("can't say what it does: %s; goes on", refusal, extra={"action": "not_told"})
        self._refusal = refusal

    def _activity(self) -> Activity:
        lanes = list(self._state.lanes)
        places = {lane.index: lane.where for lane in lanes if not lane.remote}
        self._processes = {place.pid: self._process(place.pid) for place in places.values()}
        memory, cpu = _usage(self._self)
        return Activity(
            self._state.name, HOST, self._state.worker.pid or 0, clock.SERVER.now(), memory, cpu,
            tuple(self._lane(lane) for lane in lanes),
        )  # fmt: skip

    def _process(self, pid: int) -> psutil.Process | None:
        try:
            return self._processes.get(pid) or psutil.Process(pid)
        except (psutil.Error, OSError):  # it has just died, or no file can be opened
            return None

    def _lane(self, lane: Lane) -> ProcessActivity:
        process = (
            None if lane.remote else self._processes.get(lane.where.pid)
        )  # it may have been replaced just now
        memory, cpu = _usage(process)
        job, chunk = self._runs(lane)
        since = clock.SERVER.at(lane.since) if job else 0.0
        started = clock.SERVER.at(lane.started) if process else 0.0
        deaths = self._state.lanes.deaths.get(lane.index, 0)
        host = lane.where.host if lane.remote else ""
        return ProcessActivity(lane.index, lane.where.pid, started, memory, cpu, deaths, job, chunk, since, host)

    @staticmethod
    def _runs(lane: Lane) -> tuple[str, str | None]:
        """The job's id, and the chunk's range, of what runs on this lane."""
        taken = lane.running
        if isinstance(taken, MapRun):
            claim = taken.flying.get(lane.task)
            return taken.store.keys.id, None if claim is None else str(claim.range)
        return (taken.job_id, None) if isinstance(taken, PlainJob) else ("", None)


def _usage(process: psutil.Process | None) -> tuple[int, float]:
    """Resident bytes and seconds of CPU; zeros if it is gone, or no file can be opened."""
    try:
        if process is None:
            return 0, 0.0
        with process.oneshot():
            times = process.cpu_times()
            return process.memory_info().rss, times.user + times.system
    except (psutil.Error, OSError):
        return 0, 0.0
