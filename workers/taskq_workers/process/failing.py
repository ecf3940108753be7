"""What a pool process does with a job, or a map, that has failed: it tells the user's code, as RQ does."""

from __future__ import annotations

import sys
from typing import Any

from rq.callbacks import execute_failure_callback
from rq.job import JobStatus
from rq.job_lifecycle import format_exc_info
from rq.utils import now

from taskq.maps import forks
from taskq.payload.signed_job import SignedJob
from taskq.redis import refusals
from taskq_workers.link.tasks import JobOutcome
from taskq_workers.process import horse
from taskq_workers.process.horse import Penalty
from taskq_workers.process.jobs import user_code


def tell(job: SignedJob, exc_info: Any) -> JobOutcome:
    """Run the failure callback, and RQ's ``handle_exception``, which logs and calls the handlers. Never raises.

    Args:
        job: Which has failed.
        exc_info: The exception's three parts, where the exception is at hand.
    """
    note = ""
    job._status = JobStatus.FAILED  # noqa: SLF001 - what RQ's callbacks see
    job.ended_at = now()
    try:
        forks.call(execute_failure_callback, job, Penalty, *exc_info)
    except BaseException:  # noqa: BLE001 - as in RQ: a failing callback replaces the job's exception
        exc_info = sys.exc_info()
    try:
        forks.call(horse.of(user_code(), job.worker_name or "").handle_exception, job, *exc_info)
    except BaseException:  # noqa: BLE001 - RQ's work horse dies of it, and the job's own exception is lost
        note = "\nAn exception handler failed:\n" + format_exc_info(sys.exc_info())
    return JobOutcome(error=format_exc_info(exc_info) + note, refusal=refusals.of(exc_info[1]))
