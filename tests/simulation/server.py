"""The server: fakeredis with Lua, which can be away, full, and as it was some moments before."""

from __future__ import annotations

import hashlib
import heapq
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fakeredis
from fakeredis._commands import SUPPORTED_COMMANDS
from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE
from fakeredis.model import get_command_info

from tests.simulation.loop import Host, Loop

FULL = "OOM command not allowed when used memory > 'maxmemory'."


def _wants_memory(name: str) -> bool:
    info = get_command_info(name.encode())
    return info is not None and b"denyoom" in info[2]


GROWING = {name for name in SUPPORTED_COMMANDS if _wants_memory(name)}


class Socket(FakeSocket):
    """The server's end of one connection."""

    simulated: Server

    def _name_to_func(self, cmd_name: str) -> Any:
        if self.simulated.full > self.simulated.loop.now and cmd_name in GROWING:
            raise SimpleError(FULL)
        return super()._name_to_func(cmd_name)

    def eval(self, script: bytes, numkeys: int, *given: bytes) -> Any:
        """As fakeredis's own, which compiles a script each time, and collects garbage behind it."""
        server: Any = self._server
        runtime = self._get_server_runtime(server)
        server.script_cache[hashlib.sha1(script).hexdigest().encode()] = script  # noqa: S324 - Redis's
        run = self.simulated.compiled.get(script)
        if run is None:
            run = self.simulated.compiled[script] = runtime.compile(script)
        server._lua_current_socket[0] = self
        self._script_resp = 2
        server._lua_set_keys_argv(runtime.table_from(given[:numkeys]), runtime.table_from(given[numkeys:]))
        try:
            result = run()
        except SimpleError as error:
            raise SimpleError(error.value) from None
        except LUA_MODULE.LuaError as error:
            raise SimpleError(f"ERR {error}") from None
        finally:
            self._script_resp = None
        return self._convert_lua_result(result, nested=False)

    def _lua_redis_pcall(self, lua_runtime: Any, expected_globals: set[Any], op: bytes, *args: Any) -> Any:
        """As Redis has it: what went wrong is a text, of which a script may look for a part."""
        try:
            return self._lua_redis_call(lua_runtime, expected_globals, op, *args)
        except Exception as error:
            text = error.value if isinstance(error, SimpleError) else str(error)
            return lua_runtime.table_from({b"err": text.encode()})

    def exec_(self, *conditions: bytes) -> Any:
        """As Redis has it since 6.0.9: a watched key that has expired is one that was changed."""
        now = self.simulated.time
        items = (db._dict.get(key) for key, db in self._watches)
        if any(item is not None and item.expireat is not None and item.expireat < now for item in items):
            self._watch_notified = True
        return super().exec_(*conditions)

    def publish(self, channel: bytes, message: bytes) -> int:
        return self.simulated.on_publish(channel, message)


@dataclass(frozen=True)
class Saved:
    """What would be on disk.

    Args:
        data: Pickled: all that there is, and what others want to remember of the same moment.
    """

    moment: float
    life: int
    data: bytes


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
        self.full = 0.0  # until then it has no memory
        self.life = 1  # connections of an earlier one are broken
        self.compiled: dict[bytes, Any] = {}  # scripts
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

    def execute(self, who: str, socket: Socket, commands: list[list[bytes]]) -> None:
        """Run commands of one client, with nobody between them."""
        for command in commands:
            self.serving = True
            try:
                socket._process_command(command)
            finally:
                self.serving = False
            self.after(who, command, socket.responses.queue[-1] if socket.responses.queue else None)

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
        data = pickle.dumps((self.db, self.remember()), pickle.HIGHEST_PROTOCOL)  # a tenth of what copying takes
        return Saved(self.loop.now, self.life, data)

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
            database._dict, beside = pickle.loads(saved.data)
            heap = [(item.expireat, key) for key, item in database._dict.items() if item.expireat is not None]
            heapq.heapify(heap)
            database._expiry_heap = heap
            self.recall(beside)
