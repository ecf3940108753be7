"""``taskq.share``: an object that several maps use, and that stands on the server once.

What maps share by themselves is gone with each of them (``repeats.py``); this is kept until it is unshared, or has
not been used for its time to live. Where a handle was pickled, whoever reads that finds the object itself.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, TypeVar

from redis.exceptions import RedisError

from taskq.errors import DamagedError, OptionError, ResultsGoneError
from taskq.payload import large
from taskq.payload.large import Blob, Told
from taskq.redis import clients, keys
from taskq.redis import connection as connections
from taskq.redis.patience import clear_errors

T = TypeVar("T")

SHARE_TTL = 24 * 3600.0  # seconds after the last push of a map that uses it
_LONGEST = 10**9  # seconds
_TTL = "ttl"  # field beside the pieces: those seconds, 0: for ever; it is written last


class Shared(Generic[T]):
    """A handle on a shared object. Made by ``taskq.share`` and ``Queue.share``.

    It goes into whatever maps are given: an argument of ``functools.partial``, a global or a closure of the
    function, an item. There the function finds the object in its place, as if that had been sent: arrays are
    read-only views of memory that all pool processes of a host have in common.

    A context manager: at the end of the block the object is unshared. Maps that have not ended by then fail.
    """

    def __init__(self, told: Told, value: T, keeper: _Keeper) -> None:
        self._told = told
        self._value = value
        self._keeper = keeper
        self._gone = False
        self._own = os.getpid()

    @property
    def value(self) -> T:
        """The object, here where it was shared."""
        return self._value

    @property
    def size(self) -> int:
        """Bytes that it takes on the server."""
        return self._told.size

    def unshare(self) -> bool:
        """Delete it from the server; whether it was there. Maps that use it and have not ended fail.

        Raises:
            ServerError: If the server can't be reached, or refuses.
        """
        self._gone = True
        return self._keeper.delete(self._told)

    def __enter__(self) -> Shared[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if os.getpid() == self._own:  # it is not a fork that leaves the block
            self.unshare()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._gone:
            raise ResultsGoneError(f"{self!r} was unshared: share it again, or push the map before that")
        return fetched, (large.pickled_as(self._told),)

    def __repr__(self) -> str:
        return f"<Shared {type(self._value).__name__}, {self.size:,} bytes>"


def share(value: T, *, ttl: float | None = SHARE_TTL, connection: Any = None) -> Shared[T]:
    """Put an object on the server once, for all maps that get the handle.

        with taskq.share(table) as shared:
            first = queue.map(partial(score, shared), rows)
            second = queue.map(partial(check, shared), rows)
            first.get(), second.get()

    Args:
        value: Anything that can be pickled; it may be large. What shows its memory (arrays of NumPy, tables of
            pandas and Arrow, ``memoryview``) is read by workers where it lies, and read-only; of ``bytes``, lists
            and the rest each pool process makes its own.
        ttl: Seconds after the last push of a map that uses it, above 0; then it is gone. None: it stays until
            ``unshare``. Default: a day.
        connection: A redis-py connection; default: to ``TASKQ_URL``, as ``Queue()``.

    Returns:
        The handle. It holds ``value`` itself, too.

    Raises:
        OptionError: If the time to live, or the connection, is one that can't be used.
        PickleError: If the object can't be pickled.
        ServerError: If the server can't be reached, or refuses, say since it has no memory; nothing is left then.

    Whether a map that waits longer than ``ttl`` still finds it is not guaranteed: it fails if not, and says why.
    """
    if ttl is not None and not (isinstance(ttl, (int, float)) and 0 < ttl <= _LONGEST and not math.isnan(ttl)):
        raise OptionError(f"ttl must be seconds above 0, at most {_LONGEST:,}, or None, not {ttl!r}")
    if connection is None:
        connection = connections.shared()
    clients.check(connection)
    return Shared(keep(value, connection, ttl), value, _Keeper(connection))


def keep(value: Any, connection: Any, ttl: float | None = SHARE_TTL) -> Told:
    """Put an object on the server, for who follows by himself how long it is wanted. Raises as ``share``."""
    blob = large.blob_of(value, "the shared object")
    told = Told(blob.digest, blob.size, os.urandom(16).hex())
    _Keeper(connection).write(told, blob, math.ceil(ttl or 0))
    return told


def read(told: Told) -> memoryview:
    """What was put on this process's server, read-only; raises as ``fetched``."""
    return _Keeper(connections.shared()).read(told)


