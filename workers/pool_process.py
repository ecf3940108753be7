"""All that runs inside a pool process: its start, and the three kinds of task.

A pool process has no connection of ours to Redis. User code may open one (``ResultList``,
``get_current_job().save_meta()``): it connects to the worker's server when first used.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import os
import signal
import sys
import time
from collections import OrderedDict
from dataclasses import replace
from typing import Any

from rq.callbacks import execute_failure_callback, execute_success_callback
from rq.defaults import UNSERIALIZABLE_RETURN_VALUE_PAYLOAD
from rq.job import Job, JobStatus, Retry, _current_job
from rq.job_lifecycle import call_exception_handlers, format_exc_info
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty
from rq.utils import now
from setproctitle import setproctitle

from taskq import codec, connection, imports, keys, refusals
from taskq.errors import MapFailedError
from taskq.function import Function
from taskq.keys import MapKeys
from taskq.map_job import MAP, kind_of
from taskq.map_store import function_codec
from taskq.outcome import ChunkOutcome, ChunkRefused
from taskq.runner import refused, run_chunk
from taskq.signed_job import SignedJob, signing_class
from workers import logs, pool_errands, signals
from workers.logs import LogOptions
from workers.marker import Marker
from workers.settings import Trust
from workers.tasks import CallbackTask, ChunkTask, JobOutcome, JobTask, Task
from workers.user_code import UserCode

KNOWN_MAPS = 8
"""Maps whose function a pool process keeps; the service counts along (``lane.py``) and sends it only once."""

_NO_TIMEOUT = -1

_CARRIED = (
    "_data", "description", "timeout", "result_ttl", "failure_ttl", "ttl", "retries_left", "retry_intervals",
    "number_of_retries", "enqueue_at_front_on_retry", "repeats_left", "repeat_intervals", "enqueue_at_front",
    "allow_dependency_failures", "group_id", "_success_callback_name", "_failure_callback_name",
    "_stopped_callback_name",
)  # fmt: skip
"""Attributes of the current job which the service saves at its end, so it must hear if job code changed them."""

_user = UserCode()
_marker: Marker  # shared with the service
_maps: OrderedDict[str, tuple[Function, Job]] = OrderedDict()


def start(
    url: str, trust: Trust, log: LogOptions | None, title: str, numbers: Any, path: list[str], user: UserCode
) -> None:
    """Initializer of the Pool: run once, before the first task."""
    global _marker, _user  # noqa: PLW0603 - the pool gives its processes no other place
    _user = user
    os.setpgid(0, 0)  # so that what job code starts can be killed with us
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined] # noqa: SLF001 - or it may start none
    signals.reset_in_pool_process()
    setproctitle(title)
    sys.path[:] = path  # user modules are found where the service finds them
    connection.use_in_worker(url)
    trust.apply()
    multiprocessing.current_process().name = title
    if log is not None:
        logs.to_stderr(log)
    _marker = Marker(numbers)
    _marker.begin(0)


def hello() -> None:
    """A task whose end tells that the process is ready."""


def work(*args: Any) -> None:
    """What the process runs: Pool's own loop, until the service ends it, or is gone."""
    try:
        multiprocessing.pool.worker(*args)  # type: ignore[attr-defined]
    except BrokenPipeError:
        os._exit(1)  # the service was killed, and so are we in a moment: there is nobody to tell


def run(number: int, task: Task) -> Any:
    """Run one task. Never raises: what user code does is part of the outcome.

    The marker stays until the next task: a death before the outcome has arrived is this task's, too.
    """
    _marker.begin(number)
    try:
        if isinstance(task, ChunkTask):
            logs.at(job=task.job_id, chunk=task.chunk, worker=task.worker)
            return _run_chunk(number, task)
        logs.at(job=getattr(task, "job_id", None), chunk=None, worker=task.worker)
        if isinstance(task, JobTask):
            return _run_job(task)
        if isinstance(task, CallbackTask):
            return _run_callback(task)
        return pool_errands.run(task, _user, lambda task: _job(task.job_id, task.fields, task.worker))
    finally:
        _marker.rest()
        signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm that user code has left behind


class _Watch:
    """Tells the service which item runs, and the chunk whether it is to stop."""

    def __init__(self, number: int) -> None:
        self._number = number

    def begins(self, index: int) -> bool:
        _marker.item(index)
        return _marker.stops(self._number)


def _run_chunk(number: int, task: ChunkTask) -> ChunkOutcome | ChunkRefused:
    try:
        function, job = _introduced(task)
    except BaseException as error:  # noqa: BLE001 - what stands in Redis may be anything
        return refused(error, "the map's function can't be read: ")
    token = _current_job.set(job)
    try:
        return run_chunk(
            function, MapKeys(job.id), task.star, task.payload, task.limit,
            item_timeout=task.item_timeout, adapt=task.adapt, watch=_Watch(number),
        )  # fmt: skip
    finally:
        _current_job.reset(token)


