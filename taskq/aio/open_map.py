"""``taskq.aio.OpenMap``: a map whose items come while it runs, put by tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Generator, Iterable
from contextlib import aclosing, suppress
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self

from rq.exceptions import InvalidJobOperation

from taskq.aio.link import Link
from taskq.aio.map_job import MapJob
from taskq.aio.outage import clear_errors
from taskq.aio.source import batches
from taskq.errors import MapError, OptionError
from taskq.maps import open_map as sync_open_map
from taskq.maps.items import check_iterable
from taskq.maps.result_type import R, T

_PACE = 0.002  # seconds to let pass after a commit, so that there are fewer looks for room


class OpenMap(MapJob[R], Generic[T, R]):
    """A map that takes items while it runs, until it is sealed: see ``taskq.OpenMap``.

    Made by ``taskq.aio.Queue.open_map``. As a context manager it seals itself at the end of the block, and cancels
    itself if that raises. Its lease is renewed by the event loop: a loop that is blocked for 30 seconds loses it.
    """

    sync: sync_open_map.OpenMap[T, R]

    def __init__(self, job: sync_open_map.OpenMap[T, R], link: Link) -> None:
        super().__init__(job, link)
        self._turn = asyncio.Lock()  # one put after the other
        link.go(link.keep(job.feed), f"taskq aio keeps {self.id}")

    @property
    def accepted(self) -> int:
        """How many items were put so far."""
        return self.sync.accepted

    @clear_errors
    async def put(self, item: T) -> int:
        """Add an item; a free process has it at once. With a ``buffersize`` it waits for room.

        Returns:
            The item's index.

        Raises:
            As ``taskq.OpenMap.put``. Of a task that is cancelled meanwhile, the item may have been put:
            ``accepted`` tells.
        """
        return (await self._put([item])).start

    @clear_errors
    async def put_many(self, items: Iterable[T] | AsyncIterable[T]) -> range:
        """As ``put``, of many items, also of an ``async for``; read as they come.

        Returns:
            Their indexes, if nobody else puts meanwhile.

        Raises:
            As ``put``, or whatever the iterable raises: what came before counts as put.
        """
        if not isinstance(items, AsyncIterable):
            check_iterable(items, "the argument of put_many")
        first = self.accepted
        async with aclosing(batches(items, self._link.hands)) as all_batches:
            async for batch in all_batches:
                await self._put(batch)
        return range(first, self.accepted)

    async def _put(self, batch: list[Any]) -> range:
        feed = self.sync.feed
        async with self._turn:
            indexes = await self._link.hands.push(partial(feed.put, batch, wait=False))
            if feed.crowded:
                await self._wait_for_room()
        return indexes

    async def _wait_for_room(self) -> None:
        feed, hands = self.sync.feed, self._link.hands
        await hands.ask(feed.flush)
        if feed.has_room:
            return
        async with self._link.waiting(self.sync, progress=True) as something_new:
            while not feed.has_room:
                await something_new()
                await asyncio.sleep(_PACE)
                await hands.ask(feed.flush)

    @clear_errors
    async def seal(self) -> None:
        """Say that no more items come; raises as ``put``."""
        await self._link.hands.push(self.sync.seal)

    def feed_all(self, items: Any) -> asyncio.Task[None]:
        """Put all of these and seal it, beside; if that can't be done to the end, the map is cancelled."""

        async def feed() -> None:
            await self.put_many(items)
            await self.seal()

        feeding = self._link.go(feed(), f"taskq aio feeds {self.id}")
        self.fed_by(feeding)
        feeding.add_done_callback(self._fed)  # also of a task that was cancelled before it had begun
        return feeding

    def _fed(self, _feeding: asyncio.Task[None]) -> None:
        if self.fault() is not None:
            self._link.hands.later(_give_up, self.sync)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is None:
            await self.seal()
        elif issubclass(kind, asyncio.CancelledError):  # and so is what it awaits
            self._link.hands.later(_give_up, self.sync)
        else:
            await self._link.hands.ask(_give_up, self.sync)


class Opening(Generic[T, R]):
    """What ``open_map`` returns: awaited, or entered, it is the map."""

    def __init__(self, opens: Awaitable[OpenMap[T, R]]) -> None:
        self._opens = opens
        self._job: OpenMap[T, R] | None = None

    def __await__(self) -> Generator[Any, None, OpenMap[T, R]]:
        return self._opens.__await__()

    async def __aenter__(self) -> OpenMap[T, R]:
        self._job = await self._opens
        return await self._job.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._job is not None
        await self._job.__aexit__(kind, error, tb)


def check_alone(iterables: tuple[Any, ...]) -> bool:
    """Whether the items come from an ``async for``.

    Raises:
        OptionError: If they do, and others are to be taken beside.
    """
    found = any(isinstance(one, AsyncIterable) for one in iterables)
    if found and len(iterables) > 1:
        raise OptionError("items of an async for come alone; have it give tuples, and take open_map(star=True)")
    return found


def _give_up(job: Any) -> None:
    with suppress(InvalidJobOperation, MapError):  # it has ended already
        job.cancel()
