"""Whether a job's hash still tells the truth: of the run that a worker has, and of how the job has ended.

An id may be pushed again while its former job runs. And RQ's ``Job.save`` writes all that an object knows,
whatever has become of the job since it was read: a producer that saves what it fetched before the job began writes
"queued" over "started", or over "finished", and one that holds an object of a former life writes that one's time
over this one's. RQ's worker ends such a job as any other, and so do we. What tells then is where RQ has its id.
"""

from __future__ import annotations

from typing import Any

import rq
from redis.exceptions import WatchError
from rq.executions import ExecutionRegistry
from rq.job import Job
from rq.registry import (
    BaseRegistry,
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
)

from taskq.redis import clock, kinds

_ENDS: dict[bytes, type[BaseRegistry]] = {
    b"finished": FinishedJobRegistry,
    b"failed": FailedJobRegistry,
    b"stopped": FailedJobRegistry,
    b"canceled": CanceledJobRegistry,
}


def is_over(connection: Any, job_id: str, status: bytes | None) -> bool:
    """Whether a job with this status has ended: RQ's registry of such jobs has it, or its hash is gone.

    Args:
        connection: To Redis; or a pipeline that reads at once (as below).
        job_id: The job's.
        status: What stands in its hash.
    """
    if status in _ENDS and _is_in(connection, _ENDS[status], job_id, _origin(connection, job_id)):
        return True
    return not connection.exists(Job.key_for(job_id))  # also if it was deleted since its status was read


def is_another(connection: Any, run: str, made: bytes, seen: bytes | None) -> bool:
    """Whether a job's hash, as it stands there, is another job's than the one that runs.

    Args:
        connection: To Redis.
        run: RQ's word for the execution: job id and execution id.
        made: When the job was pushed, as its hash had it when it began.
        seen: What stands there now.
    """
    if not kinds.is_other(made, seen):
        return False
    # Who pushes draws a new time. An older one is a former object's, saved over ours; unless a host's clock is
    # slow, and then the new job waits somewhere, or runs.
    return kinds.is_later(seen, made) or is_elsewhere(connection, run)


def is_elsewhere(connection: Any, run: str) -> bool:
    """Whether a job waits in one of RQ's lists, or runs as another execution than this one; arguments as above.

    What another service takes in this very moment, and has not begun, is not seen.
    """
    job_id, _colon, execution = run.partition(":")
    name = _origin(connection, job_id)
    queue = rq.Queue(name, connection=connection)
    if any(connection.lpos(key, job_id) is not None for key in (queue.key, queue.intermediate_queue_key)):
        return True
    if any(_is_in(connection, one, job_id, name) for one in (ScheduledJobRegistry, DeferredJobRegistry)):
        return True
    beating = connection.zrangebyscore(ExecutionRegistry(job_id, connection).key, clock.ask(connection), "+inf")
    return any(one != execution.encode() for one in beating)


def mend(connection: Any, job_id: str) -> bytes | None:
    """Write how a job has ended over a status that says it has not; what was written, None: it was left as it is.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached, or refuses.
    """
    key = Job.key_for(job_id)
    with connection.pipeline() as pipe:
        pipe.watch(key)
        name = _origin(pipe, job_id)
        ends = [end for end in (b"finished", b"failed", b"canceled") if _is_in(pipe, _ENDS[end], job_id, name)]
        if len(ends) != 1 or pipe.hget(key, "status") in {*_ENDS, None} or is_elsewhere(pipe, f"{job_id}:"):
            return None
        pipe.multi()
        pipe.hset(key, "status", ends[0])
        try:
            pipe.execute()
        except WatchError:  # it has just changed: it is looked at again
            return None
    return ends[0]


def _is_in(connection: Any, registry: type[BaseRegistry], job_id: str, queue: str) -> bool:
    return connection.zscore(registry(queue, connection).key, job_id) is not None


def _origin(connection: Any, job_id: str) -> str:
    return (connection.hget(Job.key_for(job_id), "origin") or b"").decode("utf-8", "replace")
