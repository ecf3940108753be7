"""When RQ's registries are to be cleaned: at the start, and then every ten minutes, as RQ's own worker does.

Cleaning calls failure callbacks of abandoned jobs, and may take long, so a pool process does it.
"""

from __future__ import annotations

import logging
import time

from taskq_workers.link.tasks import JobOutcome, MaintenanceTask
from taskq_workers.service.core.errands import Errand
from taskq_workers.service.core.state import State

log = logging.getLogger(__name__)

_TIMEOUT = 600.0  # seconds; RQ's lock lasts for 899


class Maintenance:
    """Has the registries of a service's queues cleaned, one cleaning at a time."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._interval = state.settings.rq.maintenance_interval
        self._due = 0.0  # on the monotonic clock
        self._runs = False

    def look(self) -> None:
        """To be called about once a second."""
        state = self._state
        if self._interval is None or self._runs or state.stopping or time.monotonic() < self._due:
            return
        task = MaintenanceTask(state.settings.queues, state.name, self._interval)
        self._runs, self._due = True, time.monotonic() + self._interval
        state.errands.append(Errand(task, self._done, _TIMEOUT))

    def _done(self, outcome: JobOutcome) -> None:
        self._runs = False
        if outcome.error:
            why = outcome.error.strip().rpartition("\n")[2]
            log.error("RQ's registries could not be cleaned: %s", why, extra={"action": "not_cleaned"})
