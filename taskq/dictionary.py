"""A dictionary in Redis: what ``multiprocessing.Manager().dict()`` is to the processes of one program."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from taskq.errors import DamagedError, OptionError, SignatureError
from taskq.payload import codec, signing
from taskq.redis import once
from taskq.redis.named import Named
from taskq.redis.patience import clear_errors

_ATOMS = frozenset([type(None), bool, int, float, str, bytes])
_MISSING = object()


class Dict(Named):
    """One dictionary, for all programs and jobs of one Redis.

        sizes = queue.dict("sizes")
        sizes["a"] = 1
        sizes.update(b=2, c=3)           # with nobody in between
        dict(sizes)

    A key is None, a number, a text, bytes, or a tuple of these, and equal keys are one, as in any dictionary; a
    value is anything that can be pickled. May be passed to jobs as an argument; there it connects to the worker's
    server when first used. Each method is one step, with nobody in between. As with a Manager's,
    ``sizes["a"] += 1`` reads and then writes, and loses what others write in between: a ``Value`` has ``add`` for
    that, and a ``Lock`` keeps others out.

    Args:
        key: The Redis key. It is there as long as anything is in it.
        connection: None: one that is shared by this process, to ``TASKQ_URL`` (in a job: the worker's).

    Raises:
        OptionError: If the connection is one that can't be used: see ``Queue``.

    Every access raises ``ServerError`` if the server can't be reached, or refuses; ``OptionError`` if a key is
    none that it can have; and ``SignatureError`` if there is a secret key, and what stands there is not signed for
    this key of this dictionary. Not guaranteed: any order. Nor can it be seen that somebody has removed a pair, or
    put back an older value of the same key.
    """

    @clear_errors
    def __getitem__(self, key: Any) -> Any:
        found = self._find(key, _MISSING)
        if found is _MISSING:
            raise KeyError(key)
        return found

    @clear_errors
    def __setitem__(self, key: Any, value: Any) -> None:
        self.connection.hset(self.key, _field(key), self._packed(key, value))

    @clear_errors
    def __delitem__(self, key: Any) -> None:
        self._take(key)

    @clear_errors
    def __contains__(self, key: Any) -> bool:
        return bool(self.connection.hexists(self.key, _field(key)))

    @clear_errors
    def __len__(self) -> int:
        return int(self.connection.hlen(self.key))

    def __iter__(self) -> Iterator[Any]:
        """The keys that there are now."""
        return iter(self.keys())

    @clear_errors
    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key; ``default`` if there is none."""
        return self._find(key, default)

    @clear_errors
    def items(self) -> list[tuple[Any, Any]]:
        """All pairs that there are now, read in one step."""
        return [self._pair(field, data) for field, data in self.connection.hgetall(self.key).items()]

    def keys(self) -> list[Any]:
        """The keys of ``items``."""
        return [key for key, _value in self.items()]

    def values(self) -> list[Any]:
        """The values of ``items``."""
        return [value for _key, value in self.items()]

    def copy(self) -> dict[Any, Any]:
        """What it is now."""
        return dict(self.items())

    @clear_errors
    def pop(self, key: Any, default: Any = _MISSING) -> Any:
        """Remove a key; returns its value, or ``default``.

        Raises:
            KeyError: If it is not there, and no default is given.
        """
        try:
            data = self._take(key)
        except KeyError:
            if default is _MISSING:
                raise
            return default
        return self._pair(_field(key), data)[1]

    @clear_errors
    def popitem(self) -> tuple[Any, Any]:
        """Remove any pair, and return it.

        Raises:
            KeyError: If it is empty.
        """
        found: list[tuple[bytes, bytes]] = []

        def act(pipe: Any) -> None:
            field = pipe.hrandfield(self.key)
            if field is None:
                raise KeyError(f"{self!r} is empty")
            found[:] = [(field, pipe.hget(self.key, field))]
            pipe.multi()
            pipe.hdel(self.key, field)

        once.transaction(self.connection, act, self.key)
        return self._pair(*found[0])

    @clear_errors
    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value of a key, which is ``default`` from now on if there was none.

        Raises:
            PickleError: If that can't be pickled; nothing was changed.
        """
        field, packed = _field(key), self._packed(key, default)
        while True:
            self.connection.hsetnx(self.key, field, packed)
            if (data := self.connection.hget(self.key, field)) is not None:  # else removed by somebody since
                return self._pair(field, data)[1]

    @clear_errors
    def update(self, other: Mapping[Any, Any] | Dict | Iterable[tuple[Any, Any]] = (), /, **more: Any) -> None:
        """Set all these, in one step.

        Args:
            other: A mapping, another such dictionary, or pairs of key and value.
            more: Others, by name.

        Raises:
            PickleError: If one can't be pickled; nothing was changed.
        """
        pairs = [*(other.items() if isinstance(other, Mapping | Dict) else other), *more.items()]
        packed = {_field(key): self._packed(key, value) for key, value in pairs}
        if packed:
            self.connection.hset(self.key, mapping=packed)

    @clear_errors
    def clear(self) -> None:
        """Remove all, and with it the key of Redis."""
        self.connection.delete(self.key)

    def _find(self, key: Any, default: Any) -> Any:
        field = _field(key)
        data = self.connection.hget(self.key, field)
        return default if data is None else self._pair(field, data)[1]

    def _take(self, key: Any) -> bytes:
        """Remove a key; returns what stood there."""
        field = _field(key)
        found: list[bytes] = []

        def act(pipe: Any) -> None:
            data = pipe.hget(self.key, field)
            if data is None:
                raise KeyError(key)
            found[:] = [data]
            pipe.multi()
            pipe.hdel(self.key, field)

        once.transaction(self.connection, act, self.key)
        return found[0]

    def _packed(self, key: Any, value: Any) -> bytes:
        return codec.at("entry", self.key).dumps((key, value), "the value")

    def _pair(self, field: bytes, data: bytes) -> tuple[Any, Any]:
        """Key and value; the key is signed with the value, so none can be put in another's place."""
        pair = codec.at("entry", self.key).loads(data)
        if type(pair) is not tuple or len(pair) != 2 or _field(pair[0]) != field:  # noqa: PLR2004
            kind = SignatureError if signing.keyring() else DamagedError
            raise kind(f"what stands at {field!r:.80} in {self.key} was not written for that key")
        return pair

    def __reduce__(self) -> tuple[Any, ...]:
        return Dict, (self.key,)

    def __repr__(self) -> str:
        return f"<taskq.Dict {self.key!r}>"


def _field(key: Any) -> bytes:
    """The name of a key's field: a text that equal keys share, and others don't."""
    return ascii(_plain(key)).encode()


def _plain(key: Any) -> Any:
    """The key, with all numbers that are equal made one.

    Raises:
        OptionError: If it is none.
    """
    if type(key) is tuple:
        return tuple(map(_plain, key))
    if type(key) not in _ATOMS or key != key:  # noqa: PLR0124 - NaN
        raise OptionError(
            f"a key must be None, a number, a text, bytes or a tuple of these, not {key!r:.80}: others have no "
            "name that is the same in all programs"
        )
    if type(key) is bool or (type(key) is float and math.isfinite(key) and key.is_integer()):
        return int(key)
    return key
