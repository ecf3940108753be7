"""Records simple successes in one transaction, where RQ's own method makes three round trips for each.

The commands are those of RQ's ``handle_job_success``, made by the same parts of RQ.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import rq
from redis.exceptions import WatchError
from rq.executions import Execution
from rq.job import Job

from taskq.redis import keys, lives
from taskq.redis.patience import says_damage
from taskq_workers.service.rq.job import ServiceJob
from taskq_workers.service.rq.worker import RQWorker

T = TypeVar("T", bound=Any)

Ended = tuple[Job, rq.Queue, Execution, Any]  # and the result, or the ``Sealed`` pickle of it


def is_simple(job: Job) -> bool:
    """Whether a success of it means no more than storing the result, if no other job waits on it."""
    return not (job.repeats_left or job.has_rate_limit or job.webhooks or job.get_result_ttl(1) == 0)


def without_dependents(connection: Any, ended: list[T]) -> list[T]:
    """Those of the ``ended`` (each with a ``job``) on which no other job waits."""
    if not ended:
        return []
    if not connection.exists(*(one.job.dependents_key for one in ended)):
        return ended
    return [one for one in ended if not connection.exists(one.job.dependents_key)]


def record(worker: RQWorker, ended: list[Ended]) -> dict[str, Exception]:
    """Record them all. A dependent added in this very moment is found after the commit, as by RQ after a failure.

    What is no longer ours is passed over: its end is on record, or we were given up for dead and it runs
    elsewhere; and so is what is not there any more, or another job by now, for its id was pushed again. Watching
    the index of what we hold, and the jobs, makes sure of that up to the very commit.

    Returns:
        Job id -> why not all of its end could be recorded: what stands in its keys is not RQ's.
    """
    with worker.connection.pipeline() as pipe:
        while True:
            try:
                replies = _record(pipe, worker, ended)
            except WatchError:  # another job has just come, or was taken from us
                continue
            break
    refused = {}
    for job, queue, (*made, depended_on) in replies:
        error = next((reply for reply in made if isinstance(reply, Exception)), None)
        if error is not None and not says_damage(error):
            raise error
        if error is not None:
            refused[job.id] = error
        elif depended_on:
            worker._enqueue_dependents_safely(queue, job)
    return refused


def _record(pipe: Any, worker: RQWorker, ended: list[Ended]) -> list[tuple[Job, rq.Queue, list[Any]]]:
    """Of each that was ours what the server has replied; the last reply is whether others depend on it."""
    asked: list[tuple[int, int]] = []  # of each job the first command about it, and the last, which asks
    index = keys.held(worker.name)
    pipe.watch(index, *(job.key for job, *_rest in ended))
    held = pipe.hmget(index, [execution.composite_key for _job, _queue, execution, _value in ended])
    ended = [one for one, entry in zip(ended, held, strict=True) if entry is not None]
    others = _others(worker.connection, ended)
    pipe.multi()
    for job, _queue, execution, _value in others:
        worker.cleanup_execution(job, pipeline=pipe, execution=execution)
    ended = [one for one in ended if one not in others]
    for job, _queue, execution, value in ended:
        first = len(pipe)
        _success(pipe, worker, job, execution, value)
        asked.append((first, len(pipe)))
        pipe.exists(job.dependents_key)
    replies = pipe.execute(raise_on_error=False)
    return [
        (job, queue, replies[first : last + 1])
        for (first, last), (job, queue, _execution, _value) in zip(asked, ended, strict=True)
    ]


def _others(connection: Any, ended: list[Ended]) -> list[Ended]:
    """Those of the ended whose ids are nobody's any more, or other jobs'; these are watched."""
    with connection.pipeline(transaction=False) as pipe:  # of its own: in one round trip, behind the watch
        for job, *_rest in ended:
            pipe.hmget(job.key, "created_at", "status")
        found = pipe.execute(raise_on_error=False)
    ours = [cast("ServiceJob", job) for job, *_rest in ended]  # from ``job_of``, as all of a service
    return [
        one
        for one, job, seen in zip(ended, ours, found, strict=True)
        if not _is_there(connection, job, one[2], seen)
    ]


def _is_there(connection: Any, job: ServiceJob, execution: Execution, seen: Any) -> bool:
    """Whether a hash with these fields, when it was pushed and its status, is the job's.

    What is no hash is refused where the end is written, and said then.
    """
    return isinstance(seen, Exception) or (
        any(seen) and not lives.is_another(connection, execution.composite_key, job.made, seen[0])
    )


def _success(pipe: Any, worker: RQWorker, job: Job, execution: Execution, value: Any) -> None:
    """Queue what RQ writes at the success of a job."""
    job._result = value
    took = worker.end(job)
    ttl = job.get_result_ttl(worker.default_result_ttl)
    worker.increment_successful_job_count(pipeline=pipe)
    worker.increment_total_working_time(took, pipe)
    job._handle_success(
        ttl,
        pipeline=pipe,
        worker_name=worker.name,
        execution_id=execution.id,
        execution_started_at=execution.created_at,
        execution_ended_at=job.ended_at,
    )
    job.cleanup(ttl, pipeline=pipe, remove_from_queue=False)
    worker.cleanup_execution(job, pipeline=pipe, execution=execution)
