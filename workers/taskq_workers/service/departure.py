"""A service's way out: it takes nothing new, lets what runs end until a deadline, and hands back the rest."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from taskq_workers.service.core.damage import contained
from taskq_workers.service.core.state import State
from taskq_workers.service.exchange import Exchange
from taskq_workers.service.jobs import ending
from taskq_workers.service.jobs.fetching import Fetching
from taskq_workers.service.reconciliation import reconcile
from taskq_workers.service.upkeep import mirror, recovery
from taskq_workers.service.upkeep.membership import Membership
from taskq_workers.service.upkeep.monitor import Monitor

log = logging.getLogger(__name__)

FETCHERS_END = 0.05  # seconds between looks at whether the fetchers have ended


class Departure:
    """The end of one service, from being told to stop to being struck off.

    Args:
        state: The service's.
        fetching: To be ended first.
        membership: To be given up last.
        monitor: To be told what there is left to tell.
    """

    def __init__(self, state: State, fetching: Fetching, membership: Membership, monitor: Monitor) -> None:
        self._state = state
        self._fetching = fetching
        self._membership = membership
        self._monitor = monitor
        self._deadline: float | None = None  # on the monotonic clock; None: nobody has told us to stop

    def begin(self, deadline: float) -> None:
        """Stop taking; what runs has time until then."""
        self._state.stopping = True
        self._deadline = deadline
        self._membership.note_stop()
        for lane in self._state.lanes:
            lane.stop_all()  # chunks end with the item that runs, and what is left of them goes back
        self._fetching.stop()
        log.info("stops: finishes what runs, %.0f s at most", deadline - time.monotonic(),
                 extra={"action": "stopping"})  # fmt: skip

    @property
    def next_look(self) -> float | None:
        """When to ask next whether it is due, on the monotonic clock; None: nobody has told us to stop."""
        if self._deadline is None:
            return None
        return min(self._deadline, time.monotonic() + FETCHERS_END)

    @property
    def due(self) -> bool:
        """Whether it is time to leave: nothing runs any more, or the deadline is over."""
        if self._deadline is None:
            return False
        if time.monotonic() >= self._deadline:
            return True
        state = self._state
        for run in state.maps:
            run.ready.clear()  # still claimed by us; put back, with all else, when we leave
        busy = any(not lane.idle for lane in state.lanes) or bool(state.errands)
        unsaved = any(run.ended for run in state.maps) or bool(state.unrecorded)
        return not (busy or unsaved or state.webhooks.busy) and self._fetching.ended

    def leave(self, hear: Callable[[], None]) -> None:
        """Put back what is left, at the front, and strike ourselves off.

        Args:
            hear: Acts on what has come to the inbox.
        """
        state = self._state
        self._fetching.join()
        hear()  # a fetcher may have brought something in its last moment
        state.lanes.close()
        try:
            hear()  # what had ended in processes that were killed just now
            ending.end(state)
            Exchange(state, ask=False).run()
            self._fetching.settle()
            recovery.return_fetched(state.connection, state.name, state.settings.queues)
            if state.unsure:
                reconcile(state)
            self._monitor.tell(force=True)
            with contained("what is held"):
                for _ in mirror.beats(state):  # what goes back is what the index says
                    pass
            recovery.hand_back(state.connection, state.name)
            state.solitude.let_go()  # else it ends with this process
        except RedisError as error:
            log.error("could not hand back what was left: %s; it is taken over when the lease ends", error,
                      extra={"action": "leave_failed"})  # fmt: skip
