"""``taskq.aio.Job``: a plain RQ job that is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from functools import partial
from typing import Any, Generic

import rq.job
from rq.job import JobStatus
from rq.results import Result

from taskq.aio.link import Link
from taskq.aio.outage import clear_errors, through_outages
from taskq.errors import JobFailedError, RemoteTraceback, WaitTimeoutError
from taskq.maps.controlled import ENDED
from taskq.maps.result_type import R

_SAID = {JobStatus.STOPPED: "was stopped", JobStatus.CANCELED: "was cancelled"}


class Job(Generic[R]):
    """A plain job: ``await job`` is its return value.

    Made by ``taskq.aio.Queue``. A task that is cancelled while it waits waits no more; the job goes on.
    """

    def __init__(self, job: rq.job.Job, link: Link) -> None:
        self.sync = job
        """RQ's job, with all that it has; what that asks of the server blocks the loop."""
        self._link = link

    @property
    def id(self) -> str:
        """RQ's."""
        return str(self.sync.id)

    @property
    def connection(self) -> Any:
        """redis-py's, of the queue."""
        return self._link.connection

    def __await__(self) -> Generator[Any, None, R]:
        return self.get().__await__()

    @clear_errors
    async def get(self, timeout: float | None = None) -> R:
        """Wait for the job, through its retries, and return what it has returned.

        Args:
            timeout: Seconds to wait; None: for ever.

        Raises:
            JobFailedError: If it has failed, with the remote traceback as its cause; or was stopped or cancelled;
                or nothing is known of it any more.
            WaitTimeoutError: If it has not ended in time.
            ServerError: If the server refuses, or can't be reached for 30 seconds.
            SignatureError: If there is a secret key, and the result is not signed with it.
        """
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                result: R = await through_outages(self._link.hands, self.connection, self._result)
                return result
        except TimeoutError:
            if not limit.expired():
                raise
        raise WaitTimeoutError(f"the job {self.id} has not ended within {timeout} s")

    async def _result(self) -> Any:
        seen = after = "0-0"  # in its stream of results
        while True:
            seen = await self._link.ends.next(Result.get_key(self.id), after)
            after = seen
            status = await self._link.looks.status(self.sync)
            if status is None or status in ENDED:
                return await self._link.hands.ask(self._outcome, status)

    def _outcome(self, status: JobStatus | None) -> Any:
        latest = self.sync.latest_result()
        if latest is not None and latest.type == Result.Type.SUCCESSFUL and status in (None, JobStatus.FINISHED):
            return latest.return_value
        if status is None:
            raise JobFailedError(
                f"nothing is known of the job {self.id} any more: it has expired (result_ttl), or was deleted"
            )
        if status == JobStatus.FINISHED:
            return None  # RQ keeps no other result with result_ttl=0 and the like
        if status in _SAID:
            raise JobFailedError(f"the job {self.id} {_SAID[status]}")
        trace = (latest.exc_string if latest else "") or ""
        raise JobFailedError(f"the job {self.id} failed: {_last_line(trace)}") from RemoteTraceback(trace)

    @clear_errors
    async def status(self) -> JobStatus | None:
        """RQ's status, now; None: the job is gone."""
        return await self._link.looks.status(self.sync)

    @clear_errors
    async def ready(self) -> bool:
        """Whether it has ended: finished, failed, stopped or cancelled."""
        return await self._link.looks.ended(self.sync)

    @clear_errors
    async def cancel(self) -> None:
        """As RQ's: it is not begun any more.

        Raises:
            rq.exceptions.InvalidJobOperation: If it was cancelled before.
        """
        await self._link.hands.ask(partial(self.sync.cancel))

    @clear_errors
    async def delete(self) -> None:
        """As RQ's."""
        await self._link.hands.ask(self.sync.delete)

    def __repr__(self) -> str:
        return f"<taskq.aio.Job {self.id}>"


def _last_line(trace: str) -> str:
    lines = trace.strip().splitlines()
    return lines[-1].strip() if lines else "no reason was recorded"
