"""Hears that plain jobs have ended: RQ adds results to a stream of each, and one XREAD waits for all of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

_BLOCK = (0.02, 1.0)  # seconds that one XREAD waits: at first, and at most; twice as long each time nothing comes
_SHORT = 0.05  # seconds: one that waits for no longer is not broken off when another job is to be waited for
_BEGINNING = "0-0"  # of a stream


class Ends:
    """Wakes who waits for a plain job.

    Args:
        client: Of redis.asyncio.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._waits: dict[str, tuple[str, list[asyncio.Future[str]]]] = {}  # stream -> last entry seen, who waits
        self._change = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def next(self, stream: str, after: str = _BEGINNING, look_again: float = 1.0) -> str:
        """Wait until a stream has an entry behind this one, or for so many seconds.

        Args:
            stream: Its key.
            after: The entry that was seen last.
            look_again: Seconds.

        Returns:
            The new entry; or ``after``.
        """
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        _seen, waits = self._waits.setdefault(stream, (after, []))
        waits.append(told)
        self._change.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="taskq aio hears of jobs")
        try:
            async with asyncio.timeout(look_again):
                return await told
        except TimeoutError:
            return after
        finally:
            with suppress(ValueError):
                waits.remove(told)
            if not waits and self._waits.get(stream, (None, None))[1] is waits:
                del self._waits[stream]

    async def close(self) -> None:
        """Hear nothing more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        block, longest = _BLOCK
        while self._waits:
            self._change.clear()
            try:
                found = await self._read(block)
            except (RedisError, OSError):
                self._wake({stream: after for stream, (after, _waits) in self._waits.items()})  # they look
                await asyncio.sleep(longest)
                continue
            self._wake(found)
            block = _BLOCK[0] if found or self._change.is_set() else min(2 * block, longest)

    async def _read(self, block: float) -> dict[str, str]:
        """New entries, by their streams; none if there is none for so many seconds, or others are to be read."""
        streams = {stream: after for stream, (after, _waits) in self._waits.items()}
        reading = asyncio.ensure_future(self._client.xread(streams, count=1, block=round(block * 1000)))
        change = asyncio.ensure_future(self._change.wait())
        try:
            if block > _SHORT:
                await asyncio.wait({reading, change}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    return {}
            reply = await reading
        finally:
            for task in (reading, change):
                if not task.done():
                    task.cancel()  # a connection that waits is closed by that, and the next one is another
                    with suppress(asyncio.CancelledError, RedisError, OSError):
                        await task
        return {stream.decode(): entries[-1][0].decode() for stream, entries in reply or ()}

    def _wake(self, found: dict[str, str]) -> None:
        for stream, entry in found.items():
            _after, waits = self._waits.pop(stream, ("", []))
            for told in waits:
                if not told.done():
                    told.set_result(entry)
