"""Has a failed job run again: in one transaction, where RQ's own way takes three steps."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from functools import partial
from typing import Any

import rq
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import JobStatus

from taskq.errors import ReplacedError, ResultsGoneError
from taskq.maps.source import ALL
from taskq.payload.signed_job import SignedJob
from taskq.redis import once

_FAILED = (JobStatus.FAILED.value.encode(), JobStatus.STOPPED.value.encode())


def put_back(job: Any, pipe: Any, *, at_front: bool, kept: Collection[str] = ()) -> None:
    """Write that a job waits in its queue again.

    Args:
        job: One that has failed, or was stopped.
        pipe: Which watches the job and the registry of the failed ones; nothing was written through it.
        at_front: Of the queue.
        kept: Keys that are to be there as long as the job, besides its own.

    Raises:
        rq.exceptions.InvalidJobOperation: If it has not failed.
    """
    registry = job.failed_job_registry
    # One that failed and is on no list was left so by who died in the middle of RQ's own way.
    if pipe.zscore(registry.key, job.id) is None and pipe.hget(job.key, "status") not in _FAILED:
        raise InvalidJobOperation(f"the job {job.id} has not failed: there is nothing to run again")
    queue = rq.Queue(job.origin, job.connection, job_class=type(job), serializer=job.serializer)
    job.started_at = job.ended_at = None
    job._exc_info = ""  # noqa: SLF001 - as RQ's own does
    pipe.multi()
    registry.remove(job, pipeline=pipe)
    queue._enqueue_job(job, pipeline=pipe, at_front=at_front)  # noqa: SLF001 - enqueue_job asks for dependencies again
    if job.ttl is None:  # else it goes by the limit of what has failed, while it waits
        for key in (job.key, *kept):
            pipe.persist(key)


def put_back_parts(fold: Any, *, at_front: bool) -> None:
    """Have the maps behind a fold run again as far as they have failed, before it takes what they have by then.

    They are nobody's but the fold's; the map that is folded is somebody's, and is left as it is.

    Args:
        fold: A map that has failed; of one that is no fold, nothing is done.
        at_front: Of their queue.
    """
    try:
        source = fold.store.info().terms.follows
    except ResultsGoneError:  # as who runs it will say
        return
    if source is None or not source.together:
        return
    with suppress(NoSuchJobError, ResultsGoneError, ReplacedError):  # then what it has had of it is all there is
        part = SignedJob.map_class.fetch(source.id, connection=fold.connection, serializer=fold.serializer)
        info = part.store.info()
        before = info.terms.follows
        if info.incarnation == source.incarnation and before and before.together not in (0, ALL):
            with suppress(InvalidJobOperation):  # it has not failed
                part.requeue(at_front=at_front)


def plain(job: SignedJob, at_front: bool) -> None:
    """Put a plain job back."""
    act = partial(put_back, job, at_front=at_front)
    once.transaction(job.connection, act, job.key, job.failed_job_registry.key)


SignedJob.put_back = staticmethod(plain)
