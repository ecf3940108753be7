"""When a dead service is started again: at once; one that dies again and again waits longer each time, alone.

cotyledon would sleep for 5 seconds, with all services, when they die faster than one a second.
"""

from __future__ import annotations

import time

_HEALTHY = 10.0  # seconds; a service that has lived longer starts with a clean slate
_PATIENT = 2  # early deaths in a row after which the next start has to wait
_PAUSE = (0.1, 5.0)  # seconds: the first pause and the longest; each is twice the one before


class Respawn:
    """The early deaths of each service of one host."""

    def __init__(self) -> None:
        self._started: dict[int, float] = {}
        self._early: dict[int, int] = {}
        self._not_before: dict[int, float] = {}

    def started(self, worker_id: int) -> None:
        """A service was started."""
        self._started[worker_id] = time.monotonic()

    def died(self, worker_id: int, exit_code: int) -> float:
        """A service has ended; returns for how many seconds it must not be started again."""
        lived = time.monotonic() - self._started.get(worker_id, 0.0)
        if exit_code == 0 or lived >= _HEALTHY:
            self._early[worker_id] = 0
        else:
            self._early[worker_id] = self._early.get(worker_id, 0) + 1
        more = self._early[worker_id] - _PATIENT
        pause = min(_PAUSE[0] * 2.0 ** (more - 1), _PAUSE[1]) if more > 0 else 0.0
        self._not_before[worker_id] = time.monotonic() + pause
        return pause

    def wait(self, worker_id: int) -> float:
        """For how many more seconds it must not be started."""
        return max(0.0, self._not_before.get(worker_id, 0.0) - time.monotonic())
