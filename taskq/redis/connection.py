"""Where Redis is, and connections to it."""

from __future__ import annotations

import itertools
import os
import re
from typing import Any

import hiredis
import redis.utils
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.connection import ConnectionPool, HiredisRespSerializer
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.job import JobStatus

from taskq.errors import OptionError
from taskq.redis import clients, credentials, sentinel, sentinel_urls, urls
from taskq.redis.patience import Patience
from taskq.redis.scripting import Client
from taskq.redis.sentinel_urls import BySentinel
from taskq.redis.urls import hide_password

DEFAULT_URL = "redis://localhost:6379/0"
SOCKET_TIMEOUT = 30.0  # seconds a reply may take
CONNECT_TIMEOUT = 5.0  # seconds
_NUMBERS = frozenset([int, float])  # these alone: a bool is no argument, and hiredis says so
_WITH_VIEWS = ("EVALSHA", "EVAL")  # commands in which we send them, as other names may be two words
_PACKED = frozenset([bytes, str, JobStatus])  # what hiredis packs by itself

_RESP3 = (3, "3")  # as a protocol
_SPEAKS_RESP3 = getattr(redis.utils, "DEFAULT_RESP_VERSION", 2) in _RESP3  # redis-py, by itself: from 8 on

_in_worker: dict[str, Any] = {}  # in a pool process: "url" of the worker, and "connection" once it was needed


def default_url() -> str:
    """The worker's own URL inside a pool process, else ``TASKQ_URL``, else a local server."""
    return _in_worker.get("url") or os.environ.get("TASKQ_URL") or DEFAULT_URL


def in_worker() -> bool:
    """Whether this is a pool process, in which a worker's server is the default one."""
    return "url" in _in_worker


def connect(
    url: str | None = None,
    *,
    retries: int = 3,
    patience: float | None = 0.0,
    timeout: float = SOCKET_TIMEOUT,
    pool: type[ConnectionPool] = ConnectionPool,
    client: type[Redis] = Client,
) -> Redis:
    """A lazy connection to the server at ``url``.

    Args:
        url: redis://, rediss:// or unix://; redis+sentinel:// or rediss+sentinel:// of the primary that sentinels
            tell (sentinel_urls.py). None: ``default_url()``.
        retries: How often a command is tried again after the connection broke.
        patience: Instead of ``retries``, if it is not 0: see ``Patience``.
        timeout: Seconds a reply may take.
        pool: The class that keeps its connections.
        client: The class of the connection itself.

    Raises:
        OptionError: If the URL is none that can be used; says why.
    """
    url = url or default_url()
    if not isinstance(url, str):
        raise OptionError(f"a server's URL is a text, such as redis://localhost:6379/0, not {url!r:.80}")
    if fault := urls.fault(url):
        raise OptionError(f"{hide_password(url)!r} {fault}")
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": Retry(ExponentialBackoff(cap=1.0, base=0.02), retries) if patience == 0 else Patience(patience),
        "health_check_interval": 30,
        "command_packer": _Packer(),
    }
    connections = _pool(url, pool, options)
    made = client.from_pool(connections)
    clients.check(made)
    return made


def _pool(url: str, pool: type[ConnectionPool], options: dict[str, Any]) -> ConnectionPool:
    """What keeps the connections.

    Raises:
        OptionError: If the URL is none that can be used.
    """
    plain, provider = credentials.taken_from(url)
    if provider:
        options[credentials.OPTION] = provider
    try:
        by_sentinel = sentinel_urls.read(plain)
        if isinstance(by_sentinel, BySentinel):
            connections = sentinel.connect(by_sentinel, pool, **options)
        else:
            connections = pool.from_url(plain, **options)
    except ValueError:
        # Without redis-py's own words, and without it as the cause: it may quote a part of the password.
        raise OptionError(f"{hide_password(url)!r} is not a URL such as redis://host:6379/0") from None
    _check_options(connections, url)
    if _SPEAKS_RESP3 and connections.connection_kwargs.get("protocol") in _RESP3:
        # It is spoken anyway, and whoever asks for it gets replies of a form which RQ can't read.
        del connections.connection_kwargs["protocol"]
    return connections


def _check_options(connections: ConnectionPool, url: str) -> None:
    """See that redis-py takes all options: it looks when it connects, and each kind of connection has its own.

    Raises:
        OptionError: If not.
    """
    try:
        connections.connection_class(**connections.connection_kwargs)  # opens nothing
    except TypeError as error:
        name = re.search(r"argument '(\w+)'", str(error))
        which = f"has the option {name[1]}" if name else "has an option"
        raise OptionError(f"{hide_password(url)!r} {which}, which redis-py does not take for such a URL") from None
    except RedisError:
        raise OptionError(
            f"{hide_password(url)!r} has an option with a value that redis-py does not take"
        ) from None


class _Packer(HiredisRespSerializer):
    """Numbers are made text before hiredis gets them.

    It asks CPython for their text, which is a moment where Ctrl-C or an alarm may raise, and does not look whether
    it got one (``src/pack.c`` of hiredis-py 3.5): the interpreter would die of a segmentation fault.
    """

    def pack(self, *args: Any) -> Any:
        kinds = set(map(type, args))
        if not kinds.isdisjoint(_NUMBERS):
            args = tuple([repr(arg).encode() if type(arg) in _NUMBERS else arg for arg in args])
            kinds -= _NUMBERS
        if kinds <= _PACKED and type(args[0]) is str and " " not in args[0]:
            return [hiredis.pack_command(args)]
        if memoryview in kinds and args[0] in _WITH_VIEWS:
            return self._around(args)
        return super().pack(*args)

    def _around(self, args: tuple[Any, ...]) -> list[Any]:
        """As ``pack``, in pieces, so that what memoryviews show is sent from where it is."""
        pieces: list[Any] = []
        before = f"*{len(args)}\r\n".encode()
        for shown, run in itertools.groupby(args, key=lambda arg: type(arg) is memoryview):
            if not shown:
                before += super().pack(*[b"", *run])[0].split(b"\r\n", 3)[3]
                continue
            for view in run:
                pieces += [before + f"${view.nbytes}\r\n".encode(), view]
                before = b"\r\n"
        return [*pieces, before]


def use_in_worker(url: str) -> None:
    """Make user code in this (pool) process connect to the worker's server."""
    _in_worker.clear()
    _in_worker["url"] = url


def shared() -> Redis:
    """One lazy connection for this process, for what user code opens: result lists, the current job."""
    connection = _in_worker.get("connection")
    if connection is None or _in_worker.get("pid") != os.getpid():
        _in_worker["connection"] = connection = connect()
        _in_worker["pid"] = os.getpid()  # a fork must not share its parent's socket
    return connection
