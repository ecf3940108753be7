"""What a service has pool processes do beside jobs and chunks, because user code may run in it.

Stopped callbacks, the handler of killed processes, webhooks (their payload names the function, which only the
unpickled job tells) and the cleaning of RQ's registries (which calls failure callbacks of abandoned jobs). An
errand waits for an idle process; what it brought, or that its process died, is told to ``then``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskq_workers.link.tasks import ErrandTask, JobOutcome

if TYPE_CHECKING:
    from taskq_workers.lanes.lane import Lane

OVERTIME = 5.0  # seconds after its own time limit at which an errand's process is killed


@dataclass(eq=False)
class Errand:
    """One of them.

    Args:
        task: What a pool process is told.
        then: Called by the thread that owns the service's state, exactly once.
        timeout: Seconds it may take.
    """

    task: ErrandTask
    then: Callable[[JobOutcome], None]
    timeout: float
    deadline: float | None = None  # on the monotonic clock, once it runs

    def started(self) -> ErrandTask:
        """It is in a process now."""
        self.deadline = time.monotonic() + self.timeout + OVERTIME
        return self.task

    @property
    def overdue(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def lost(self, lane: Lane) -> None:
        """Its process died."""
        self.then(JobOutcome(error=f"its process died by {lane.death}"))
