"""Takes back what waits behind a running task, where that one turns out to be long.

Short jobs and short chunks are given to a process before it needs them. That a job's predecessor is not short
after all is reason enough to take it back. A chunk may as well wait for its predecessor, unless another process
has nothing to do, here or elsewhere, or something else needs the next one that is free.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from taskq_workers.lanes.lane import Lane
from taskq_workers.service.core.execution import PlainJob
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import beaten, outcomes


def due(state: State) -> Iterator[float]:
    """Moments of the monotonic clock at which to look."""
    return (moment for _lane, moment in _waiting(state))


def look(state: State) -> bool:
    """Take back what should run elsewhere, or later; whether anything came back."""
    came = False
    for lane, moment in [*_waiting(state)]:
        if time.monotonic() < moment:
            continue
        for number, outcome in lane.recall():
            outcomes.arrived(state, lane, number, outcome)
            came = True
        if len(lane.tasks) == 1 and isinstance(lane.running, PlainJob) and lane.running.stopped:
            lane.kill("stopped")  # only now, when nothing else can have begun there
    return came


def _waiting(state: State) -> Iterator[tuple[Lane, float]]:
    """Lanes that hold what is wanted back, each with the moment from which on it may be asked for it."""
    for lane in state.lanes:
        if (moment := lane.recall_due) is None:
            continue
        if lane.has_batch or _is_wanted(state) or lane.lent or beaten.is_one(lane):
            yield lane, moment


def _is_wanted(state: State) -> bool:
    """Whether somebody could begin now with what waits behind others."""
    return state.needs_idle or bool(state.lanes.idle) or time.monotonic() < state.shares_until
