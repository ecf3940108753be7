"""Why nobody works on a map: no worker, no scheduler, what it depends on has failed. Said to who waits for it.

It is done by others, at any moment they like: what is found is an observation, never a reason to give up.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Self

import rq
from redis.exceptions import RedisError
from rq import suspension
from rq.job import Job, JobStatus
from rq.scheduler import RQScheduler
from rq.worker.base import BaseWorker

from taskq.errors import NestedWaitError, TaskqError, WaitTimeoutError
from taskq.maps import own_feed
from taskq.maps.waited import Waited
from taskq.redis import lives, services
from taskq.redis.connection import DEFAULT_URL
from taskq.redis.urls import url_of
from taskq.views.said import say

_FIRST, _LONGEST = 1.0, 30.0  # seconds: the first and the longest pause between two looks
_STUCK = frozenset({JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED})


class Doubts:
    """Looks now and then, while nothing is heard of a map, and says what it finds on stderr, once.

    A finding is said when it was there at two looks: a worker that is restarted is away for some seconds, too.

    Args:
        job: The map's.
        said: What its user was told before.
    """

    def __init__(self, job: Waited, said: str | None = None) -> None:
        self._job = job
        self._said = {said}
        self.begin()

    def begin(self, *, for_ever: bool = False) -> Self:
        """A wait begins; what was said in others before is not said again.

        Args:
            for_ever: Its user has given it no time, and goes on when it is over, and not before.
        """
        self._for_ever = for_ever
        self._last: str | None = None
        self._pause = _FIRST
        self._due = time.monotonic() + _FIRST
        return self

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return time.monotonic() >= self._due

    def look(self) -> None:
        """Look, if it is time to.

        Raises:
            NestedWaitError: If the wait is for something that only this thread could do.
        """
        if not self.due:
            return
        own = None
        found = of(self._job) or (own := _of_own(self._job) if self._for_ever else None)
        if own and own == self._last and own_feed.is_alone():
            raise NestedWaitError(f"waiting here for the map {self._job.id} would never end: {own}")
        if found and found == self._last and found not in self._said:
            say(f"the map {self._job.id} waits: {found}")
            self._said.add(found)
        self._last = found
        self._pause = min(2 * self._pause, _LONGEST)
        self._due = time.monotonic() + self._pause


def not_in_time(job: Waited, timeout: float | None) -> WaitTimeoutError:
    """The error of a wait that is over, which says whether the map goes on."""
    why = of(job)
    how = f"nobody works on it: {why}" if why else _of_own(job) or "it goes on"
    return WaitTimeoutError(f"the map {job.id} has not ended within {timeout} s ({job.progress}); {how}")


def of(job: Waited) -> str | None:
    """Why nobody works on this map, and what to do; None if somebody may, or nothing can be learnt about it."""
    with suppress(RedisError, TaskqError):  # who waits hears of it from what he asks himself
        return None if _was_written_over(job) else _of(job)
    return None


def _of_own(job: Waited) -> str | None:
    with suppress(RedisError, TaskqError):  # as above
        return own_feed.end_of(job.store)
    return None


def _of(job: Waited) -> str | None:
    status = job.status_now()
    if status == JobStatus.DEFERRED:
        return _of_dependencies(job)
    if status == JobStatus.SCHEDULED:
        return _of_scheduler(job)
    if status not in (JobStatus.QUEUED, JobStatus.STARTED):
        return None
    if suspension.is_suspended(job.connection):
        return "RQ is suspended: `rq resume` makes the workers go on"
    if job.store.info().paused:
        return f"it is paused: `taskq resume {job.id}` makes it go on"
    return _of_workers(job)


def _was_written_over(job: Waited) -> bool:
    """Whether it has ended, and somebody saved then what he had known of it; who looks again sees the end."""
    return job.store.state() == "closed" and lives.mend(job.connection, job.id) is not None


def _of_workers(job: Waited) -> str | None:
    live, known = services.registered(job.connection)
    infos = [info for info in live if job.origin in info.queues]
    if any(not info.trouble for info in infos) or _stock_workers(job, {info.name for info in known}):
        return None
    if infos:
        return f"no service of the queue {job.origin!r} is well; {infos[0].name}: {infos[0].trouble}"
    return (
        f"no worker listens on the queue {job.origin!r} at {url_of(job.connection)}; "
        f"start one: taskq worker {job.origin}{_option(job)}"
    )


def _stock_workers(job: Waited, ours: set[str]) -> bool:
    """Whether others than ours, which have no lease, are registered with RQ, and not expired."""
    keys = rq.worker_registration.get_keys(rq.Queue(job.origin, connection=job.connection))
    others = [key for key in keys if key.removeprefix(BaseWorker.redis_worker_namespace_prefix) not in ours]
    return bool(others and job.connection.exists(*others))


def _of_scheduler(job: Waited) -> str | None:
    if job.connection.exists(RQScheduler.get_locking_key(job.origin)):
        return None
    return (
        f"it is to be tried again later, and no scheduler runs for the queue {job.origin!r} at "
        f"{url_of(job.connection)}; start one: taskq worker {job.origin} --with-scheduler{_option(job)}"
    )


def _of_dependencies(job: Waited) -> str | None:
    for name in job.dependency_ids:
        status = job.connection.hget(Job.key_for(name), "status")
        if status and status.decode() in {one.value for one in _STUCK}:
            return f"it depends on the job {name}, which has ended as {status.decode()}"
    return None


def _option(job: Waited) -> str:
    url = url_of(job.connection)
    return "" if url == DEFAULT_URL else f" --url {url}"
