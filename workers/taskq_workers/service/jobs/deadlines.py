"""When something has run too long here, and what is done about it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from taskq_workers.lanes.lane import Lane
from taskq_workers.service.core.errands import Errand
from taskq_workers.service.core.execution import ITEM_TIMEOUT, OVERTIME, MapRun, PlainJob
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import beaten, closing

_AGAIN = 1.0  # seconds after which a job is looked at again that was over its time before it had begun


def due(state: State) -> Iterator[float]:
    """Moments of the monotonic clock at which to look again."""
    yield state.due
    yield from (at for _lane, at in beaten.overdue(state))
    for run in state.active:
        if run.deadline:
            yield run.deadline
    for lane in state.lanes:
        running = None if lane.idle else lane.running
        if isinstance(running, Errand) and running.deadline:
            yield running.deadline
        if isinstance(running, MapRun):
            ends = _call_ends(lane, running), _item_deadline(lane, running), _map_over(lane, running)
            yield from (at for at in ends if at)


def enforce(state: State) -> None:
    """End what is over its time."""
    beaten.enforce(state)
    for lane in state.lanes:
        running = None if lane.idle else lane.running
        if isinstance(running, Errand) and running.overdue:
            running.deadline = None
            lane.kill("timeout")
        if isinstance(running, MapRun):
            _enforce_map(lane, running)
    for run in [run for run in state.active if run.overdue]:
        if not run.closed and not run.complete:
            with run.guarded():
                closing.time_out(state, run)
        run.deadline = None
    if time.monotonic() >= state.due:
        _enforce_jobs(state)


def _enforce_jobs(state: State) -> None:
    """Look at all plain jobs, and find out when to do so again: ``state.due`` may be of one that has ended."""
    state.due = math.inf
    for job in state.plain:
        if job.overdue and job.outcome is None:
            _time_out(state, job)
        if job.deadline and job.outcome is None:
            state.due = min(state.due, job.deadline)


def _time_out(state: State, job: PlainJob) -> None:
    for lane in state.lanes:
        if lane.running is job:
            job.deadline = None
            lane.kill("timeout")
            return
    job.deadline = time.monotonic() + _AGAIN  # its process has not begun with it yet


def _enforce_map(lane: Lane, run: MapRun) -> None:
    if (ends := _call_ends(lane, run)) and time.monotonic() >= ends:
        run.call_ends = None
        lane.kill("timeout")
    if (deadline := _item_deadline(lane, run)) and time.monotonic() >= deadline:
        lane.kill(ITEM_TIMEOUT)
    if (over := _map_over(lane, run)) and time.monotonic() >= over:
        lane.kill(closing.OVER)


def _map_over(lane: Lane, run: MapRun) -> float | None:
    """When what this lane runs of a map that was deleted is to be killed; None: never, or that was done."""
    return None if lane.killed_for else run.kills_at


def _call_ends(lane: Lane, run: MapRun) -> float | None:
    """When the map's callback that runs on this lane is to be killed, on the monotonic clock; None: none does."""
    return run.call_ends if run.calling and lane.task not in run.flying else None


def _item_deadline(lane: Lane, run: MapRun) -> float | None:
    """When the item that runs on this lane is to be killed, on the monotonic clock; None: never, or that was done.

    A process may take its time to die, where it waits for a disk or a file server.
    """
    if lane.killed_for or not run.info.item_timeout:
        return None
    item = lane.item
    return None if item is None else item[1] + run.info.item_timeout + OVERTIME
