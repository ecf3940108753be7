"""How a pool process runs a plain job: what RQ's work horse does, up to storing the result."""

from __future__ import annotations

import logging
import os
import sys
import time
from functools import partial
from typing import Any

from rq.callbacks import execute_success_callback
from rq.defaults import UNSERIALIZABLE_RETURN_VALUE_PAYLOAD
from rq.job import Job, JobStatus, Retry
from rq.job_lifecycle import format_exc_info
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty
from rq.utils import now

from taskq.errors import UsageError
from taskq.maps import forks
from taskq.payload import imports
from taskq.payload.function import Function
from taskq.payload.signed_job import SignedJob
from taskq.redis import keys
from taskq_workers.link.tasks import JobOutcome, JobTask
from taskq_workers.process import around, failing, horse
from taskq_workers.process.alarm import Alarm
from taskq_workers.process.jobs import job_of, user_code
from taskq_workers.process.late_job import LateJob

log = logging.getLogger(__name__)

_CARRIED = (
    "_data", "description", "timeout", "result_ttl", "failure_ttl", "ttl", "retries_left", "retry_intervals",
    "number_of_retries", "enqueue_at_front_on_retry", "repeats_left", "repeat_intervals", "enqueue_at_front",
    "allow_dependency_failures", "group_id", "_success_callback_name", "_failure_callback_name",
    "_stopped_callback_name",
)  # fmt: skip
"""Attributes of the current job which the service saves at its end, so it must hear if job code changed them."""

_TOLD = frozenset(_CARRIED)
_TOLD_AGAIN = _TOLD | {"meta"}  # of a job that is to run again


class JobRun:
    """One run of one job.

    Args:
        task: What is to be run.
    """

    job: Any = None  # what user code sees; there is one from ``restore`` on
    outcome: JobOutcome | None = None  # how it ended

    def __init__(self, task: JobTask) -> None:
        self._task = task
        self._began = time.monotonic()
        self._before: list[Any] = []  # what is carried, as it was; nothing, of a late job

    def restore(self, *, late: bool) -> None:
        """Make the job from what stands in Redis; a ``late`` one of as little of it as most functions need."""
        job: SignedJob | None = _late_job(self._task) if late else None
        if job is None:
            job = job_of(self._task.job_id, self._task.fields, self._task.worker)
            self._before = _carried(job)
        job.started_at = now()
        job._status = JobStatus.STARTED  # noqa: SLF001 - as restored from Redis a moment later
        self.job = job

    def perform(self) -> None:
        """Run it, in its time."""
        job = self.job
        seconds = horse.seconds_of(job.timeout or user_code().load_queue_class().DEFAULT_TIMEOUT)
        with Alarm(seconds, JobTimeoutException, job_id=job.id):
            value = around.call(self._checked, job.perform)
        self.succeed(value)

    def perform_as_rq(self) -> None:
        """Have RQ's ``perform_job`` do that, with all that others have put around it.

        Raises:
            UsageError: If these have not called it.
        """
        job = self.job
        vars(job)["perform"] = partial(around.call, self._checked, job.perform)
        vars(job)["_fetch_status"] = partial(self._status, job._fetch_status)  # noqa: SLF001
        forks.call(horse.of(user_code(), self._task.worker).perform, self, self._task.execution)
        if self.outcome is None:
            raise UsageError(f"perform_job came back, and had not run the job {job.id}")

    def _status(self, fetch: Any) -> Any:
        """What ``get_status`` asks Redis for; from the job's end on, what is about to be recorded there."""
        return fetch() if self.outcome is None else self.job._status  # noqa: SLF001 - as succeed and failing set it

    def _checked(self, perform: Any) -> Any:
        _check(self.job)
        return perform()

    def succeed(self, value: Any) -> None:
        """It has returned this value: run the success callback, and pickle the value."""
        job = self.job
        job.ended_at = now()
        ran = self._began, time.monotonic()
        if isinstance(value, Retry):
            retry = (value.max, value.intervals, value.enqueue_at_front)
            self._end(JobOutcome(_result(job, value), retry=retry, ran=ran))
            return
        job._status = JobStatus.FINISHED  # noqa: SLF001 - what RQ's callbacks see
        if job._success_callback_name:  # noqa: SLF001 - the callback itself would be imported
            around.call(execute_success_callback, job, UnixSignalDeathPenalty, value)
        self._end(JobOutcome(_result(job, value), ran=ran))

    def fail(self, exc_info: Any) -> None:
        """It, or what followed, has raised this: tell the user's code, unless its end is known already."""
        if self.outcome is not None:
            log.error("after the end of the job %s: %s", self._task.job_id, format_exc_info(exc_info),
                      extra={"action": "job_ended"})  # fmt: skip
            return
        ran = self._began, time.monotonic()
        if self.job:
            outcome = failing.tell(self.job, exc_info)
        else:
            outcome = JobOutcome(error=format_exc_info(exc_info))
            log.error(
                "job %s could not be run: %s", self._task.job_id, outcome.error, extra={"action": "job_failed"}
            )
        self._end(outcome._replace(ran=ran))

    def say_end(self) -> None:
        """A line for who wants to see each job; without its arguments, which may be nobody's business."""
        outcome, name = self.outcome, getattr(self.job, "_func_name", None)
        if outcome is None:
            return
        how = "failed" if outcome.error else "finished" if outcome.retry is None else "is to be retried"
        began, ended = outcome.ran or (0.0, 0.0)
        log.debug("job %s (%s) %s after %.3f s", self._task.job_id, name if isinstance(name, str) else "?", how,
                  ended - began, extra={"action": "job_ended"})  # fmt: skip

    def _end(self, outcome: JobOutcome) -> None:
        self.outcome = _told(self._task, self.job, self._before, outcome)


