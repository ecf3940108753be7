"""Messages (pub/sub): heard a moment later, or not at all."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from redis.exceptions import ConnectionError as Lost

from tests.simulation.loop import Event, Loop, Process
from tests.simulation.server import Server

_LATENCY = (0.0001, 0.003)  # seconds


class Messages:
    """Carries what is published to those who have subscribed.

    Args:
        lost: Asked of each message and who should hear it.
    """

    def __init__(self, loop: Loop, server: Server, rng: random.Random) -> None:
        self.loop, self.server, self._rng = loop, server, rng
        self.lost: Callable[[Process, bytes], bool] = lambda _process, _channel: False
        self._subscriptions: dict[Subscription, None] = {}

    def publish(self, channel: bytes, data: bytes) -> int:
        hearing = [one for one in self._subscriptions if one.hears(channel)]
        for one in hearing:
            if not self.lost(one.process, channel):
                moment = self.loop.now + self._rng.uniform(*_LATENCY)
                self.loop.at(moment, lambda one=one: one.hear(channel, data), one.process)
        return len(hearing)

    def subscription(self, process: Process) -> Subscription:
        one = Subscription(self, process)
        self._subscriptions[one] = None
        return one

    def forget(self, one: Subscription) -> None:
        self._subscriptions.pop(one, None)


class Subscription:
    """redis-py's ``PubSub`` of one process, as far as it is used."""

    def __init__(self, messages: Messages, process: Process) -> None:
        self.process = process
        self._messages = messages
        self._channels: dict[bytes, Any] = {}
        self._life = 0
        self._came: deque[dict[str, Any]] = deque()
        self._bell = Event(process.loop)
        self.connection: Any = SimpleNamespace(deregister_connect_callback=lambda _callback: None)
        self.connection_pool = SimpleNamespace(release=lambda _connection: None)
        self.on_connect = None

    @property
    def subscribed(self) -> bool:
        return bool(self._channels)

    def subscribe(self, *channels: Any, **handled: Any) -> None:
        self._connect()
        for name in channels:
            self._channels[name.encode()] = None
        for name, handler in handled.items():
            self._channels[name.encode()] = handler

    def _connect(self) -> None:
        server = self._messages.server
        if self._life == server.life:
            return
        self.process.loop.sleep(0.001)
        if not server.up:
            raise Lost("Connection refused")
        self._life = server.life

    def unsubscribe(self) -> None:
        self._channels.clear()

    def close(self) -> None:
        self._channels.clear()
        self._messages.forget(self)

    def hears(self, channel: bytes) -> bool:
        return channel in self._channels and self._life == self._messages.server.life

    def hear(self, channel: bytes, data: bytes) -> None:
        if channel not in self._channels:
            return
        message = {"type": "message", "channel": channel, "data": data}
        handler = self._channels[channel]
        if handler is not None:
            handler(message)
            return
        self._came.append(message)
        self._bell.set()

    def get_message(self, timeout: float | None = 0.0) -> dict[str, Any] | None:
        if not self._came:
            self._connect()
            self._bell.clear()
            self._bell.wait(timeout)
        return self._came.popleft() if self._came else None

    def run_in_thread(self, **_: Any) -> Any:
        """Handlers are called as messages come; a broken connection is made anew by and by."""

        def keep() -> None:
            while True:
                self.process.loop.sleep(0.5)
                try:
                    self._connect()
                except Lost:
                    continue

        self.process.loop.spawn(self.process, keep)
        return SimpleNamespace(name="", is_alive=lambda: True, stop=lambda: None, join=lambda timeout=None: None)
