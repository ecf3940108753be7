"""Items that hold the same objects, each to be read by itself: what they have in common stands before them, once.

    written   pickles of what several items hold (a class that goes by value, a table of settings), in an order in
              which each needs only those before it; then one of each item, which refers to these by number
    Common    reads the items, and each of those objects when the first item needs it

So an item that can't be read, or ends its process, costs itself, and not those that share an object with it; and a
chunk is about as large as one pickle of all its items.
"""

from __future__ import annotations

import io
import types
from collections.abc import Sequence
from typing import Any

from taskq.errors import DamagedError
from taskq.payload import by_value, codec

_SMALL = frozenset([type(None), bool, int, float, complex, type(...), type(NotImplemented)])
_TEXTS = frozenset([str, bytes])
_LEAST = 64  # characters or bytes, below which to refer to a text takes as much as the text
_MOST = 10_000  # objects in common
_LOOKED_AT = 64  # items of a chunk, spread over it: what they have in common, the others have mostly, too
_NAMED = (type, types.FunctionType, types.BuiltinFunctionType)


class _CircleError(Exception):
    """Objects in common hold each other, so that none comes before the other."""


def written(items: Sequence[Any]) -> tuple[list[bytes], list[bytes]] | None:
    """Pickles of what several of these hold, and of the items.

    Returns:
        None if they can't be told apart: what they have in common holds them in turn, or there is too much of it.
    """
    try:
        table = _Table(_found(items))
        return table.pickles, [table.dumps(item) for item in items]
    except Exception:  # noqa: BLE001 - they can be pickled together, which is what is done with them then
        return None


class _Finder(by_value.Pickler):
    """Goes through items, and notes which objects several of them hold."""

    def __init__(self) -> None:
        super().__init__(_Nowhere())
        self.common: dict[int, Any] = {}
        self.item = 0
        self._seen: dict[int, tuple[Any, int]] = {}  # held, so that none of what is made for a pickle has its id

    def persistent_id(self, obj: Any) -> None:
        kind = type(obj)
        if kind in _SMALL or (kind in _TEXTS and len(obj) < _LEAST):
            return
        first = self._seen.setdefault(id(obj), (obj, self.item))[1]
        if first != self.item and not (isinstance(obj, _NAMED) and by_value.importable(obj)):
            self.common[id(obj)] = obj


class _Nowhere:
    def write(self, data: Any) -> int:
        return len(data)


def _found(items: Sequence[Any]) -> dict[int, Any]:
    finder = _Finder()
    for finder.item, item in enumerate(items[:: -(-len(items) // _LOOKED_AT)]):
        finder.dump(item)
    if len(finder.common) > _MOST:
        raise _CircleError
    return finder.common


class _Table:
    """What is in common, as far as it has been pickled.

    Args:
        common: By its id, and held by that.
    """

    def __init__(self, common: dict[int, Any]) -> None:
        self._common = common
        self._numbers: dict[int, int | None] = {}  # None: it is being pickled
        self.pickles: list[bytes] = []

    def dumps(self, value: Any, root: Any = None) -> bytes:
        """Its pickle, in which numbers stand for what is in common, but for the root itself."""
        with io.BytesIO() as file:
            _Referring(file, self, root).dump(value)
            return file.getvalue()

    def number_of(self, obj: Any) -> int | None:
        """Of an object that is in common; None of any other.

        Raises:
            _CircleError: If it is being pickled.
        """
        key = id(obj)
        if key not in self._common:
            return None
        if key not in self._numbers:
            self._numbers[key] = None
            data = self.dumps(obj, obj)
            self._numbers[key] = len(self.pickles)
            self.pickles.append(data)
        if self._numbers[key] is None:
            raise _CircleError
        return self._numbers[key]


class _Referring(by_value.Pickler):
    def __init__(self, file: Any, table: _Table, root: Any) -> None:
        super().__init__(file)
        self._table, self._root = table, root

    def persistent_id(self, obj: Any) -> int | None:
        return None if obj is self._root and obj is not None else self._table.number_of(obj)


class Common:
    """Reads items that ``written`` has written.

    Args:
        pickles: Of what they have in common.
    """

    def __init__(self, pickles: Sequence[bytes]) -> None:
        self._pickles = pickles
        self._objects: dict[int, Any] = {}

    def __call__(self, item: bytes) -> Any:
        """The item.

        Raises:
            DamagedError: If it refers to what is not there.
            Others: As ``codec.loads``, of the item, or of what it has in common with others.
        """
        return codec.loads_referring(item, self._object)

    def _object(self, number: Any) -> Any:
        if number not in self._objects:
            if type(number) is not int or not 0 <= number < len(self._pickles):
                raise DamagedError(f"an item refers to {number!r:.40}, and {len(self._pickles)} are in common")
            self._objects[number] = codec.loads_referring(self._pickles[number], self._object)
        return self._objects[number]