def run_job(task: JobTask) -> JobOutcome:
    """Run one, callbacks included. Never raises."""
    os.environ["RQ_JOB_ID"] = task.job_id
    if os.environ.get("RQ_WORKER_ID") != task.worker:
        os.environ["RQ_WORKER_ID"] = task.worker
    run = JobRun(task)
    try:
        with around.ready():
            _run_piece(run)
    except BaseException:  # noqa: BLE001 - what is around it can't be set up
        run.fail(sys.exc_info())
    assert run.outcome is not None
    return run.outcome


def _run_piece(run: JobRun) -> None:
    try:
        wanted = horse.is_wanted(user_code())
        run.restore(late=not wanted)
        with around.piece(run.job):
            _perform(run, as_rq=wanted)
    except BaseException:  # noqa: BLE001 - what the user's hooks raise before it
        run.fail(sys.exc_info())
    if log.isEnabledFor(logging.DEBUG):
        run.say_end()


def _perform(run: JobRun, *, as_rq: bool) -> None:
    """Run it, and what belongs to its end: all of that is one piece."""
    try:
        if as_rq:
            run.perform_as_rq()
        else:
            run.perform()
    except BaseException:  # noqa: BLE001 - sys.exit() in a job is its failure, not ours
        run.fail(sys.exc_info())


def _late_job(task: JobTask) -> LateJob | None:
    user = user_code()
    if user.job_class is not None or keys.JOB_KIND.encode() in task.fields:
        return None
    return LateJob.of(task.job_id, task.fields, user.load_serializer(), task.worker)


def _carried(job: Job) -> list[Any]:
    return [getattr(job, name) for name in _CARRIED]


def _told(task: JobTask, job: Job | None, before: list[Any], outcome: JobOutcome) -> JobOutcome:
    """Add what else the service must know of the job: what its code has changed, and its name for webhooks.

    ``before`` is what was carried before it; nothing, of a job which was a late one.
    """
    names = _TOLD if outcome.retry is None else _TOLD_AGAIN
    if job is None or (isinstance(job, LateJob) and job.unchanged(names)):
        return outcome
    before = before or _carried(job_of(task.job_id, task.fields, task.worker))
    changed = {name: value for name, old in zip(_CARRIED, before, strict=True)
               if (value := getattr(job, name)) is not old and value != old}  # fmt: skip
    changed = {name: value if _is_plain(value) else str(value) for name, value in changed.items()}
    if "_data" in changed:
        changed["_data"] = job.data  # arguments were assigned: pickled anew
    changed |= _meta(task, job, outcome)
    known = isinstance(job._func_name, str)  # noqa: SLF001 - the accessor would try to unpickle again
    name = (job.func_name or "") if known and job.webhooks else ""
    return outcome._replace(changes=changed or None, name=name)


def _meta(task: JobTask, job: Job, outcome: JobOutcome) -> dict[str, bytes]:
    """The pickled meta, if the job is to run again and it is not as it was when read.

    Only then does RQ save it with the job, and only if there is any: else it leaves alone what is stored.
    """
    failed = outcome.error is not None
    again = job.should_retry if failed else outcome.retry is not None or bool(job.repeats_left)
    if not again:
        return {}
    try:
        meta = job._serialize_meta() if job.meta else b""  # noqa: SLF001 - signed, where there is a key
    except Exception:
        if not failed:
            raise  # as in RQ: now it has
        return {}
    return {} if meta == task.fields.get(b"meta", b"") else {"meta": meta}


def _is_plain(value: Any) -> bool:
    """Whether the service can unpickle it: by RQ's intent these are numbers, texts and lists of them."""
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str, bytes)


def _check(job: SignedJob) -> None:
    """Refuse a job that is not signed, or whose function this worker may not call; before anything is imported."""
    job.check()
    if not imports.limited():
        return
    if not job.instance:
        imports.check(name := job.func_name or "")
        imports.check_found(name, job.func)
    elif not (isinstance(job.instance, Function) and job.func_name == "__call__"):  # which checks itself
        imports.check_method(job.instance, job.func_name or "")


def _result(job: Job, value: Any) -> bytes | None:
    if value is None:
        return None
    try:
        return job.serializer.dumps(value)
    except Exception:  # noqa: BLE001 - RQ's own answer to whatever the serializer says
        return job.serializer.dumps(UNSERIALIZABLE_RETURN_VALUE_PAYLOAD)