def drop(connection: Any, told: Iterable[Told]) -> None:
    """Delete objects.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached; then they expire.
    """
    connection.unlink(*(keys.shared(one.kept) for one in told))


class _Keeper:
    """Writes and reads shared objects on one server."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    @clear_errors
    def write(self, told: Told, blob: Blob, ttl: int) -> None:
        key = keys.shared(told.kept)
        try:
            for number, piece in enumerate(blob.pieces()):
                with self.connection.pipeline() as pipe:
                    pipe.hset(key, str(number), piece)
                    pipe.expire(key, keys.WRITING_TTL)
                    pipe.execute()
            with self.connection.pipeline() as pipe:
                pipe.hset(key, _TTL, str(ttl))
                _limit(pipe, key, ttl)
                pipe.execute()
        except BaseException:
            with suppress(RedisError):  # else it expires
                self.connection.unlink(key)
            raise

    @clear_errors
    def delete(self, told: Told) -> bool:
        return bool(self.connection.unlink(keys.shared(told.kept)))

    @clear_errors
    def read(self, told: Told) -> memoryview:
        key, held = keys.shared(told.kept), bytearray()
        for number in range(told.count):
            piece = self.connection.hget(key, str(number))
            if piece is None:
                raise _gone(told)
            held += piece
        if hashlib.sha256(held).hexdigest() != told.digest:
            raise DamagedError(f"a shared object was changed: what stands in {key} is not {told.digest}")
        return memoryview(held).toreadonly()


class _Held:
    """What this process has read last; all that was made of it is read-only, and so is the same for the next."""

    _MOST = (4, 256 << 20)  # objects, and bytes but for the last of them

    def __init__(self) -> None:
        self._views: OrderedDict[Told, memoryview] = OrderedDict()
        self._turn = threading.Lock()  # items may run in threads

    def read(self, told: Told) -> memoryview:
        """As the function ``read``."""
        view = self._views.get(told)
        if view is None:
            view = read(told)
        with self._turn:
            self._views.pop(told, None)  # it comes last from now on
            self._views[told] = view
            count, size = self._MOST
            while len(self._views) > count or (len(self._views) > 1 and self._size() > size):
                self._views.popitem(last=False)
            return view

    def _size(self) -> int:
        return sum(view.nbytes for view in self._views.values())


_held = _Held()


def _gone(told: Told) -> ResultsGoneError:
    return ResultsGoneError(f"a shared object of {told.size:,} bytes is gone: unshared, expired or evicted")


def renew(connection: Any, used: Iterable[Told]) -> None:
    """Let shared objects live anew, since a map is being pushed that uses them.

    Raises:
        ResultsGoneError: If one is gone.
    """
    for told in used:
        key = keys.shared(told.kept)
        ttl = connection.hget(key, _TTL)
        if ttl is None:
            raise _gone(told)
        _limit(connection, key, int(ttl))


def _limit(connection: Any, key: str, ttl: int) -> None:
    if ttl:
        connection.expire(key, ttl)
    else:
        connection.persist(key)


def fetched(text: str, *, keeps: bool = False) -> Any:
    """The object that a handle stands for: what unpickling one gives.

    Args:
        text: The handle's.
        keeps: Whether this process keeps what it reads for the next time, also if it is no pool process.

    A pool process finds it in the memory that it has in common with others if a map has announced it. What it
    gets otherwise, with an item of an open map, a call of a pool, a plain job, it reads from the server once, as
    long as it is among the last that it has read (``_held``). Who is no pool process reads it each time.

    Raises:
        ResultsGoneError: If it is gone.
        DamagedError: If it is not what was shared.
        ServerError: If the server can't be reached.
    """
    told = Told.read(text)
    if large.is_offered(told.digest):
        return large.value_of(told.digest)
    return large.value_in(_held.read(told) if keeps or connections.in_worker() else read(told))
