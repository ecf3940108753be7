"""What the jobs of one ``taskq.aio.Queue`` share: how they ask, how they hear, and what goes on beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from taskq.aio.ends import Ends
from taskq.aio.hands import Hands
from taskq.aio.hub import Hub
from taskq.aio.listener import listener
from taskq.aio.looks import Looks
from taskq.maps.doubts import Doubts
from taskq.maps.feed import Feed
from taskq.maps.nested import Lending
from taskq.maps.waiting import LOOK_AGAIN
from taskq.queue import Queue

_ANSWER = 0.05  # seconds after which a wait that lends its process looks whether it may


class Link:
    """To one server.

    Args:
        queue: Asked and pushed to in ``hands``.
        close: Close its connections at the end.
    """

    def __init__(self, queue: Queue, *, close: bool) -> None:
        self._close = close
        self.queue, self.connection = queue, queue.connection
        self.hands = Hands()
        self._listener = listener(self.connection, self.hands)
        self.hub, self.ends = Hub(self._listener), Ends(self._listener)
        self.looks = Looks(self.connection, self.hands)
        self._beside: set[asyncio.Task[Any]] = set()

    def go(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Have this run beside, until it ends or the queue does."""
        task = asyncio.create_task(work, name=name)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    async def keep(self, feed: Feed) -> None:
        """Renew the lease of an open map, as long as it needs one."""
        pause = await self.hands.ask(feed.renew)
        while pause is not None:
            await asyncio.sleep(pause)
            pause = await self.hands.ask(feed.renew)

    @asynccontextmanager
    async def waiting(self, job: Any, *, progress: bool) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Wait for a map for the length of the block.

        Args:
            job: The map's.
            progress: Hear of each commit, too.

        Yields:
            What waits until there is something to look at, for a second at most. Nothing is missed by who looks
            after the first time. Raises ``NestedWaitError`` in a process which that map may need.
        """
        keys = job.store.keys
        lending, doubts = Lending(self.connection, f"the map {keys.id}"), Doubts(job)
        async with self.hub.listening(*([keys.end, keys.events] if progress else [keys.end])) as ear:
            try:
                yield partial(self._next, ear, lending, doubts)
            finally:
                lending.end()

    async def _next(self, ear: Any, lending: Lending, doubts: Doubts) -> None:
        lending.begin()
        until = asyncio.get_running_loop().time() + LOOK_AGAIN
        while not await ear.next(_ANSWER if lending.concerned else LOOK_AGAIN):
            lending.begin()  # raises, if that was refused meanwhile
            if asyncio.get_running_loop().time() >= until - _ANSWER:
                break
        else:
            return
        if doubts.due:
            await self.looks.doubt(doubts)

    async def close(self) -> None:
        """End all that goes on; nothing that was asked for before is left undone."""
        if tasks := list(self._beside):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                _ = task.cancelled() or task.exception()  # who wanted to know of it has asked
            await asyncio.sleep(0)  # what is to be called at their ends is called, and has things to say
        await self.hub.close()
        await self.ends.close()
        await self._listener.aclose(close_connection_pool=True)
        if self._close:
            self.hands.later(self.connection.close)
        self.hands.close()
