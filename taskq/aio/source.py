"""Items of an iterable of either kind, in batches of what has come together."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from typing import Any

from taskq.aio.hands import Hands
from taskq.maps.settled import Settler, settled

_LONG = 0.005  # seconds after which a slow generator's items are put, so many as there are
_TOGETHER = 1000  # items of one batch
_NO_MORE = object()

Items = Iterable[Any] | AsyncIterable[Any]


async def _any_number() -> int:
    return _TOGETHER


async def batches(
    items: Items, hands: Hands, room: Callable[[], Awaitable[int]] = _any_number
) -> AsyncGenerator[list[Any]]:
    """Read all of it. What an ``async for`` gives is read by this task; anything else in the thread that pushes.

    Args:
        items: May be endless.
        hands: Read what is to be iterated over without waiting for a loop.
        room: Waits until items may be read, and returns how many.

    Yields:
        Items, one at least: those that came without waiting for more. What the iterable raises comes behind them.
    """
    if isinstance(items, AsyncIterable):
        async with aclosing(_awaited(items, room)) as awaited:
            async for batch in awaited:
                yield batch
        return
    reading = _Reading(items)
    while batch := await hands.push(reading.some, min(_TOGETHER, await room())):
        yield batch


async def _awaited(items: AsyncIterable[Any], room: Callable[[], Awaitable[int]]) -> AsyncGenerator[list[Any]]:
    source, settler = aiter(items), Settler()
    coming: asyncio.Future[Any] | None = None
    try:
        while True:
            batch: list[Any] = []
            most, item = min(_TOGETHER, await room()), None
            while len(batch) < most:
                coming = coming or asyncio.ensure_future(_next(source))
                if batch and not (await asyncio.wait({coming}, timeout=0))[0]:
                    break
                if batch and (coming.cancelled() or coming.exception()):
                    break  # it is raised the next time
                item, coming = await coming, None
                if item is _NO_MORE:
                    break
                batch.append(settler.settle(item))
            if batch:
                yield batch
            if item is _NO_MORE:
                return
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, Exception):  # nobody wants that item any more
                await coming
        if close := getattr(source, "aclose", None):
            await close()


async def _next(source: AsyncIterator[Any]) -> Any:
    return await anext(source, _NO_MORE)


class _Reading:
    """An iterable that is read in batches, in a thread."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._run = settled(items)
        self._error: Exception | None = None  # what it has raised, behind all that it gave

    def some(self, most: int) -> list[Any]:
        """The next ones, fewer if they come slowly; none at the end."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        until = time.monotonic() + _LONG
        batch: list[Any] = []
        try:
            for item in itertools.islice(self._run, most):
                batch.append(item)
                if time.monotonic() > until:
                    break
        except Exception as error:
            if not batch:
                raise
            self._error = error
        return batch
