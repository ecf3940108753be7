"""One subscription for all who wait for maps: redis.asyncio reads it, and whom a message concerns is woken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import RedisError

from taskq.maps.waiting import LOOK_AGAIN

_AGAIN = (0.05, 1.0)  # seconds until it is tried again, if the server can't be reached: at first, and at most
_LINGER = 1.0  # seconds for which a channel is heard that nobody listens to any more: who iterates comes again


class Ear:
    """What one wait has heard."""

    def __init__(self) -> None:
        self._heard = asyncio.Event()

    def hear(self) -> None:
        """There is something to look at."""
        self._heard.set()

    async def next(self, look_again: float = LOOK_AGAIN) -> bool:
        """Wait until there is something to look at, or for so many seconds; returns whether anything was heard."""
        try:
            async with asyncio.timeout(look_again):
                await self._heard.wait()
        except TimeoutError:
            return False
        self._heard.clear()
        return True


class Hub:
    """Wakes who waits. A message that is lost costs a second: who waits looks then, whether he was woken or not.

    Args:
        client: Of redis.asyncio.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._ears: dict[str, set[Ear]] = {}  # channel -> who hears it
        self._told: set[str] = set()  # channels that were subscribed to
        self._heard: set[str] = set()  # of these, which the server has confirmed
        self._change = asyncio.Event()  # others are to be heard
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listening(self, *channels: str) -> AsyncIterator[Ear]:
        """Hear these channels for the length of the block.

        The first ``next`` returns once they are heard, so whoever looks after it misses nothing.
        """
        ear = Ear()
        for channel in channels:
            self._ears.setdefault(channel, set()).add(ear)
        if self._heard.issuperset(channels):
            ear.hear()
        self._change.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="taskq aio hears")
        try:
            yield ear
        finally:
            for channel in channels:
                ears = self._ears[channel]
                ears.discard(ear)
                if not ears:
                    del self._ears[channel]
            self._change.set()

    async def close(self) -> None:
        """Hear nothing more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        first, longest = _AGAIN
        pause = first
        while True:
            self._told.clear()
            self._heard.clear()
            try:
                await self._listen()
            except* (RedisError, OSError):  # who waits looks, and meets it himself
                pause = first if self._heard else min(2 * pause, longest)
                for ear in [ear for ears in self._ears.values() for ear in ears]:
                    ear.hear()
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        pubsub = self._client.pubsub()
        connected = asyncio.Event()
        try:
            await pubsub.connect()
            with _connected_once(pubsub.connection):
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._subscribe(pubsub, connected))
                    both.create_task(self._read(pubsub, connected))
        finally:
            await pubsub.aclose()

    async def _subscribe(self, pubsub: Any, connected: asyncio.Event) -> None:
        idle: set[str] = set()  # nobody has listened to these when it was looked last
        while True:
            self._change.clear()
            wanted = set(self._ears)
            if new := wanted - self._told:
                self._told |= new
                with _cut_meanwhile():
                    await pubsub.subscribe(*new)
                connected.set()
            unwanted = self._told - wanted
            if old := unwanted & idle:
                self._told -= old
                self._heard -= old
                with _cut_meanwhile():
                    await pubsub.unsubscribe(*old)
            idle = set()
            try:
                async with asyncio.timeout(_LINGER if unwanted - old else None):
                    await self._change.wait()
            except TimeoutError:
                idle = unwanted - old

    async def _read(self, pubsub: Any, connected: asyncio.Event) -> None:
        await connected.wait()
        while True:
            with _cut_meanwhile():
                message = await pubsub.get_message(timeout=LOOK_AGAIN)
            if message is None or message["type"] not in ("message", "subscribe"):
                continue
            channel = _text(message["channel"])
            if message["type"] == "subscribe" and channel in self._told:
                self._heard.add(channel)
            for ear in self._ears.get(channel, ()):
                ear.hear()


@contextmanager
def _connected_once(connection: Any) -> Iterator[None]:
    """Keep redis.asyncio from connecting again: both tasks would, at once, and one of the two would stay open."""

    async def refuse(**_options: object) -> None:
        if not connection.is_connected:
            raise LostConnectionError("cut")

    connection.connect_check_health = refuse
    try:
        yield
    finally:
        del connection.connect_check_health  # it goes back to its pool


@contextmanager
def _cut_meanwhile() -> Iterator[None]:
    """One task reads from the connection that another writes to: redis.asyncio sets its ends to None for both."""
    try:
        yield
    except AttributeError as error:
        raise LostConnectionError(f"closed by another task meanwhile: {error}") from error


def _text(channel: Any) -> str:
    return channel.decode() if isinstance(channel, bytes) else str(channel)
