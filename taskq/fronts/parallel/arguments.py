"""Arguments of calls, ready to travel: what is large stands on the server once, for all calls that have it."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from taskq.errors import PickleError, TooLargeError
from taskq.fronts import baggage
from taskq.fronts.parallel.item import Handle
from taskq.maps import shared
from taskq.payload import codec, large

_RENEWED = 3600.0  # seconds after which it is said again that an object is in use


@dataclass
class _Known:
    """An object that is on the server."""

    value: weakref.ref[Any]
    handle: Handle
    renewed: float = field(default_factory=time.monotonic)


class Arguments:
    """Of the calls of one ``Parallel``.

    As for joblib's own memory maps, an object is known by its identity: one that is changed between two calls is
    not sent a second time. It is deleted from the server when nobody refers to it any more, or at the end.

    Args:
        connection: To the server.
        limit: Bytes that what is not shared may have.
        shares: Whether anything is shared.
        own_workers: They go to workers that this program has started.
    """

    def __init__(self, connection: Any, limit: int, *, shares: bool, own_workers: bool = False) -> None:
        self._connection, self._limit, self._shares = connection, limit, shares
        self._own_workers = own_workers
        self._known: dict[int, _Known] = {}  # by ``id``
        self._gone: deque[tuple[int, Handle]] = deque()  # nobody here refers to these any more

    @property
    def handles(self) -> tuple[Handle, ...]:
        """All that there are now."""
        return tuple(known.handle for known in list(self._known.values()))

    def packed(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Pickled ``(args, kwargs)``; the caller keeps what is in them until the call has ended.

        Raises:
            UnsendableError: If something can't be pickled; says what.
            TooLargeError: If what is not shared has more bytes than it may.
            ServerError, redis.exceptions.RedisError: If the server can't be reached, or refuses.
            ResultsGoneError: If what was shared has gone from the server.
        """
        if not self._shares:
            return self._pickled(function, args, kwargs)
        self._sweep()
        args = tuple(self._there(value) for value in args)
        kwargs = {name: self._there(value) for name, value in kwargs.items()}
        too_large: TooLargeError | None = None
        try:
            data = self._pickled(function, args, kwargs)
            if len(data) < large.LEAST:
                return data
        except TooLargeError as error:
            too_large = error
        sent = tuple(self._sent(value) for value in args)
        named = {name: self._sent(value) for name, value in kwargs.items()}
        if too_large is None and all(
            old is new for old, new in zip((*args, *kwargs.values()), (*sent, *named.values()), strict=True)
        ):
            return data
        return self._pickled(function, sent, named)

    def _pickled(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        return baggage.arguments(function, args, kwargs, self._limit, own_workers=self._own_workers)

    def close(self) -> None:
        """Delete all from the server; the calls have ended.

        Raises:
            redis.exceptions.RedisError: If it can't be reached; then it expires there.
        """
        handles = [*self.handles, *(handle for _id, handle in self._gone)]
        self._known.clear()
        self._gone.clear()
        self._delete(handles)

    def _there(self, value: Any) -> Any:
        """The handle of what is on the server already; else the value itself."""
        known = self._known.get(id(value))
        if known is None or known.value() is not value:
            return value
        if time.monotonic() - known.renewed > _RENEWED:
            shared.renew(self._connection, [known.handle.told])
            known.renewed = time.monotonic()
        return known.handle

    def _sent(self, value: Any) -> Any:
        """The handle of what is large, and has just been written; else the value itself."""
        if isinstance(value, Handle) or not _is_large(value):
            return value
        if known := self._known.get(id(value)):
            self._gone.append((0, known.handle))  # of an object that had this id before
        handle, key, gone = Handle(shared.keep(value, self._connection)), id(value), self._gone
        reference = weakref.ref(value, lambda _reference: gone.append((key, handle)))
        self._known[key] = _Known(reference, handle)
        return handle

    def _sweep(self) -> None:
        """Delete what nobody refers to; a weak reference's callback runs anywhere, and only notes it."""
        handles = []
        while self._gone:
            key, handle = self._gone.popleft()
            if key and key in self._known and self._known[key].handle is handle:
                del self._known[key]
            handles.append(handle)
        if handles:
            self._delete(handles)

    def _delete(self, handles: list[Handle]) -> None:
        if handles:
            shared.drop(self._connection, [handle.told for handle in handles])


def _is_large(value: Any) -> bool:
    """Whether it shows memory of a MiB or more in one piece, and can be followed."""
    apart = large.Apart()
    try:
        weakref.ref(value)
        codec.dumps(value, apart=apart)
    except (TypeError, PickleError):
        return False
    return bool(apart.buffers)
