"""Connections to the primary that sentinels tell; they break when it is another.

    connection ── needs a socket ──> Primary ── asks ──> sentinels    which server is it?
               <── host and port ───
               ── ROLE ──> server                                     is it one, in its own opinion?
               ── each command, each half second of waiting ──> Primary: is it that one still?

A primary that is killed breaks its connections itself. One that hangs, or is cut off, or was only replaced, does
not: who waits for its reply would wait for half a minute, and what is written to it is lost. So whoever uses a
connection asks, and finds it broken. From there on all is as with a server that went away and came back as it was
some moments before, which is what an asynchronous replica is.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.exceptions import ConnectionError, RedisError, ResponseError  # noqa: A004 - redis-py's own name
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError

from taskq.redis.sentinel_urls import BySentinel
from taskq.redis.watched import PACE, Watched

_ASK = 0.5  # seconds a sentinel may take
_DEAF = 10.0  # seconds for which nobody asks, at most, after none has answered: the primary may be there still
_DOWN = {"s_down", "o_down", "failover_in_progress"}

Address = tuple[str, int]
_shared: WeakValueDictionary[tuple[BySentinel, str], Primary] = WeakValueDictionary()  # by all of a process


class Primary:
    """Which server is the primary. Threads share it.

    Args:
        found: Where sentinels are, and what they call it.
        options: Of the connections to the primary; those for TLS are the sentinels', too.
    """

    def __init__(self, found: BySentinel, options: dict[str, Any]) -> None:
        self.found = found
        tls = {name: value for name, value in options.items() if name.startswith("ssl_")} if found.ssl else {}
        self._sentinels = [
            Redis(host, port, username=found.username, password=found.password, socket_timeout=_ASK, protocol=2,
                  socket_connect_timeout=_ASK, retry=Retry(NoBackoff(), 0), ssl=found.ssl, **tls)
            for host, port in found.sentinels
        ]  # fmt: skip
        self._epoch = 0  # of the latest fail-over that we have heard of
        self.forget()

    def forget(self) -> None:
        """Begin anew, in a process that was forked."""
        self._asks = threading.Lock()
        self._address: Address | None = None  # as last told
        self._next = -math.inf  # when to ask again, on the monotonic clock
        self._pause = PACE  # seconds until then

    def address(self) -> Address:
        """Host and port.

        Raises:
            MasterNotFoundError: If no sentinel tells one that is up.
        """
        errors: list[RedisError] = []
        for _epoch, address, up in self._answers(errors):
            if up:
                self._address = address
                return address
        told = "; ".join(dict.fromkeys(str(error).rstrip(".") for error in errors))
        told = told or "it is down, for all they know"
        raise MasterNotFoundError(f"no primary {self.found.name!r} is told by the sentinels: {told}") from _agreed(
            errors, len(self._sentinels)
        )

    def instead_of(self, address: Address) -> str:
        """Which other one it is, as far as is known; "": none. Sentinels are asked twice a second at most."""
        if time.monotonic() >= self._next and self._asks.acquire(blocking=False):
            try:
                told = next(self._answers([]), None)
                if told and told[0] >= self._epoch:  # else another thread has heard more meanwhile
                    self._address = told[1]
                self._pause = PACE if told else min(2 * self._pause, _DEAF)
                self._next = time.monotonic() + self._pause
            finally:
                self._asks.release()
        other = self._address
        return "" if other in (None, address) else f"{other[0]}:{other[1]}"

    def doubt(self) -> None:
        """What the first sentinel has said was of no use: ask another one first."""
        self._sentinels.append(self._sentinels.pop(0))

    def _answers(self, errors: list[RedisError]) -> Iterator[tuple[int, Address, bool]]:
        """What sentinels say, one after the other: number of the fail-over, address, and whether it is up.

        One that has not heard of the latest fail-over is not believed, unless most are like that, and no other
        answers: then they were set up anew.
        """
        late = []
        for sentinel in list(self._sentinels):
            try:
                answer = _ask(sentinel, self.found.name)
            except (RedisError, OSError) as error:
                errors.append(error if isinstance(error, RedisError) else ConnectionError(str(error)))
                continue
            if answer[0] < self._epoch:
                late.append(answer)
                continue
            self._epoch = answer[0]
            if sentinel is not self._sentinels[0]:
                self._sentinels.sort(key=lambda one: one is not sentinel)  # the others keep their order
            yield answer
            late = []
        if len(late) * 2 > len(self._sentinels):
            answer = max(late)
            self._epoch = answer[0]
            yield answer


def _ask(sentinel: Redis, name: str) -> tuple[int, Address, bool]:
    with sentinel.pipeline(transaction=False) as pipe:
        pipe.execute_command("SENTINEL", "MASTER", name)
        pipe.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
        state, address = pipe.execute()
    fields = dict(zip(map(_text, state[::2]), map(_text, state[1::2]), strict=False))
    host, port = _text(address[0]), int(address[1])
    promoted = (host, str(port)) != (fields["ip"], fields["port"])  # the new one, before the fail-over has ended
    up = promoted or _DOWN.isdisjoint(fields["flags"].split(","))
    return int(fields["config-epoch"]), (host, port), up


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _agreed(errors: list[RedisError], sentinels: int) -> RedisError | None:
    """What they all say: then waiting may be of no use."""
    kinds = {(type(error), str(error)) for error in errors}
    return errors[0] if len(errors) == sentinels and len(kinds) == 1 else None


class ToPrimary(Connection):
    """A connection that asks where to go, and whether it is there still."""

    def __init__(self, *, primary: Primary, **options: Any) -> None:
        super().__init__(**options, redis_connect_func=_greet)
        self.primary = primary

    def _connect(self) -> Any:
        self.host, self.port = address = self.primary.address()
        try:
            return Watched(super()._connect(), partial(self.primary.instead_of, address))
        except OSError:
            self.primary.doubt()
            raise

    def connect(self) -> None:
        if self._sock is None:
            super().connect()

    def can_read(self, timeout: float = 0) -> bool:
        """As redis-py's; the wait ends when the primary is another."""
        while timeout > PACE:
            if super().can_read(PACE):
                return True
            timeout -= PACE
            if other := self.primary.instead_of((self.host, self.port)):
                self.disconnect()
                raise ConnectionError(f"the primary is {other} now, and not {self.host}:{self.port}")
        return bool(super().can_read(timeout))

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)
        except ResponseError as error:
            if "READONLY" in str(error):  # also within a script of ours: it was made a replica
                self.disconnect()
                raise ConnectionError(f"{self.host}:{self.port} is the primary no more: {error}") from error
            raise


