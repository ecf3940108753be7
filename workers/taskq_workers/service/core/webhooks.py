"""Sends webhooks of jobs that have ended: in threads, for each may take seconds and the dispatcher has none.

Their payload names the function. Where nobody has told the service its name, because the process died, a pool
process unpickles the job and sends them: see ``errands.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from rq.job import UNEVALUATED, Job


class Webhooks:
    """The webhooks which one service is sending.

    Args:
        wake: Called, in any thread, when a job's have been sent.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._threads: set[threading.Thread] = set()

    @property
    def busy(self) -> bool:
        """Whether some are not sent yet."""
        self._threads = {thread for thread in self._threads if thread.is_alive()}
        return bool(self._threads)

    @staticmethod
    def can_send(job: Job) -> bool:
        """Whether the function's name is known without unpickling anything."""
        return job._func_name is not UNEVALUATED  # noqa: SLF001 - the accessor would unpickle

    def send(self, job: Job, status: str, error: str | None) -> None:
        """Start sending; what goes wrong is logged by RQ."""
        thread = threading.Thread(target=self._send, args=(job, status, error), name="webhooks", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _send(self, job: Job, status: str, error: str | None) -> None:
        for webhook in job.webhooks:
            if webhook.job_status == status:
                webhook.send(job, exc_string=error)
        self._wake()
