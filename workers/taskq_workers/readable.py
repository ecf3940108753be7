"""Which jobs RQ's own code can work with. A job's hash may hold anything, and RQ reads most of it unseen.

What RQ can't work with it raises at, often only after the job has run, and for all that it had in hand at that
moment: one job whose dependencies are a list of lists would keep a whole queue's from being scheduled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from redis.exceptions import ResponseError, WatchError
from rq.defaults import DEFAULT_FAILURE_TTL
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.results import Result

from taskq.errors import DamagedError
from taskq.payload.sealed import SealedSerializer
from taskq.redis import checked, ids, keys, lives
from taskq.redis.patience import says_damage
from taskq_workers import clock

log = logging.getLogger(__name__)

MOST = 10**10  # seconds, tries, ...: above it no time of RQ's, or of Redis's, can be reckoned with

_NUMBERS = ("timeout", "ttl", "result_ttl", "failure_ttl", "number_of_retries", "retries_left", "repeats_left",
            "rate_limit_concurrency", "_success_callback_timeout", "_failure_callback_timeout",
            "_stopped_callback_timeout")  # fmt: skip


def check(job: Job) -> None:
    """See that what was read of a job can be reckoned with, and written again.

    Raises:
        DamagedError: If not; says what of it.
    """
    for name in _NUMBERS:
        value = getattr(job, name)
        if value is not None and not (_is_number(value) and -MOST <= value <= MOST):
            raise _damaged(job, name.strip("_"), value)
    for name in ("retry_intervals", "repeat_intervals"):
        value = getattr(job, name)
        if value is not None and not _are_seconds(value):
            raise _damaged(job, name, value)
    dependencies = job._dependency_ids  # noqa: SLF001 - the accessor would ask the server
    if not (
        isinstance(dependencies, list) and all(isinstance(one, str) and ids.read(one) for one in dependencies)
    ):
        raise _damaged(job, "dependency_ids", dependencies)
    for webhook in job.webhooks:
        if webhook.timeout > MOST:
            raise _damaged(job, "webhooks", webhook.timeout)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_seconds(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_number(one) and 0 <= one <= MOST for one in value)


def _damaged(job: Job, field: str, value: object) -> DamagedError:
    return DamagedError(f"the {field} of the job {job.id} can't be {value!r:.100}")


def fail(
    connection: Any,
    queue: str,
    job_id: str,
    why: str,
    execution: Execution | None = None,
    worker: str = "",
    made: bytes | None = None,
) -> None:
    """Record the failure of a job with which RQ's code can't do it, as far as its keys let us.

    Args:
        connection: To Redis.
        queue: Name of the job's queue.
        job_id: What a job can have.
        why: For people.
        execution: Of the job, to be struck off.
        worker: Name of the RQ worker.
        made: When the job of the execution was pushed, as its hash had it: if another has got its id, or none is
            there, that does not fail, and only the execution is struck off. None: whatever is there.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached, or refuses.
    """
    log.error("job %s fails: %s", job_id, why, extra={"action": "bad_job", "job": job_id})
    job = Job(job_id, connection=connection, serializer=SealedSerializer)
    with connection.pipeline() as pipe:
        while True:
            pipe.watch(job.key)
            there = made is None or execution is None or _is_still(pipe, job.key, execution, made)
            pipe.multi()
            if there:
                lapses = clock.SERVER.now() + DEFAULT_FAILURE_TTL
                pipe.zadd(FailedJobRegistry(queue, connection).key, {job_id: lapses})
                Result.create_failure(job, DEFAULT_FAILURE_TTL, why, worker, pipeline=pipe)
            if execution is not None:
                pipe.delete(execution.key)
                pipe.zrem(StartedJobRegistry(queue, connection).key, execution.composite_key)
                pipe.zrem(ExecutionRegistry(job_id, connection).key, execution.id)
                pipe.srem(execution.worker_executions_key, execution.composite_key)
                pipe.hdel(keys.held(worker), execution.composite_key)
            if there:
                pipe.hset(job.key, "status", JobStatus.FAILED.value)
                pipe.expire(job.key, DEFAULT_FAILURE_TTL)
            with suppress(WatchError):
                pipe.execute(raise_on_error=False)  # whatever one of these keys holds, the others are written
                return


def _is_still(pipe: Any, key: str, execution: Execution, made: bytes) -> bool:
    """Whether the job at this key is the one that was pushed then, as far as can be seen."""
    try:
        if not pipe.exists(key):
            return False
        seen = pipe.hget(key, "created_at")
        return not lives.is_another(pipe, execution.composite_key, made, seen)
    except ResponseError as error:
        if not says_damage(error):
            raise
        return True


def sift(
    connection: Any,
    queue: str,
    key: str,
    members: Iterable[bytes],
    id_of: Callable[[bytes], str | None] = ids.read,
) -> int:
    """Take out of one of RQ's sets what its own code would stumble over; how many there were. Such jobs fail.

    Args:
        connection: To Redis.
        queue: Name of that of the jobs.
        key: Of the set, sorted or not.
        members: Of it, that are looked at: job ids, or what ``id_of`` finds one in.
        id_of: The job's id; None if it is none that a job can have.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached.
    """
    found = 0
    remove = connection.srem if checked.is_a(connection, key, "set") else connection.zrem
    for member in members:
        job_id = id_of(member)
        if not (why := _trouble(connection, job_id)):
            continue
        found += 1
        remove(key, member)
        if job_id is None:
            log.error("%.100r is taken out of %s: %s", member, key, why, extra={"action": "bad_id"})
        else:
            fail(connection, queue, job_id, why)
    return found


def _trouble(connection: Any, job_id: str | None) -> str:
    """What is wrong with this job; empty if nothing is, or there is no such job, which RQ sees itself."""
    if job_id is None:
        return "no job can have this id"
    key = Job.key_for(job_id)
    if not checked.is_a(connection, key, "hash"):
        return "there is no hash of a job"
    fields = connection.hgetall(key)
    return _unreadable(connection, job_id, fields) if fields else ""


def _unreadable(connection: Any, job_id: str, fields: dict[bytes, bytes]) -> str:
    job = Job(job_id, connection=connection, serializer=SealedSerializer)
    try:
        job.restore(fields)
        check(job)
    except Exception as error:  # noqa: BLE001 - whatever RQ raises at what it can't read
        return f"{type(error).__name__}: {error}"
    if not checked.is_a(connection, job.dependencies_key, "set"):
        return "its dependencies are no set"
    if not all(map(ids.read, connection.smembers(job.dependencies_key))):
        return "it depends on what can be no job"
    return ""
