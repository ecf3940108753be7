"""A client of redis.asyncio for the server that a client of redis-py knows, to wait with."""

from __future__ import annotations

from typing import Any

import redis.asyncio
from redis.asyncio import connection as twins
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

from taskq.aio.hands import Hands
from taskq.errors import OptionError
from taskq.redis import sentinel

_SAME = (
    "host", "port", "path", "db", "username", "password", "credential_provider", "client_name",
    "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options",
)  # fmt: skip
"""Options that mean the same to both; and all that begin with ``ssl_``."""

_CONNECTIONS: dict[type, type] = {
    Connection: twins.Connection,
    SSLConnection: twins.SSLConnection,
    UnixDomainSocketConnection: twins.UnixDomainSocketConnection,
}


def listener(client: Any, hands: Hands) -> redis.asyncio.Redis:
    """Such a client; nothing is connected yet.

    Args:
        client: Of redis-py, as ``taskq.Queue`` has one.
        hands: Ask sentinels, where the server is told by some.

    Raises:
        OptionError: If it has connections of a kind of which redis.asyncio has none.
    """
    pool = client.connection_pool
    kind, given = pool.connection_class, dict(pool.connection_kwargs)
    if kind.__module__.startswith("fakeredis"):
        import fakeredis  # of whoever tests with it

        fake: redis.asyncio.Redis = fakeredis.FakeAsyncRedis(server=given["server"])
        return fake
    options = {name: value for name, value in given.items() if name in _SAME or name.startswith("ssl_")}
    options["retry"] = Retry(NoBackoff(), 0)  # who waits sees that it broke, and looks
    if issubclass(kind, sentinel.ToPrimary):
        options["primary"], options["hands"] = given["primary"], hands
        twin: type = _ToPrimaryByTLS if issubclass(kind, SSLConnection) else _ToPrimary
    else:
        twin = _twin_of(kind)
    return redis.asyncio.Redis(connection_pool=redis.asyncio.ConnectionPool(connection_class=twin, **options))


def _twin_of(kind: type) -> type:
    for ancestor in kind.__mro__:
        if ancestor in _CONNECTIONS:
            return _CONNECTIONS[ancestor]
    raise OptionError(f"connections of {kind.__module__}.{kind.__qualname__} have no counterpart in redis.asyncio")


class _ToPrimary(twins.Connection):
    """To the primary that sentinels tell when it is connected; that it is another one, whoever asks hears."""

    def __init__(self, *, primary: sentinel.Primary, hands: Hands, **options: Any) -> None:
        super().__init__(**options)
        self._primary, self._hands = primary, hands

    async def _connect(self) -> None:
        self.host, self.port = await self._hands.ask(self._primary.address)
        await super()._connect()


class _ToPrimaryByTLS(_ToPrimary, twins.SSLConnection):
    """The same by TLS."""
