"""Whether a job's hash still tells of the run that a worker has.

An id may be pushed again while its former job runs. And RQ's ``Job.save`` writes all that an object knows,
whatever has become of the job since it was read: a producer that saves what it fetched before the job began writes
"queued" over "started", and one that holds an object of a former life writes that one's time over this one's. RQ's
worker ends such a job as any other, and so do we.
"""

from __future__ import annotations

from typing import Any

import rq
from rq.executions import ExecutionRegistry
from rq.job import Job
from rq.registry import DeferredJobRegistry, ScheduledJobRegistry

from taskq.redis import kinds
from taskq_workers import clock

ENDED = frozenset({b"finished", b"failed", b"stopped", b"canceled"})
"""What stands there of a job that nobody is to run."""


def is_another(connection: Any, run: str, made: bytes, seen: bytes | None) -> bool:
    """Whether a job's hash, as it stands there, is another job's than the one that runs.

    Args:
        connection: To Redis; or a pipeline that watches the job, and reads at once.
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
    name = (connection.hget(Job.key_for(job_id), "origin") or b"").decode("utf-8", "replace")
    queue = rq.Queue(name, connection=connection)
    if any(connection.lpos(key, job_id) is not None for key in (queue.key, queue.intermediate_queue_key)) or any(
        connection.zscore(registry(name, connection).key, job_id) is not None
        for registry in (ScheduledJobRegistry, DeferredJobRegistry)
    ):
        return True
    beating = connection.zrangebyscore(ExecutionRegistry(job_id, connection).key, clock.SERVER.now(), "+inf")
    return any(one != execution.encode() for one in beating)