def _introduced(task: ChunkTask) -> tuple[Function, Job]:
    new = task.introduction
    if new is not None:
        function = function_codec(new.job_id, star=task.star).loads(new.function)
        job = _job(new.job_id, new.fields)
        if kind_of(new.fields)[0] == MAP:  # else they are those of a helper job
            job.check()
        _maps[task.key] = function, job
        if len(_maps) > KNOWN_MAPS:
            _maps.popitem(last=False)
    return _maps[task.key]


def _job(job_id: str, fields: dict[bytes, bytes], worker: str = "") -> SignedJob:
    """The job as user code sees it; a map's pickles are always ours."""
    serializer = codec.Serializer if keys.JOB_KIND.encode() in fields else _user.load_serializer()
    kind: Any = signing_class(_user.load_job_class())
    job: SignedJob = kind(job_id, connection=connection.shared(), serializer=serializer)
    job.restore(fields)
    job.worker_name = worker or job.worker_name
    return job


def _run_job(task: JobTask) -> JobOutcome:
    """What RQ's work horse does, up to the point where the result is to be stored."""
    os.environ["RQ_WORKER_ID"], os.environ["RQ_JOB_ID"] = task.worker, task.job_id
    job: SignedJob | None = None
    began = time.time()
    before: list[Any] = []
    try:
        job = _job(task.job_id, task.fields, task.worker)
        before = [getattr(job, name) for name in _CARRIED]
        job.started_at = now()
        job._status = JobStatus.STARTED  # noqa: SLF001 - as restored from Redis a moment later
        with UnixSignalDeathPenalty(_alarm(job.timeout), JobTimeoutException, job_id=job.id):
            _check(job)
            value = job.perform()
        job.ended_at = now()
        ran = began, time.time()
        if isinstance(value, Retry):
            retry = (value.max, value.intervals, value.enqueue_at_front)
            return JobOutcome(_result(job, value), retry=retry, ran=ran, **_said(job, before))
        job._status = JobStatus.FINISHED  # noqa: SLF001 - what RQ's callbacks see
        execute_success_callback(job, UnixSignalDeathPenalty, value)
        return JobOutcome(_result(job, value), ran=ran, **_said(job, before))
    except BaseException:  # noqa: BLE001 - sys.exit() in a job is its failure, not ours
        ran = began, time.time()
        return replace(_failed(job, sys.exc_info()), ran=ran, **_said(job, before))


def _said(job: Job | None, before: list[Any]) -> dict[str, Any]:
    """What else the service must know of the job: what its code has changed, and its name for webhooks."""
    if job is None or not before:
        return {}
    changed = {name: value for name, old in zip(_CARRIED, before, strict=True)
               if (value := getattr(job, name)) is not old and value != old}  # fmt: skip
    if "_data" in changed:
        changed["_data"] = job.data  # arguments were assigned: pickled anew
    known = isinstance(job._func_name, str)  # noqa: SLF001 - the accessor would try to unpickle again
    name = job.func_name if known and job.webhooks else ""
    return {"changes": changed or None, "name": name}


def _check(job: SignedJob) -> None:
    """Refuse a job that is not signed, or whose function this worker may not call; before anything is imported."""
    job.check()
    if job.instance is None:
        imports.check(job.func_name or "")
    elif not isinstance(job.instance, Function):  # which checks itself
        kind = type(job.instance)
        imports.check(f"{kind.__module__}.{kind.__qualname__}.{job.func_name}")


def _failed(job: Job | None, exc_info: Any) -> JobOutcome:
    """Run the failure callback and the exception handlers, as RQ does, where the exception is at hand."""
    note = ""
    if job is not None:
        job._status = JobStatus.FAILED  # noqa: SLF001 - what RQ's callbacks see
        job.ended_at = now()
        try:
            execute_failure_callback(job, UnixSignalDeathPenalty, *exc_info)
        except BaseException:  # noqa: BLE001 - as in RQ: a failing callback replaces the job's exception
            exc_info = sys.exc_info()
        try:
            handlers = [handler.load() for handler in _user.exception_handlers]
            call_exception_handlers(handlers, job, *exc_info)
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


def _run_callback(task: CallbackTask) -> JobOutcome:
    try:
        job = _job(task.job_id, task.fields, task.worker)
        if task.error is None:
            job._status = JobStatus.FINISHED  # noqa: SLF001 - what RQ's callbacks see
            execute_success_callback(job, UnixSignalDeathPenalty, task.value)
            return JobOutcome()
    except BaseException as error:  # noqa: BLE001 - as in RQ: it makes the job a failed one
        return JobOutcome(error=format_exc_info(sys.exc_info()), refusal=refusals.of(error))
    failure = MapFailedError(task.error)
    return _failed(job, (MapFailedError, failure, None))