class ToPrimaryByTLS(ToPrimary, SSLConnection):
    """The same by TLS; it is the primary's certificate that is looked at."""


def _greet(connection: Any) -> None:
    """See that it is a primary: a sentinel that was cut off tells of one that was."""
    connection.on_connect()
    connection.send_command("ROLE", check_health=False)
    try:
        role = connection.read_response()[0]
    except ResponseError:
        return  # who may not ask believes the sentinels
    if role not in (b"master", "master"):
        connection.primary.doubt()
        raise ConnectionError(f"{connection.host}:{connection.port} is no primary, though a sentinel says so")


def connect(found: BySentinel, pool: type[ConnectionPool], **options: Any) -> ConnectionPool:
    """A pool of such connections; nothing is asked yet.

    Args:
        found: The URL.
        pool: The pool's class.
        options: Of its connections, as far as the URL does not say otherwise.

    Raises:
        ValueError: If redis-py takes the URL for none.
    """
    told = {**options, **parse_url(found.primary)}
    told.pop("host")
    told.pop("connection_class", None)
    return pool(connection_class=ToPrimaryByTLS if found.tls else ToPrimary, primary=_primary(found, told), **told)


def _primary(found: BySentinel, told: dict[str, Any]) -> Primary:
    """One for all connections of this process, so that sentinels are asked once for all of them."""
    certificates = sorted((name, str(value)) for name, value in told.items() if name.startswith("ssl_"))
    key = found, repr(certificates)
    made = _shared.get(key) or Primary(found, told)
    return _shared.setdefault(key, made)


def _forget_all() -> None:
    for one in list(_shared.values()):
        one.forget()


os.register_at_fork(after_in_child=_forget_all)
