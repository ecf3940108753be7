"""``taskq.aio.Queue.imap``: results while the items are read, a bounded number of both at any moment.

    iterable ──sender──> open maps ──workers──> results ──caller──> anext(...)
                 ^                                            |
                 └───── waits while too many are not taken ───┘

As ``taskq.maps.lazy`` has it, behind it is a row of open maps, and a map is deleted when its results are taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from taskq.aio.link import Link
from taskq.aio.map_job import Values
from taskq.aio.open_map import OpenMap
from taskq.aio.outage import clear_errors
from taskq.aio.source import Items, batches
from taskq.errors import PayloadError
from taskq.maps.lazy import ITEMS, remove

R = TypeVar("R")


class Lazy(AsyncIterator[R]):
    """An iterator over results; an asynchronous context manager, too, which ends it.

    Nothing is left on the server at its end, after ``aclose()``, when it is collected as garbage, or at the end of
    its queue's block.

    Args:
        flow: What it is the end of.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow  # the task that sends knows that, and not this: so it can be garbage while that runs

    async def __anext__(self) -> R:
        there, value = await self._flow.take()
        if not there:
            raise value
        return cast("R", value)

    async def aclose(self) -> None:
        """Read nothing more, cancel what runs, and delete all there is of it."""
        await self._flow.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._flow.drop()


class Flow:
    """Items on their way out, results on their way in.

    Args:
        link: To the server.
        opens: Makes the next open map.
        items: Read some way ahead and no further.
        buffersize: Items that may have been read, and whose results are not taken.
        in_order: Of the items; else as completed.
    """

    def __init__(
        self, link: Link, opens: Callable[[], Awaitable[OpenMap[Any, Any]]], items: Items, buffersize: int, *,
        in_order: bool,
    ) -> None:  # fmt: skip
        self._link, self.connection, self._opens, self._items = link, link.connection, opens, items
        self._buffersize, self._in_order = buffersize, in_order
        self._loop = asyncio.get_running_loop()
        self._change = asyncio.Event()
        self._maps: deque[OpenMap[Any, Any]] = deque()  # whose results are not all taken
        self._values: Values[Any] | None = None  # of the first of these
        self._read = self._taken = 0
        self._sent = False  # there will be no other maps
        self._error: BaseException | None = None  # what the iterable has raised, behind all that it gave
        self._trouble: BaseException | None = None  # why no more can be sent
        self._task: asyncio.Task[None] | None = None

    # -- in the task that sends ----------------------------------------------------------------------------

    async def _send(self) -> None:
        try:
            await self._send_all()
        except PayloadError as error:  # of an item, as if the iterable had raised it
            self._error = error
        except Exception as error:  # noqa: BLE001 - raised where the results are taken
            self._trouble = error
        self._sent = True
        self._change.set()

    async def _send_all(self) -> None:
        job, sent = None, 0
        async with aclosing(self._batches()) as all_batches:
            async for batch in all_batches:
                if job is None:
                    job, sent = await self._opens(), 0
                    self._maps.append(job)
                    self._change.set()
                self._read += len(batch)
                try:
                    await job.put_many(batch)
                except PayloadError:  # of an item: those before it are run
                    await job.seal()
                    raise
                sent += len(batch)
                if sent >= max(ITEMS, 4 * self._buffersize):
                    await job.seal()
                    job = None
        if job is not None:
            await job.seal()

    async def _batches(self) -> AsyncGenerator[list[Any]]:
        try:
            async with aclosing(batches(self._items, self._link.hands, self._room)) as all_batches:
                async for batch in all_batches:
                    yield batch
        except Exception as error:  # noqa: BLE001 - the iterable's own
            self._error = error

    async def _room(self) -> int:
        while (room := self._buffersize - (self._read - self._taken)) <= 0:
            self._change.clear()
            await self._change.wait()
        return room

    # -- for the caller ------------------------------------------------------------------------------------

    @clear_errors
    async def take(self) -> tuple[bool, Any]:
        """The next result, once it is there; or what item or iterable have raised, or StopAsyncIteration."""
        if self._task is None and not self._sent:
            self._task = self._link.go(self._send(), "taskq aio imap sends")
        while True:
            if self._trouble is not None:
                trouble = self._trouble
                await self.close()
                raise trouble
            if not self._maps and self._sent:
                error, self._error = self._error, None
                return False, StopAsyncIteration() if error is None else error
            if not self._maps:
                self._change.clear()
                await self._change.wait()
                continue
            if (found := await self._of_first(self._maps[0])) is not None:
                self._taken += 1
                self._change.set()
                return found

    async def _of_first(self, job: OpenMap[Any, Any]) -> tuple[bool, Any] | None:
        """The next of this map; None: it has no more."""
        values = self._values = self._values or (job.in_order() if self._in_order else job.as_completed())
        try:
            return True, await anext(values)
        except StopAsyncIteration:
            self._values = None
            self._maps.popleft()
            await self._link.hands.ask(remove, job.sync)
            return None
        except Exception as error:
            if values.over:  # it is the map's, and no item's
                await self.close()
                raise
            return False, error

    async def close(self) -> None:
        """As ``Lazy.aclose``."""
        self._sent, self._error, self._trouble = True, None, None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        maps = list(self._maps)
        self._maps.clear()
        self._values = None
        for job in maps:
            await self._link.hands.ask(remove, job.sync)

    def drop(self) -> None:
        """Nobody takes any more; called from wherever garbage is collected."""
        if self._maps or (self._task is not None and not self._task.done()):
            with suppress(RuntimeError):  # the loop has ended, and with it the map's lease
                self._loop.call_soon_threadsafe(self.abandon)

    def abandon(self) -> None:
        """As ``close``, for who can't wait."""
        self._sent = True
        if self._task is not None:
            self._task.cancel()
        for job in self._maps:
            self._link.hands.later(remove, job.sync)
        self._maps.clear()
