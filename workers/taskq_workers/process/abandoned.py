"""What a pool process does with a plain job that is given up, as too many workers have died while they ran it.

The failure callback and the exception handlers are called as RQ calls them for an abandoned job, when it cleans
its registries: before anybody asks whether the job is retried, and what goes wrong in them is only logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from rq.callbacks import execute_failure_callback
from rq.exceptions import AbandonedJobError
from rq.job import Job, JobStatus
from rq.timeouts import UnixSignalDeathPenalty

from taskq.redis import refusals
from taskq_workers.link.tasks import AbandonedTask, JobOutcome
from taskq_workers.process import around
from taskq_workers.process.jobs import job_of, user_code

log = logging.getLogger(__name__)


def run(task: AbandonedTask) -> JobOutcome:
    """Tell the user's code; the outcome is the job's failure. Never raises."""
    refusal = ""
    for act in (_call_back, _call_handlers) if task.tell else ():
        refusal = _safely(act, task) or refusal
    return JobOutcome(error=task.error, refusal=refusal)


def _safely(act: Callable[[Job], None], task: AbandonedTask) -> str:
    try:
        with around.ready():
            job = job_of(task.job_id, task.fields, task.worker)
            job._status = JobStatus.STARTED  # noqa: SLF001 - what RQ's callbacks see of an abandoned job
            with around.piece(job):
                around.call(act, job)
    except BaseException as error:
        log.exception(
            "a callback of the abandoned job %s failed", task.job_id, extra={"action": "callback_failed"}
        )
        return refusals.of(error)
    return ""


def _call_back(job: Job) -> None:
    execute_failure_callback(job, UnixSignalDeathPenalty, AbandonedJobError, AbandonedJobError(), None)


def _call_handlers(job: Job) -> None:
    user_code().call_exception_handlers(job, AbandonedJobError, AbandonedJobError(), None)
