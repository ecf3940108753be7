"""``taskq.aio.MapJob``: a map that is awaited, and iterated over with ``async for``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Literal, TypeVar, cast, overload

from rq.exceptions import InvalidJobOperation

from taskq.aio.link import Link
from taskq.aio.outage import clear_errors, through_outages
from taskq.errors import TaskqError
from taskq.maps import job as sync_job
from taskq.maps import values as sync_values
from taskq.maps.doubts import not_in_time
from taskq.maps.result_type import R
from taskq.maps.values import Errors, check_errors
from taskq.views.progress import Progress

V = TypeVar("V")
A = TypeVar("A")

_PACE = 0.002  # seconds to let pass after a commit, so that there are fewer looks
_TOGETHER = 1000  # results that are made ready at once


class MapJob(Generic[R]):
    """A map: ``await job`` is what ``get`` returns, ``async for`` gives its results as they complete.

    Made by ``taskq.aio.Queue``. All that is said of ``taskq.MapJob`` holds. A task that is cancelled while it
    waits waits no more; the map goes on, unless ``cancel_map`` says otherwise.
    """

    def __init__(self, job: sync_job.MapJob[R], link: Link) -> None:
        self.sync = job
        """The same as a ``taskq.MapJob``, with all that it has; what that asks of the server blocks the loop."""
        self._link = link
        self._feeding: asyncio.Task[None] | None = None  # what its items come from
        self._fault_told = False

    @property
    def id(self) -> str:
        """RQ's."""
        return str(self.sync.id)

    @property
    def connection(self) -> Any:
        """redis-py's, of the queue."""
        return self._link.connection

    def __await__(self) -> Generator[Any, None, list[R]]:
        return self.get().__await__()

    @overload
    async def get(
        self, timeout: float | None = None, errors: Literal["raise"] = "raise", *, cancel_map: bool = False
    ) -> list[R]: ...
    @overload
    async def get(
        self, timeout: float | None = None, *, errors: Literal["return"], cancel_map: bool = False
    ) -> list[R | BaseException]: ...
    async def get(
        self, timeout: float | None = None, errors: Errors = "raise", *, cancel_map: bool = False
    ) -> list[Any]:
        """Wait for the map and return its results in the order of the items.

        Args:
            timeout: Seconds to wait; None: for ever.
            errors: As of ``taskq.MapJob.get``.
            cancel_map: Cancel the map, too, if this task is cancelled while it waits. ``asyncio.timeout`` and
                ``asyncio.wait_for`` cancel, ``timeout=`` does not.

        Raises:
            As ``taskq.MapJob.get``; and what the items' ``async for`` has raised, if they came from one.
        """
        check_errors(errors)
        answer = await self._at_end(partial(self.sync.answer, errors), timeout, cancel_map=cancel_map)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def count(self, timeout: float | None = None, *, cancel_map: bool = False) -> int:
        """Wait for the map, and tell how many of its items have a result, without reading any.

        Args:
            timeout: As of ``get``, with the next one.
            cancel_map: As of ``get``.

        Raises:
            As ``taskq.MapJob.count``.
        """
        answer = await self._at_end(self.sync.answer_count, timeout, cancel_map=cancel_map)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @clear_errors
    async def wait(self, timeout: float | None = None, *, cancel_map: bool = False) -> bool:
        """Wait until the map has ended, or for so many seconds; returns whether it has.

        Args:
            timeout: As of ``get``, with the next one.
            cancel_map: As of ``get``.

        Raises:
            ServerError: If the server refuses, or can't be reached for 30 seconds.
            NestedWaitError, DamagedError: As ``taskq.MapJob.wait``.
        """
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                await self._through(self._until_end, cancel_map=cancel_map)
        except TimeoutError:
            if not limit.expired():
                raise
            return await self._link.looks.ended(self.sync)
        return True

    @clear_errors
    async def _at_end(self, read: Callable[[], A], timeout: float | None, *, cancel_map: bool) -> A:
        limit = asyncio.timeout(timeout)

        async def ask() -> A:
            await self._until_end()
            return await self._link.hands.ask(read)

        try:
            async with limit:
                return await self._through(ask, cancel_map=cancel_map)
        except TimeoutError:
            if not limit.expired():
                raise
        raise await self._link.hands.ask(not_in_time, self.sync, timeout)

    async def _through(self, ask: Callable[[], Awaitable[A]], *, cancel_map: bool) -> A:
        try:
            await self.fed()
            return await through_outages(self._link.hands, self.connection, ask)
        except asyncio.CancelledError:
            if cancel_map:
                self._link.hands.later(_cancel, self.sync)
            raise

    async def _until_end(self) -> None:
        async with self._link.waiting(self.sync, progress=False) as something_new:
            await something_new()
            while not await self._link.looks.ended(self.sync):
                await something_new()

    # -- items that come from an async for -----------------------------------------------------------------

    def fed_by(self, feeding: asyncio.Task[None]) -> None:
        """Its items come through this task; what that raises, who waits for the map hears."""
        self._feeding = feeding

    async def fed(self) -> None:
        """Wait until all of its items are put; raises what has kept it from that."""
        await self.feeding_ended()
        if (fault := self.fault()) is not None:
            self._fault_told = True
            raise fault

    async def feeding_ended(self) -> None:
        """Wait until nothing more is put, for whatever reason."""
        if self._feeding is not None:
            await asyncio.wait([self._feeding])  # and not itself: who is cancelled here cancels nothing there

    def fault(self) -> BaseException | None:
        """What has kept it from getting all of its items; None: nothing, as far as is known."""
        task = self._feeding
        if task is None or not task.done():
            return None
        return asyncio.CancelledError("the queue was closed") if task.cancelled() else task.exception()

    @property
    def fault_told(self) -> bool:
        """Whether somebody has heard of it."""
        return self._fault_told

    def instead_of(self, error: BaseException) -> BaseException:
        """What to raise for this error of the map's: the map was cancelled by what its items came from."""
        fault = self.fault()
        if fault is None or not isinstance(error, TaskqError):
            return error
        self._fault_told = True
        return fault

    # -- as they come --------------------------------------------------------------------------------------

    def __aiter__(self) -> Values[R]:
        return self.as_completed()

    @overload
    def in_order(self, start: int = 0, errors: Literal["raise"] = "raise") -> Values[R]: ...
    @overload
    def in_order(self, start: int = 0, *, errors: Literal["return"]) -> Values[R | BaseException]: ...
    def in_order(self, start: int = 0, errors: Errors = "raise") -> Values[Any]:
        """As ``taskq.MapJob.in_order``, for ``async for``; what that raises, ``anext`` does."""
        made: Any = self.sync.in_order
        return Values(self, made(start, errors=errors), self._link)

    @overload
    def as_completed(self, start: int = 0, errors: Literal["raise"] = "raise") -> Values[R]: ...
    @overload
    def as_completed(self, start: int = 0, *, errors: Literal["return"]) -> Values[R | BaseException]: ...
    def as_completed(self, start: int = 0, errors: Errors = "raise") -> Values[Any]:
        """As ``taskq.MapJob.as_completed``, for ``async for``."""
        made: Any = self.sync.as_completed
        return Values(self, made(start, errors=errors), self._link)

    @overload
    def results_by_index(self, start: int = 0, errors: Literal["raise"] = "raise") -> Values[tuple[int, R]]: ...
    @overload
    def results_by_index(
        self, start: int = 0, *, errors: Literal["return"]
    ) -> Values[tuple[int, R | BaseException]]: ...
    def results_by_index(self, start: int = 0, errors: Errors = "raise") -> Values[Any]:
        """As ``taskq.MapJob.results_by_index``, for ``async for``."""
        made: Any = self.sync.results_by_index
        return Values(self, made(start, errors=errors), self._link)

    # -- what is asked of it -------------------------------------------------------------------------------

    @clear_errors
    async def ready(self) -> bool:
        """Whether it has ended: finished, failed, stopped or cancelled."""
        return await self._link.looks.ended(self.sync)

    async def progress(self) -> Progress:
        """How far it is, now."""
        return await self._link.hands.ask(lambda: self.sync.progress)

    @clear_errors
    async def cancel(self, *, kill: bool = False) -> None:
        """As ``taskq.MapJob.cancel``; of a map that has ended, nothing but what ``kill`` says."""
        await self._link.hands.ask(partial(_cancel, self.sync, kill=kill))

    @clear_errors
    async def delete(self) -> None:
        """As ``taskq.MapJob.delete``."""
        await self._link.hands.ask(self.sync.delete)

    @clear_errors
    async def pause(self) -> None:
        """As ``taskq.MapJob.pause``."""
        await self._link.hands.ask(self.sync.pause)

    @clear_errors
    async def resume(self) -> None:
        """As ``taskq.MapJob.resume``."""
        await self._link.hands.ask(self.sync.resume)

    def __repr__(self) -> str:
        return f"<taskq.aio.{type(self).__name__} {self.id}>"


