"""Sends webhooks of jobs that have ended: in threads, for each may take seconds and the dispatcher has none.

Their payload names the function. Where nobody has told the service its name, because the process died, a pool
process unpickles the job and sends them: see ``errands.py``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from rq.job import UNEVALUATED, Job

from taskq_workers import webhooks

THREADS = 32  # at most; what comes then waits


class Webhooks:
    """The webhooks which one service is sending.

    Args:
        wake: Called, in any thread, when a job's have been sent.
        private: Whether they may be sent to any address.
    """

    def __init__(self, wake: Callable[[], None], *, private: bool = False) -> None:
        self._wake = wake
        self._private = private
        self._threads: set[threading.Thread] = set()
        self._waiting: deque[tuple[Job, str, str | None]] = deque()

    @property
    def busy(self) -> bool:
        """Whether some are not sent yet."""
        self._start()
        return bool(self._threads)

    @staticmethod
    def can_send(job: Job) -> bool:
        """Whether the function's name is known without unpickling anything."""
        return job._func_name is not UNEVALUATED  # noqa: SLF001 - the accessor would unpickle

    def send(self, job: Job, status: str, error: str | None) -> None:
        """Start sending; what goes wrong is logged."""
        self._waiting.append((job, status, error))
        self._start()

    def _start(self) -> None:
        """Have a thread more, if something waits."""
        self._threads = {thread for thread in self._threads if thread.is_alive()}
        if self._waiting and len(self._threads) < THREADS:
            thread = threading.Thread(target=self._send, name="webhooks", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _send(self) -> None:
        while True:
            try:
                job, status, error = self._waiting.popleft()
            except IndexError:
                return
            webhooks.send_all(job, status, error, private=self._private)
            self._wake()
