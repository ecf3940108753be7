"""The way between a client and the server: latency, and all that may happen to a request on it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
from fakeredis._clients._sync import FakeRedisConnection
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import DataError
from rq.job import JobStatus

from tests.simulation.loop import Event, Loop, Process
from tests.simulation.server import Server, Socket

_LATENCY = (0.0001, 0.001)  # seconds, each way
_GAP = (0.0, 0.002)  # seconds between two commands of a pipeline that did not come in one piece


@dataclass(frozen=True)
class Fate:
    """What becomes of one request.

    Args:
        run: How many of its commands come through; None: all.
        reply: Whether the client hears of it.
        delay: Seconds for which it is on its way after the client has given it up.
    """

    run: int | None = None
    reply: bool = True
    delay: float = 0.0


FAIR = Fate()


class Request:
    """Some commands of one client on their way."""

    def __init__(self, connection: Connection, commands: list[list[bytes]]) -> None:
        self.connection = connection
        self.process = connection.process
        self.commands = commands
        self.heard = Event(connection.process.loop)
        self.error: Exception | None = None

    def fail(self, why: str) -> None:
        self.error = Lost(why)
        self.heard.set()


class Network:
    """All connections to one server.

    Args:
        rng: For latencies.
        fate: Asked of each request.
    """

    def __init__(self, loop: Loop, server: Server, rng: random.Random) -> None:
        self.loop, self.server, self._rng = loop, server, rng
        self.fate: Callable[[Request], Fate] = lambda _request: FAIR

    def _latency(self) -> float:
        return self._rng.uniform(*_LATENCY)

    def send(self, request: Request) -> None:
        fate = self.fate(request)
        moment = self.loop.now + self._latency()
        if fate.delay:
            self.loop.at(moment, lambda: request.fail("Connection reset by peer"))
            socket, life = request.connection.leave(), self.server.life
            self.loop.at(moment + fate.delay, lambda: self._late(request, socket, life))
            return
        self.loop.at(moment, lambda: self._arrive(request, fate))

    def _late(self, request: Request, socket: Socket, life: int) -> None:
        """The server comes to it, and only then hears that nobody is at the other end any more."""
        if self.server.up and self.server.life == life:
            self.server.execute(request.process.name, socket, request.commands)
            socket.close()

    def _arrive(self, request: Request, fate: Fate) -> None:
        connection = request.connection
        if not self.server.up or connection.life != self.server.life or connection._sock is None:
            request.fail("Connection refused")
            return
        if fate.run is not None and fate.run < len(request.commands):
            self._run(request, 0, fate.run, connection._sock)
            connection.cut()
            request.fail("Connection reset by peer")
            return
        if len(request.commands) > 1 and self._rng.random() < 0.2:
            cut = self._rng.randrange(1, len(request.commands))
            self._run(request, 0, cut, connection._sock)
            rest = self.loop.now + self._rng.uniform(*_GAP)
            self.loop.at(rest, lambda: self._go_on(request, cut, fate))
            return
        self._go_on(request, 0, fate)

    def _go_on(self, request: Request, first: int, fate: Fate) -> None:
        connection = request.connection
        if not self.server.up or connection.life != self.server.life or connection._sock is None:
            request.fail("Connection closed by server")
            return
        self._run(request, first, len(request.commands), connection._sock)
        answered = self.loop.now + self._latency()
        if fate.reply:
            self.loop.at(answered, lambda: self._answer(request))
        else:
            connection.cut()
            self.loop.at(answered, lambda: request.fail("Connection reset by peer"))

    def _run(self, request: Request, first: int, last: int, socket: Socket) -> None:
        self.server.execute(request.process.name, socket, request.commands[first:last])

    def _answer(self, request: Request) -> None:
        if request.connection.life != self.server.life:
            request.fail("Connection closed by server")
        request.heard.set()


class Connection(FakeRedisConnection):
    """A client's end: redis-py's connection without sockets."""

    def __init__(self, *args: Any, network: Network, process: Process, **kwargs: Any) -> None:
        super().__init__(*args, server=network.server.fake, **kwargs)
        self.network, self.process = network, process
        self.life = 0
        self._request: Request | None = None
        self._sock: Any = None

    def connect(self, *_: Any, **__: Any) -> None:
        if self._sock is not None:
            return
        loop = self.process.loop
        if not self.process.alive:  # its objects are cleared away
            raise Lost("it belongs to a process that is dead")
        loop.sleep(self.network._latency())
        if not self.network.server.up:
            raise Lost("Connection refused")
        self._sock = self.network.server.accept()
        self.life = self.network.server.life

    def cut(self) -> None:
        """The connection breaks."""
        self.life = 0

    def leave(self) -> Socket:
        """Part with the server's end of it, which is as it is, with what it watches."""
        socket: Socket = self._sock
        self._sock, self.life = None, 0
        return socket

    def disconnect(self, *_: Any, **__: Any) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._request = None

    def pack_command(self, *args: Any) -> Any:
        return [_encoded(args)]

    def pack_commands(self, commands: Any) -> Any:
        return [_encoded(args) for args in commands]

    def send_command(self, *args: Any, **_: Any) -> None:
        self.send_packed_command([_encoded(args)])

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        self.connect()
        if not self.process.alive:
            raise Lost("it belongs to a process that is dead")
        self._request = Request(self, command)
        self.network.send(self._request)

    def read_response(self, disable_decoding: bool = False, **_: Any) -> Any:
        request = self._request
        if request is not None:
            request.heard.wait()
            self._request = None
            if request.error:
                self.disconnect()
                raise request.error
        response = self._sock.responses.queue.popleft()
        if isinstance(response, Exception):
            raise response
        return response if disable_decoding else self._decode(response)

    def can_read(self, timeout: float | None = 0) -> bool:
        return False


class Unmeasured(redis.Redis):
    """A redis-py client that says each command as its own does, and measures none."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        connection = self.connection or self.connection_pool.get_connection()

        def say() -> Any:
            connection.send_command(*args)
            return self.parse_response(connection, args[0], **options)

        try:
            return connection.retry.call_with_retry(say, lambda _error: connection.disconnect())
        finally:
            if not self.connection:
                self.connection_pool.release(connection)


def _encoded(args: tuple[Any, ...]) -> list[bytes]:
    first, *rest = args
    words = first.encode().split(b" ") if isinstance(first, str) else [first]
    return [*words, *map(_encode, rest)]


def _encode(arg: Any) -> bytes:
    kind = type(arg)
    if kind is bytes:
        return arg  # type: ignore[no-any-return]
    if kind is str:
        return arg.encode()  # type: ignore[no-any-return]
    if isinstance(arg, bytes):
        return bytes(arg)
    if isinstance(arg, (memoryview, bytearray)):
        return bytes(arg)
    if isinstance(arg, str):
        return (arg.value if isinstance(arg, JobStatus) else arg).encode()
    if isinstance(arg, (int, float)) and not isinstance(arg, bool):
        return repr(arg).encode()
    raise DataError(f"Invalid input of type: {type(arg).__name__!r}")


def client(
    network: Network, process: Process, base: type[redis.Redis], pool: type[redis.ConnectionPool], retry: Any
) -> Any:
    """A redis-py client of a process."""
    connections = pool(connection_class=Connection, network=network, process=process, retry=retry, protocol=2)
    return base.from_pool(connections)
