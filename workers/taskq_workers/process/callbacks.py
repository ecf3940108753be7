"""How a pool process runs the success or failure callback of a map."""

from __future__ import annotations

import logging
import sys

from rq.callbacks import execute_success_callback
from rq.job import JobStatus
from rq.job_lifecycle import format_exc_info
from rq.timeouts import UnixSignalDeathPenalty

from taskq.errors import MapFailedError
from taskq.maps import own_end
from taskq.payload.signed_job import SignedJob
from taskq.redis import refusals
from taskq_workers.link.tasks import CallbackTask, JobOutcome
from taskq_workers.process import around, failing
from taskq_workers.process.jobs import job_of

log = logging.getLogger(__name__)


def run_callback(task: CallbackTask) -> JobOutcome:
    """Run it, as for a plain job. Never raises."""
    try:
        with around.ready():
            job = job_of(task.job_id, task.fields, task.worker)
            with around.piece(job, task.item_timeout):
                return _run(task, job)
    except BaseException as error:  # as in RQ: it makes the job a failed one
        log.exception("a callback of the map %s failed", task.job_id, extra={"action": "callback_failed"})
        return JobOutcome(error=format_exc_info(sys.exc_info()), refusal=refusals.of(error))


def _run(task: CallbackTask, job: SignedJob) -> JobOutcome:
    if task.error is None:
        job._status = JobStatus.FINISHED  # noqa: SLF001 - what RQ's callbacks see
        with own_end.about_to_be(JobStatus.FINISHED, job):
            around.call(execute_success_callback, job, UnixSignalDeathPenalty, task.value)
        return JobOutcome()
    failure = MapFailedError(task.error)
    with own_end.about_to_be(JobStatus.FAILED, job):
        return failing.tell(job, (MapFailedError, failure, None))
