"""Runs errands inside a pool process: what they are for says ``errands.py``."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, cast

from rq import worker_registration
from rq.callbacks import execute_stopped_callback
from rq.group import Group
from rq.job import Job, JobStatus
from rq.job_lifecycle import format_exc_info
from rq.registry import ReadyJobRegistry, StartedJobRegistry, clean_registries
from rq.timeouts import UnixSignalDeathPenalty

from taskq.maps import own_end
from taskq.payload.signed_job import signing_class
from taskq.redis import connection, holdings, ids
from taskq_workers import clock, readable, webhooks
from taskq_workers.link.tasks import ErrandTask, JobOutcome, KilledTask, MaintenanceTask, StoppedTask, WebhookTask
from taskq_workers.process import around
from taskq_workers.process.jobs import job_of, user_code

log = logging.getLogger(__name__)

_private_webhooks = False


def use(*, private_webhooks: bool) -> None:
    """Say whether webhooks may be sent to any address."""
    global _private_webhooks  # noqa: PLW0603 - a process has one rule
    _private_webhooks = private_webhooks


def run(task: ErrandTask) -> JobOutcome:
    """Run one. Never raises."""
    try:
        with around.ready():  # also for handlers and classes, which cleaning and webhooks load
            _run(task)
    except BaseException:  # noqa: BLE001 - user code may do anything; the service only logs it, as RQ does
        return JobOutcome(error=format_exc_info(sys.exc_info()))
    return JobOutcome()


def _run(task: ErrandTask) -> None:
    if isinstance(task, MaintenanceTask):
        with clock.followed():
            _clean(task)
    elif isinstance(task, StoppedTask):
        job = _started(task)
        with own_end.about_to_be(JobStatus.STOPPED, job):
            around.call(execute_stopped_callback, job, UnixSignalDeathPenalty)
    elif isinstance(task, KilledTask):
        handler = user_code().work_horse_killed_handler
        assert handler is not None
        around.call(handler, _started(task), task.pid, task.status, None)
    else:
        _send(task, _job_of(task))


def _job_of(task: StoppedTask | KilledTask | WebhookTask) -> Job:
    return job_of(task.job_id, task.fields, task.worker)


def _started(task: StoppedTask | KilledTask) -> Job:
    """The job as RQ's callbacks see it: it runs, as far as they can tell."""
    job = _job_of(task)
    job._status = JobStatus.STARTED  # noqa: SLF001 - as it stands in Redis
    job.started_at = datetime.fromtimestamp(task.began, UTC)
    return job


def _send(task: WebhookTask, job: Job) -> None:
    job._status = JobStatus(task.status)  # noqa: SLF001 - as it is on record by now
    job.ended_at = datetime.fromtimestamp(task.ended, UTC)
    webhooks.send_all(job, task.status, task.error, private=_private_webhooks)


class _Sends:
    """What RQ's cleaning has sent of a job that it gives up."""

    def send_webhooks(self, status: str | JobStatus, *, exc_string: str | None = None) -> None:
        webhooks.send_all(cast("Job", self), JobStatus(status).value, exc_string, private=_private_webhooks)


def _job_class(base: type[Job]) -> type[Job]:
    return type(base.__name__, (_Sends, base), {"__module__": base.__module__})


def _clean(task: MaintenanceTask) -> None:
    """What RQ's ``run_maintenance_tasks`` does, but for the intermediate lists.

    RQ fails a job that it finds stuck there for a minute; our services put it back (``intake.Stranded``). And it
    fails one whose execution nobody has beaten for; what a service of ours holds is not abandoned, whatever RQ's
    registry says of it: either that service lives, or somebody takes over from it.
    """
    user, redis = user_code(), connection.connect(retries=0)
    job_class, serializer = _job_class(signing_class(user.load_job_class())), user.load_serializer()
    handlers = [handler.load() for handler in user.exception_handlers]
    failed: Exception | None = None
    clock.SERVER.measure(redis)
    try:
        for name in task.queues:
            queue = user.load_queue_class()(name, connection=redis, job_class=job_class, serializer=serializer)
            if queue.acquire_maintenance_lock():
                try:
                    _clean_queue(queue, handlers)
                except Exception as error:  # noqa: BLE001 - told at the end, for the other queues are in no worse state
                    failed = error
                finally:
                    queue.release_maintenance_lock()
        if Group.acquire_maintenance_lock(redis, max(task.interval - 1, 1)):
            Group.clean_registries(connection=redis)
    finally:
        redis.close()
    if failed is not None:
        raise failed


def _clean_queue(queue: Any, handlers: list[Any]) -> None:
    holdings.vouch(queue.connection, StartedJobRegistry(queue=queue).key, queue.name)
    try:
        clean_registries(queue, handlers)
    except Exception:
        if not _sift(queue):
            raise
        clean_registries(queue, handlers)
    worker_registration.clean_worker_registry(queue)


def _sift(queue: Any) -> int:
    """Take out of a queue's registries what RQ can't clean; of what runs, only the abandoned is looked at."""
    redis = queue.connection
    started, ready = StartedJobRegistry(queue=queue).key, ReadyJobRegistry(queue=queue).key
    abandoned, waiting = redis.zrangebyscore(started, 0, clock.SERVER.now()), redis.zrange(ready, 0, -1)
    found = readable.sift(redis, queue.name, started, abandoned, ids.of_execution)
    return found + readable.sift(redis, queue.name, ready, waiting)
