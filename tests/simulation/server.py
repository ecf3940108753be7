"""The server: fakeredis with Lua, which can be away, full, and as it was some moments before."""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fakeredis
from fakeredis._commands import SUPPORTED_COMMANDS
from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket
from fakeredis.model import get_command_info

from tests.simulation.loop import Host, Loop

_FULL = "OOM command not allowed when used memory > 'maxmemory'."


def _wants_memory(name: str) -> bool:
    info = get_command_info(name.encode())
    return info is not None and b"denyoom" in info[2]


_GROWING = {name for name in SUPPORTED_COMMANDS if _wants_memory(name)}


class Socket(FakeSocket):
    """The server's end of one connection."""

    simulated: Server

    def _name_to_func(self, cmd_name: str) -> Any:
        if self.simulated.full and cmd_name in _GROWING:
            raise SimpleError(_FULL)
        return super()._name_to_func(cmd_name)

    def publish(self, channel: bytes, message: bytes) -> int:
        return self.simulated.on_publish(channel, message)


@dataclass(frozen=True)
class Saved:
    """What would be on disk.

    Args:
        beside: What others want to remember of the same moment.
    """

    moment: float
    life: int
    items: dict[bytes, Any]
    beside: Any


class Server:
    """One server; everything that happens to its data goes through ``execute``.

    Args:
        loop: Where its replies come from.
    """

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.host = Host("the server")
        self.fake = fakeredis.FakeServer(version=(7,))
        self.up = True
        self.full = False
        self.life = 1  # connections of an earlier one are broken
        self.serving = False  # it is the server that looks at the clock
        self.on_publish: Callable[[bytes, bytes], int] = lambda _channel, _message: 0
        # Told of each command that was run: by whom, what it said, and what it was answered.
        self.after: Callable[[str, list[bytes], Any], object] = lambda _who, _command, _reply: None
        self.remember: Callable[[], Any] = lambda: None
        self.recall: Callable[[Any], object] = lambda _beside: None

    @property
    def db(self) -> dict[bytes, Any]:
        """Key -> item, as they lie there, expired ones included."""
        return self.fake.dbs[0]._dict  # type: ignore[no-any-return]

    def accept(self) -> Socket:
        """A new connection."""
        import redis

        socket = Socket(self.fake, client_class=redis.Redis, db=0, client_info={"addr": "127.0.0.1:0", "name": ""})
        socket.simulated = self
        return socket

    def execute(self, who: str, socket: Socket, commands: list[bytes], names: list[list[bytes]]) -> None:
        """Run commands of one client, with nobody between them."""
        for data, name in zip(commands, names, strict=True):
            self.serving = True
            try:
                socket.sendall(data)
            finally:
                self.serving = False
            self.after(who, name, socket.responses.queue[-1] if socket.responses.queue else None)

    def value(self, key: str) -> Any:
        """What is at a key now; None if nothing is, or it has expired."""
        item = self.db.get(key.encode())
        if item is None or (item.expireat is not None and item.expireat < self.time):
            return None
        return item.value

    @property
    def time(self) -> float:
        from tests.simulation.loop import EPOCH

        return EPOCH + self.loop.now + self.host.offset

    # -- what may happen to it -------------------------------------------------------------------------

    def save(self) -> Saved:
        """As the disk would have it now."""
        return Saved(self.loop.now, self.life, copy.deepcopy(self.db), copy.deepcopy(self.remember()))

    def stop(self) -> None:
        """It dies: connections break, and it answers nobody."""
        self.up = False
        self.life += 1

    def start(self, saved: Saved | None = None) -> None:
        """It is back: with all it had, or as it was saved. It knows no script any more."""
        self.up = True
        self.fake.script_cache.clear()
        if saved is not None:
            database = self.fake.dbs[0]
            database._dict = copy.deepcopy(saved.items)
            heap = [(item.expireat, key) for key, item in database._dict.items() if item.expireat is not None]
            heapq.heapify(heap)
            database._expiry_heap = heap
            self.recall(copy.deepcopy(saved.beside))
