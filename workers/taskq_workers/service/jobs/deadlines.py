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
    for run in state.maps:
        if run.deadline:
            yield run.deadline
    for lane in state.lanes:
        if lane.idle:
            continue
        errand = lane.running
        if isinstance(errand, Errand) and errand.deadline:
            yield errand.deadline
        if _calls(lane) and errand.call_ends:
            yield errand.call_ends
        if deadline := _item_deadline(lane):
            yield deadline


def enforce(state: State) -> None:
    """End what is over its time."""
    beaten.enforce(state)
    for lane in state.lanes:
        if lane.idle:
            continue
        errand = lane.running
        if isinstance(errand, Errand) and errand.overdue:
            errand.deadline = None
            lane.kill("timeout")
        if _calls(lane) and errand.call_ends and time.monotonic() >= errand.call_ends:
            errand.call_ends = None
            lane.kill("timeout")
        if (deadline := _item_deadline(lane)) and time.monotonic() >= deadline:
            lane.kill(ITEM_TIMEOUT)
    for run in [run for run in state.maps if run.overdue]:
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


def _calls(lane: Lane) -> bool:
    """Whether the callback of a map runs on this lane."""
    run = lane.running
    return isinstance(run, MapRun) and run.calling and lane.task not in run.flying


def _item_deadline(lane: Lane) -> float | None:
    """When the item that runs on this lane is to be killed, on the monotonic clock; None: never, or that was done.

    A process may take its time to die, where it waits for a disk or a file server.
    """
    run = lane.running
    if lane.killed_for or not isinstance(run, MapRun) or not run.info.item_timeout:
        return None
    item = lane.item
    return None if item is None else item[1] + run.info.item_timeout + OVERTIME
