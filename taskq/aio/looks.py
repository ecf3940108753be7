"""Looks whether jobs have ended, for all who want to know at the same moment with one round trip."""

from __future__ import annotations

import asyncio
from typing import Any

from rq.job import JobStatus

from taskq.aio.hands import Hands
from taskq.errors import TaskqError
from taskq.maps.controlled import ENDED, STATUS
from taskq.maps.doubts import Doubts

_TOGETHER = 1000  # jobs of one round trip

Asked = tuple[Any, "asyncio.Future[JobStatus | None]"]


class Looks:
    """Tells the status of jobs.

    Args:
        connection: To the server, of redis-py.
        hands: Ask.
    """

    def __init__(self, connection: Any, hands: Hands) -> None:
        self._connection, self._hands = connection, hands
        self._asked: list[Asked] = []
        self._task: asyncio.Task[None] | None = None
        self._doubting = asyncio.Lock()

    async def status(self, job: Any) -> JobStatus | None:
        """Its status, None: it is gone. Raises as ``MapJob.status_now``."""
        told: asyncio.Future[JobStatus | None] = asyncio.get_running_loop().create_future()
        self._asked.append((job, told))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask_all(), name="taskq aio looks")
        return await told

    async def ended(self, job: Any) -> bool:
        """Whether it has ended, or is gone; raises as ``status``."""
        status = await self.status(job)
        return status is None or status in ENDED

    async def doubt(self, doubts: Doubts) -> None:
        """Look why nobody works on a map, if that is due; one at a time, for it takes several round trips."""
        if not self._doubting.locked():
            async with self._doubting:
                await self._hands.ask(doubts.look)

    async def _ask_all(self) -> None:
        while self._asked:
            asked, self._asked = self._asked[:_TOGETHER], self._asked[_TOGETHER:]
            try:
                found = await self._hands.ask(self._statuses, [job for job, _told in asked])
            except Exception as error:  # noqa: BLE001 - it is each one's own
                found = [error] * len(asked)
            for (_job, told), one in zip(asked, found, strict=True):
                if told.done():  # who has asked was cancelled
                    continue
                if isinstance(one, Exception):
                    told.set_exception(one)
                else:
                    told.set_result(one)

    def _statuses(self, jobs: list[Any]) -> list[Any]:
        with self._connection.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hmget(job.key, STATUS)
            raw = pipe.execute()
        return [_status(job, one) for job, one in zip(jobs, raw, strict=True)]


def _status(job: Any, found: list[bytes | None]) -> Any:
    try:
        if hasattr(job, "status_of"):
            return job.status_of(found)
        return JobStatus(found[-1].decode()) if found[-1] else None
    except (TaskqError, ValueError) as error:
        return error
