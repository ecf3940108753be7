"""Gathers the ends of short jobs, so that many are recorded together."""

from __future__ import annotations

import time

from taskq_workers.service.core.state import State

MOST = 32  # ends that are recorded together
WAIT = 0.003  # seconds for which an end may wait for others


class Gathering:
    """Whether ends wait, and until when: ``until``, on the monotonic clock; 0.0 if none does."""

    def __init__(self) -> None:
        self.until = 0.0

    def look(self, state: State) -> bool:
        """Whether the ends that are to be recorded may wait a moment, since the processes have more to do."""
        now, ended = time.monotonic(), state.unrecorded
        busy = bool(state.ready) and not (state.active or state.stopping)
        if not busy or not 0 < len(ended) < MOST or not all(job.succeeded for job in ended):
            self.until = 0.0
        else:
            self.until = self.until or now + WAIT
            if now >= self.until:
                self.until = 0.0
        return bool(self.until)