class Values(AsyncIterator[V]):
    """An iterator over a map's results, for ``async for``: see ``taskq.MapJob.in_order``.

    It reads ahead what is there, 1,000 results or a little more than 8 MiB at most, and holds no connection.
    """

    def __init__(self, job: MapJob[Any], values: sync_values.Values[V], link: Link) -> None:
        self._job, self._values, self._link = job, values, link
        self._told: deque[sync_values.Ready] = deque()
        self._position = values.position

    @property
    def position(self) -> int:
        """What to give as ``start``, for an iterator that is to go on behind what this one has given."""
        return self._position

    @property
    def over(self) -> bool:
        """Whether nothing more is given."""
        return self._values.over and not self._told

    @property
    def connection(self) -> Any:
        """redis-py's, of the queue."""
        return self._link.connection

    async def __anext__(self) -> V:
        if not self._told:
            await self._take()
        if not self._told:
            raise StopAsyncIteration
        there, value, self._position = self._told.popleft()
        if there:
            return cast("V", value)
        if isinstance(value, StopIteration):
            raise StopAsyncIteration
        raise self._job.instead_of(value) if self.over else value

    @clear_errors
    async def _take(self) -> None:
        try:
            await through_outages(self._link.hands, self.connection, self._new)
        except TaskqError as error:
            if (other := self._job.instead_of(error)) is not error:
                raise other from error
            raise

    async def _new(self) -> None:
        if await self._link.hands.ask(self._read):
            return
        async with self._link.waiting(self._job.sync, progress=True) as something_new:
            await something_new()
            while not await self._link.hands.ask(self._read):
                await something_new()
                await asyncio.sleep(_PACE)

    def _read(self) -> bool:
        """Make ready what there is; whether that is something, or the end.

        It is kept here and now: a task that is cancelled meanwhile gets no answer, and comes again.
        """
        if not self._told:
            self._told.extend(self._values.ready(_TOGETHER))
        return bool(self._told) or self._values.over


def _cancel(job: Any, *, kill: bool = False) -> None:
    with suppress(InvalidJobOperation):  # it has ended
        job.cancel(kill=kill)
