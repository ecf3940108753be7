"""What a pool process does with a job, or a map, that has failed: it tells the user's code, as RQ does."""

from __future__ import annotations

import sys
from typing import Any

from rq.callbacks import execute_failure_callback
from rq.job import JobStatus
from rq.job_lifecycle import format_exc_info
from rq.timeouts import UnixSignalDeathPenalty
from rq.utils import now

from taskq.payload import names
from taskq.payload.outcome import add_note
from taskq.payload.signed_job import SignedJob
from taskq.redis import refusals
from taskq_workers.link.tasks import JobOutcome
from taskq_workers.process import around, horse
from taskq_workers.process.jobs import user_code


def _explain(job: SignedJob, error: BaseException | None) -> None:
    """Add a note to the error of a job whose function can't be found: RQ's words hardly say what is missing."""
    if not isinstance(error, (ValueError, ImportError, AttributeError)) or job.instance:
        return
    try:
        job.func  # noqa: B018 - if it is there, the error is its own
    except type(error):
        add_note(error, f"taskq: {names.explain(job.func_name or '')}")
    except Exception:  # noqa: BLE001, S110 - then this is not what it has failed by
        pass


def tell(job: SignedJob, exc_info: Any) -> JobOutcome:
    """Run the failure callback, and RQ's ``handle_exception``, which logs and calls the handlers. Never raises.

    Args:
        job: Which has failed.
        exc_info: The exception's three parts, where the exception is at hand.
    """
    note = ""
    _explain(job, exc_info[1])
    job._status = JobStatus.FAILED  # noqa: SLF001 - what RQ's callbacks see
    job.ended_at = now()
    try:
        around.call(execute_failure_callback, job, UnixSignalDeathPenalty, *exc_info)
    except BaseException:  # noqa: BLE001 - as in RQ: a failing callback replaces the job's exception
        exc_info = sys.exc_info()
    try:
        around.call(horse.of(user_code(), job.worker_name or "").handle_exception, job, *exc_info)
    except BaseException:  # noqa: BLE001 - RQ's work horse dies of it, and the job's own exception is lost
        note = "\nAn exception handler failed:\n" + format_exc_info(sys.exc_info())
    return JobOutcome(error=format_exc_info(exc_info) + note, refusal=refusals.of(exc_info[1]))
