"""When a service looks for work that no job on its queues tells of, and what comes of it.

It looks each second, when a message says that there is something, and when a process has nothing to do though maps
are open. Queues that have no fetcher are looked at ten times a second while a process is free.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import copies, guests, offers, quarantine

POLL = 0.1  # seconds between two looks at queues that have no fetcher, while a process is free
PAUSE = 0.02  # seconds between two looks beside open maps, when the first one has found something
AGAIN = 1.0  # seconds until the next, when it has not; of many services each waits longer


class Search:
    """For the thread that owns the service's state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._wanted = True  # something may be open in the queues of which we don't know
        self._told = False  # a message says so
        self._looked = -math.inf  # on the monotonic clock
        self._polled = self._found = self._next = -math.inf  # on the monotonic clock

    def want(self) -> None:
        """Look with the next turn."""
        self._wanted = True

    def told(self) -> None:
        """Look with the next turn, for a message says that there is something; all services have heard it.

        Where these are many, looks would cost the server more than the work: each waits a moment after its last.
        """
        self._told = True

    def due(self) -> Iterator[float]:
        """Moments of the monotonic clock at which to look."""
        state = self._state
        if self._told and not state.stopping:
            yield self._looked + state.fleet.look
        if state.lanes.idle and state.polls:
            yield self._polled + POLL
        if state.lanes.idle and state.open and not self._rests:
            yield self._next
        if state.lanes.idle and not self._rests:
            yield from (run.resumes for run in state.active if run.resumes is not None and offers.rests(run))
            yield from self._resumes()
            yield max(copies.due(state), self._found + self._pause)

    @property
    def _rests(self) -> bool:
        """Whether nothing is to be taken, though a process has nothing to do; what ends that comes as an event."""
        state = self._state
        return bool(state.stopping or state.suspended or state.lanes.trouble or quarantine.is_secluded(state))

    def _resumes(self) -> Iterator[float]:
        """When maps on which we don't work may be claimed of again."""
        state = self._state
        for source, one in state.open.items():
            if one.resumes is not None and source not in state.runs and not state.leaves_alone(*source):
                yield one.resumes

    @property
    def _pause(self) -> float:
        return max(PAUSE, self._state.fleet.look)

    def look(self, *, ask: bool) -> bool:
        """Look if that is due, and join the maps whose turn it is; whether jobs were seen in the queues.

        Args:
            ask: Whether the queues are to be asked for jobs.
        """
        state, now = self._state, time.monotonic()
        polls = state.polls and (ask or bool(state.lanes.idle)) and now - self._polled >= POLL
        told = self._told and now - self._looked >= state.fleet.look
        due = bool(state.lanes.idle) and any(at <= now for at in self._resumes())
        looks = (self._wanted or told or polls or due) and not state.stopping
        if looks:
            self._wanted = self._told = False
            self._polled = self._looked = now
            guests.look(state)
        guests.join(state)
        if not self._rests:
            copies.join(state)
        return looks and state.polls and bool(state.jobs_waiting)

    def idle(self) -> bool:
        """Look once more, if a process has nothing to do beside open maps; whether something is pending.

        If nothing is, say that somebody is idle.
        """
        state, now = self._state, time.monotonic()
        if not (state.lanes.idle and state.open) or self._rests:
            self._next = min(self._next, self._found + self._pause)
            return False
        if now < self._next and not (copies.are_due(state) and now >= self._found + self._pause):
            return False
        self._found = self._looked = now
        self._told = False
        guests.look(state)
        found = offers.may_come(state) or copies.are_due(state)
        self._next = now + (self._pause if found else AGAIN * state.fleet.pace)
        if not found:
            guests.call(state)
        return found
