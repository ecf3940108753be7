"""``rq suspend`` and ``rq resume``: a suspended service begins nothing new, of maps neither.

What runs is finished. The reserve and the begin of a job ask for themselves, so none slips through; so does each
look for open maps (``guests.look``), once a second at least.
"""

from __future__ import annotations

import logging

from rq.worker.base import WorkerStatus

from taskq_workers.service.core.state import State

log = logging.getLogger(__name__)


class Suspension:
    """Follows RQ's key for one service."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._shown = False

    def look(self) -> None:
        """To be called about once a second."""
        state = self._state
        if state.suspended and state.settings.rq.burst:
            state.finish("suspended in burst mode")
        if state.suspended == self._shown:
            return
        if not state.suspended:
            log.info("resumed", extra={"action": "resumed"})
            state.worker.set_state(WorkerStatus.BUSY if state.taken else WorkerStatus.IDLE)
        elif all(lane.idle for lane in state.lanes):
            log.warning('suspended; "rq resume" makes it go on', extra={"action": "suspended"})
            state.worker.set_state(WorkerStatus.SUSPENDED)
        else:
            return  # something runs to its end
        self._shown = state.suspended
