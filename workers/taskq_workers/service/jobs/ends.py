"""The ends of maps: of each it is seen what has become of it, of as many in one turn as there is time for."""

from __future__ import annotations

import time
from collections import deque

from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import closing, guests, map_ending, refusing

SLICE = 0.02  # seconds of a turn: what comes meanwhile waits as long, and to end a map takes a millisecond or more


class Ends:
    """For the thread that owns the service's state.

    Args:
        state: The service's.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._left: deque[MapRun] = deque()  # for which the last turn had no time

    def look(self) -> bool:
        """See to the maps, and end those that are over; whether some were left for the next turn."""
        until = time.monotonic() + SLICE
        there = dict.fromkeys(self._state.active)
        turn = deque([run for run in self._left if run in there] or there)
        while turn:
            self._see_to(turn.popleft())
            if time.monotonic() > until:
                break
        self._left = turn
        return bool(turn)

    def _see_to(self, run: MapRun) -> None:
        with run.guarded():
            if run.look and not run.closed:
                closing.look(self._state, run)
            refusing.look(self._state, run)
            if run.too_many and not (run.closed or run.complete):
                closing.fail_early(self._state, run)
            if run.complete and run.in_hand and not run.closed:
                closing.let_rest_go(self._state, run)
        if self._is_over(run):
            map_ending.end_safely(self._state, run)

    @staticmethod
    def _is_over(run: MapRun) -> bool:
        if run.calling or run.ended:
            return False
        if run.closed:
            return True
        if run.guest:
            return guests.is_over(run)
        return run.complete
