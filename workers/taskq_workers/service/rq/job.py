"""An RQ job as a service has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rq.job import Job, JobStatus

OnWebhooks = Callable[[Job, str, str | None], None]


_NAME = 100  # characters


def name_of(job: Job) -> str:
    """What RQ's ``func_name`` would say, without unpickling anything of the user's.

    What RQ calls a job begins with its function's name; its arguments are nobody's business in a log.
    """
    return str(job.description or "job").partition("(")[0].strip()[:_NAME]


class ServiceJob(Job):  # type: ignore[misc,unused-ignore]
    """An RQ job in a service: its pickles stay sealed, and its webhooks are sent by somebody else.

    Args:
        on_webhooks: Called with the job, its status and its error, where RQ would send them.
        mark: Of a map, as its hash has it: which one it is.
        made: When it was pushed, as its hash has it: another that has got its id has another time.
    """

    on_webhooks: OnWebhooks
    mark = ""
    made = b""

    def set_status(self, status: JobStatus, pipeline: Any = None) -> None:
        """As RQ's. Without a pipeline RQ says it before the transaction of a retry that says it once more.

        It would be said of whatever has the id by now, or be all that is on record, if we died then.
        """
        self._status = status
        if pipeline is not None:
            super().set_status(status, pipeline)

    def send_webhooks(self, status: str | JobStatus, *, exc_string: str | None = None) -> None:
        """RQ's own code calls it when the end is on record; the payload names the function, which is sealed."""
        if any(webhook.job_status == status for webhook in self.webhooks):
            self.on_webhooks(self, JobStatus(status).value, exc_string)
