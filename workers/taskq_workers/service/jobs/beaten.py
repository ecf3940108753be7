"""Runs of ranges that another process was through with sooner: see ``copies.py``.

The commit tells the worker of the other run. Its process is asked to stop before its next item, and killed if it
is still at the same one a moment later: that may be stuck, or slow enough to keep the process from all else.
Nobody is to blame for such a death. Nothing hangs on the message: the commit of who comes second is refused, and
when the map is over all that still runs of it is beaten.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from taskq_workers.lanes.lane import Lane
from taskq_workers.service.core.execution import BEATEN, MapRun
from taskq_workers.service.core.state import State

GRACE = 0.5  # seconds for which who was beaten may end the item that it is at


def hear(state: State, payload: dict[str, Any]) -> None:
    """Another run of a range was committed: ours may end, or need not begin."""
    for run in state.maps:
        if run.store.keys.id == payload.get("map"):
            for claims in (run.ready, run.last):
                for claim in [one for one in claims if one.token == payload.get("token")]:
                    claims.remove(claim)
    for lane in state.lanes:
        for number, run in lane.tasks.items():
            if isinstance(run, MapRun) and run.store.keys.id == payload.get("map"):
                held = run.flying.get(number)
                if held is not None and held.token == payload.get("token"):
                    _stop(lane, run, number)


def all_of_it(state: State, run: MapRun) -> None:
    """All of a map has ended, with what still runs of it."""
    for lane in state.lanes:
        for number, note in lane.tasks.items():
            if note is run and number in run.flying:
                _stop(lane, run, number)


def _stop(lane: Lane, run: MapRun, number: int) -> None:
    if number not in run.beaten:
        lane.stop(number)
        run.beaten[number] = time.monotonic() + GRACE


def is_one(lane: Lane) -> bool:
    """Whether what runs there need not go on."""
    run = lane.running
    return isinstance(run, MapRun) and lane.task in run.beaten


def overdue(state: State) -> Iterator[tuple[Lane, float]]:
    """Processes that still run what was beaten, and nothing behind it; of each when it is to be killed."""
    for lane in state.lanes:
        if is_one(lane) and len(lane.tasks) == 1:
            yield lane, lane.running.beaten[lane.task]


def enforce(state: State) -> None:
    """Kill those that take too long."""
    for lane, at in [*overdue(state)]:
        if time.monotonic() >= at:
            lane.running.beaten[lane.task] = math.inf  # once
            lane.kill(BEATEN)
