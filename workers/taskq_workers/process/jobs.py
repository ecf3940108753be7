"""How a pool process runs a plain job, or a callback: what RQ's work horse does, up to storing the result."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from typing import Any

from rq.callbacks import execute_failure_callback, execute_success_callback
from rq.defaults import UNSERIALIZABLE_RETURN_VALUE_PAYLOAD
from rq.job import Job, JobStatus, Retry
from rq.job_lifecycle import format_exc_info
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty
from rq.utils import now

from taskq.errors import MapFailedError
from taskq.maps import forks, own_end
from taskq.payload import codec, imports
from taskq.payload.function import Function
from taskq.payload.signed_job import SignedJob, signing_class
from taskq.redis import connection, keys, refusals
from taskq_workers.link.tasks import CallbackTask, JobOutcome, JobTask
from taskq_workers.process.late_job import LateJob
from taskq_workers.user_code import UserCode

_NO_TIMEOUT = -1

_CARRIED = (
    "_data", "description", "timeout", "result_ttl", "failure_ttl", "ttl", "retries_left", "retry_intervals",
    "number_of_retries", "enqueue_at_front_on_retry", "repeats_left", "repeat_intervals", "enqueue_at_front",
    "allow_dependency_failures", "group_id", "_success_callback_name", "_failure_callback_name",
    "_stopped_callback_name",
)  # fmt: skip
"""Attributes of the current job which the service saves at its end, so it must hear if job code changed them."""

_user = UserCode()


def use(user: UserCode) -> None:
    """Load these classes and handlers of the user's, where jobs need them."""
    global _user  # noqa: PLW0603 - a process has one
    _user = user


def user_code() -> UserCode:
    """What this process uses of the user's."""
    return _user


def job_of(job_id: str, fields: dict[bytes, bytes], worker: str = "") -> SignedJob:
    """The job as user code sees it, a ``MapJob`` if it is a map; a map's pickles are always ours."""
    serializer = codec.Serializer if keys.JOB_KIND.encode() in fields else _user.load_serializer()
    kind: Any = signing_class(_user.load_job_class())
    job: SignedJob = kind(job_id, connection=connection.shared())
    # Given to the constructor, RQ would look each time whether it is one: a fifth of all it takes to run a no-op.
    job.serializer = serializer
    job.restore(fields)
    job.worker_name = worker or job.worker_name
    return job


def run_job(task: JobTask) -> JobOutcome:
    """What RQ's work horse does, up to the point where the result is to be stored."""
    os.environ["RQ_JOB_ID"] = task.job_id
    if os.environ.get("RQ_WORKER_ID") != task.worker:
        os.environ["RQ_WORKER_ID"] = task.worker
    job: SignedJob | None = None
    began = time.monotonic()
    before: list[Any] = []
    try:
        job = _late_job(task)
        if job is None:
            job = job_of(task.job_id, task.fields, task.worker)
            before = _carried(job)
        job.started_at = now()
        job._status = JobStatus.STARTED  # noqa: SLF001 - as restored from Redis a moment later
        with UnixSignalDeathPenalty(_alarm(job.timeout), JobTimeoutException, job_id=job.id):
            _check(job)
            value = forks.call(job.perform)
        job.ended_at = now()
        ran = began, time.monotonic()
        if isinstance(value, Retry):
            retry = (value.max, value.intervals, value.enqueue_at_front)
            return _told(task, job, before, JobOutcome(_result(job, value), retry=retry, ran=ran))
        job._status = JobStatus.FINISHED  # noqa: SLF001 - what RQ's callbacks see
        forks.call(execute_success_callback, job, UnixSignalDeathPenalty, value)
        return _told(task, job, before, JobOutcome(_result(job, value), ran=ran))
    except BaseException:  # noqa: BLE001 - sys.exit() in a job is its failure, not ours
        ran = began, time.monotonic()
        return _told(task, job, before, replace(_failed(job, sys.exc_info()), ran=ran))


def _late_job(task: JobTask) -> LateJob | None:
    if _user.job_class is not None or keys.JOB_KIND.encode() in task.fields:
        return None
    return LateJob.of(task.job_id, task.fields, _user.load_serializer(), task.worker)


def _carried(job: Job) -> list[Any]:
    return [getattr(job, name) for name in _CARRIED]


def _told(task: JobTask, job: Job | None, before: list[Any], outcome: JobOutcome) -> JobOutcome:
    """Add what else the service must know of the job: what its code has changed, and its name for webhooks.

    ``before`` is what was carried before it; nothing, of a job which was a late one.
    """
    names = _CARRIED if outcome.retry is None else (*_CARRIED, "meta")
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
    return replace(outcome, changes=changed or None, name=name)


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
    if not job.instance:
        imports.check(name := job.func_name or "")
        imports.check_found(name, job.func)
    elif not (isinstance(job.instance, Function) and job.func_name == "__call__"):  # which checks itself
        imports.check_method(job.instance, job.func_name or "")


def _failed(job: Job | None, exc_info: Any) -> JobOutcome:
    """Run the failure callback and the exception handlers, as RQ does, where the exception is at hand."""
    note = ""
    if job is not None:
        job._status = JobStatus.FAILED  # noqa: SLF001 - what RQ's callbacks see
        job.ended_at = now()
        try:
            forks.call(execute_failure_callback, job, UnixSignalDeathPenalty, *exc_info)
        except BaseException:  # noqa: BLE001 - as in RQ: a failing callback replaces the job's exception
            exc_info = sys.exc_info()
        try:
            forks.call(_user.call_exception_handlers, job, *exc_info)
        except BaseException:  # noqa: BLE001 - RQ's work horse dies of it, and the job's own exception is lost
            note = "\nAn exception handler failed:\n" + format_exc_info(sys.exc_info())
    return JobOutcome(error=format_exc_info(exc_info) + note, refusal=refusals.of(exc_info[1]))


def _result(job: Job, value: Any) -> bytes | None:
    if value is None:
        return None
    try:
        return job.serializer.dumps(value)
    except Exception:  # noqa: BLE001 - RQ's own answer to whatever the serializer says
        return job.serializer.dumps(UNSERIALIZABLE_RETURN_VALUE_PAYLOAD)


def _alarm(timeout: float | None) -> int:
    """Seconds for ``signal.alarm``; 0 switches it off."""
    timeout = timeout or _user.load_queue_class().DEFAULT_TIMEOUT
    return 0 if timeout == _NO_TIMEOUT else max(1, int(timeout))


def run_callback(task: CallbackTask) -> JobOutcome:
    try:
        job = job_of(task.job_id, task.fields, task.worker)
        if task.error is None:
            job._status = JobStatus.FINISHED  # noqa: SLF001 - what RQ's callbacks see
            with own_end.about_to_be(JobStatus.FINISHED, job):
                forks.call(execute_success_callback, job, UnixSignalDeathPenalty, task.value)
            return JobOutcome()
    except BaseException as error:  # noqa: BLE001 - as in RQ: it makes the job a failed one
        return JobOutcome(error=format_exc_info(sys.exc_info()), refusal=refusals.of(error))
    failure = MapFailedError(task.error)
    with own_end.about_to_be(JobStatus.FAILED, job):
        return _failed(job, (MapFailedError, failure, None))
