"""The server: fakeredis with Lua, which can be away, full, and as it was some moments before."""

from __future__ import annotations

import hashlib
import heapq
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import fakeredis
import redis
from fakeredis import _msgs as msgs
from fakeredis._commands import COMMANDS_WITH_SUB, SUPPORTED_COMMANDS, Key, Signature
from fakeredis._core._database import CommandItem
from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket
from fakeredis._socket._resp import convert_to_resp2
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE, _convert_redis_arg
from fakeredis.model import get_command_info

from tests.simulation.loop import Host, Loop

FULL = "OOM command not allowed when used memory > 'maxmemory'."


def _wants_memory(name: str) -> bool:
    info = get_command_info(name.encode())
    return info is not None and b"denyoom" in info[2]


GROWING = {name for name in SUPPORTED_COMMANDS if _wants_memory(name)}


@cache
def _command(op: bytes) -> str | None:
    """Its name; None: it has another word."""
    name = op.decode().lower()
    return None if name in COMMANDS_WITH_SUB else name


@cache
def _sha(script: bytes) -> bytes:
    return hashlib.sha1(script).hexdigest().encode()  # noqa: S324 - Redis's


@cache
def _interpreter() -> Any:
    """What fakeredis has for each server, made once: none of the scripts leaves anything behind."""
    holder = fakeredis.FakeServer(version=(7,))
    Socket(holder, client_class=redis.Redis, db=0)._get_server_runtime(holder)
    return holder


@cache
def _compiled(script: bytes) -> Any:
    return _interpreter()._lua_runtime.compile(script)


@cache
def _shape(sig: Signature, count: int) -> tuple[list[tuple[int, Any, bool]], list[tuple[int, Any]], bool]:
    """What is to be done with so many arguments of a command.

    Returns: what is decoded, or must not be missing; the keys, each with the type of its value; whether what is
    not there is made.
    """
    sig.check_arity([b""] * count, (7,))
    repeat = sig.repeat
    types = [*sig.fixed, *(repeat[i % len(repeat)] for i in range(count - len(sig.fixed)))]
    first: list[tuple[int, Any, bool]] = []
    for i, kind in enumerate(types):
        if not isinstance(kind, Key):
            first += [(i, kind, False)] if kind is not bytes else []
        elif kind.missing_return is not Key.UNSPECIFIED:
            first.append((i, kind, True))
    keys = [(i, kind.type_) for i, kind in enumerate(types) if isinstance(kind, Key)]
    return first, keys, msgs.FLAG_DO_NOT_CREATE not in sig.flags


def _applied(sig: Signature, args: list[Any], db: Any) -> tuple[list[Any], list[CommandItem]] | tuple[Any]:
    """As ``Signature.apply``: the arguments and the keys among them, or what is answered at once."""
    first, keys, makes = _shape(sig, len(args))
    given = list(args)
    for i, kind, must in first:
        if not must:
            given[i] = kind.decode(given[i])
        elif given[i] not in db:
            return (kind.missing_return,)
    items = []
    for i, kind in keys:
        item, default = db.get(given[i]), None
        if kind is not None:
            if item is None:
                default = kind() if makes and kind is not bytes else None
            elif type(item.value) is not kind:
                raise SimpleError(msgs.WRONGTYPE_MSG)
        given[i] = CommandItem(given[i], db, item, default=default)
        items.append(given[i])
    return given, items


class Socket(FakeSocket):
    """The server's end of one connection.

    What fakeredis does for each command is done here without what no world has: users and their rights, listeners
    to keys, other kinds of servers. That is much of what a command costs.
    """

    simulated: Server

    def put_response(self, msg: Any) -> None:
        if self.responses is not None:
            self.responses.queue.append(msg)

    def _run_command(self, func: Any, sig: Signature, args: list[Any], from_script: bool) -> Any:
        items: list[CommandItem] = []
        try:
            if from_script and msgs.FLAG_NO_SCRIPT in sig.flags:
                raise SimpleError(msgs.COMMAND_IN_SCRIPT_MSG)
            applied = _applied(sig, args, self._db)
            if len(applied) == 1:
                result = applied[0]
            else:
                args, items = applied
                result = func(*args)
                if type(result) not in (int, bytes) and msgs.FLAG_SKIP_CONVERT_TO_RESP2 not in sig.flags:
                    result = convert_to_resp2(result)
        except SimpleError as error:
            result = error
        keeps_empty = msgs.FLAG_LEAVE_EMPTY_VAL in sig.flags
        for item in items:
            item.writeback(remove_empty_val=not keeps_empty)
        return result

    def _lua_redis_call(self, lua_runtime: Any, expected_globals: set[Any], op: bytes, *args: Any) -> Any:
        name = _command(op)
        if name is None:
            return super()._lua_redis_call(lua_runtime, expected_globals, op, *args)
        func, sig = self._name_to_func(name)
        given = [arg if type(arg) is bytes else _convert_redis_arg(arg) for arg in args]
        result = self._run_command(func, sig, given, True)
        return result if type(result) in (int, bytes) else self._convert_redis_result(lua_runtime, result)

    def _name_to_func(self, cmd_name: str) -> Any:
        if self.simulated.full > self.simulated.loop.now and cmd_name in GROWING:
            raise SimpleError(FULL)
        return super()._name_to_func(cmd_name)

    def eval(self, script: bytes, numkeys: int, *given: bytes) -> Any:
        """As fakeredis's own, which compiles a script each time, and collects garbage behind it."""
        server: Any = _interpreter()
        runtime, run = server._lua_runtime, _compiled(script)
        self._server.script_cache[_sha(script)] = script
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
            self._script_resp = server._lua_current_socket[0] = None
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
        self.fake.acl.validate_command = lambda *_: None  # type: ignore[method-assign]  # there is one user
        self.up = True
        self.full = 0.0  # until then it has no memory
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
