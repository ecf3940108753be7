"""The items of a generator as they were when it gave them: it may fill one object anew for each item.

Several items travel in one chunk, so who reads a generator still has the former item in hand when the next one
comes. Of what can be changed in place a copy is kept until then: of plain containers, arrays and tables. Any other
object is taken as it is, as by ``multiprocessing.Pool.map``, which makes a list first: to change one of those when
it was given changes the item.
"""

from __future__ import annotations

import array
import sys
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import Any

from taskq.errors import TaskqError
from taskq.maps.items import is_inert
from taskq.payload import codec, large
from taskq.payload.large import LEAST

_DEEP = 4  # levels of containers in an item, below which all is taken as it is
_FIXED = frozenset([type(None), bool, int, float, complex, str, bytes, range])
_FLAT = frozenset([bytearray, array.array, set, deque])
_KEPT = 4  # large objects that are remembered


def settled(items: Iterable[Any]) -> Iterator[Any]:
    """These items, none of which changes any more when the next one is asked for.

    It ends for good, also where an iterator would go on after its end when it is asked once more.
    """
    iterator = iter(items)
    return iterator if is_inert(items) else _each(iterator)


def _each(items: Iterator[Any]) -> Iterator[Any]:
    settle = Settler().settle
    for item in items:
        yield settle(item)


class Settler:
    """Copies what may change. What is large, and comes again as it was, is the same object again."""

    def __init__(self) -> None:
        # The one that came, so that no other gets its id; the digest of what it held; and the copy.
        self._large: OrderedDict[int, tuple[Any, str, Any]] = OrderedDict()

    def settle(self, item: Any) -> Any:
        """The item, or what stands for it from now on."""
        kind = type(item)
        if kind in _FIXED or (kind is tuple and _FIXED.issuperset(map(type, item))):
            return item
        if kind is list and _FIXED.issuperset(map(type, item)):
            return item[:]
        if kind is dict and _FIXED.issuperset(map(type, item.values())):
            return item.copy()
        return self._settle(item, {}, _DEEP)

    def _settle(self, value: Any, known: dict[int, Any], deep: int) -> Any:
        """The value, or its copy; what an item holds twice, it holds twice afterwards (``known``: by its id)."""
        kind = type(value)
        if kind in _FIXED or not deep:
            return value
        if id(value) in known:
            return known[id(value)]
        if kind is list:
            made: Any = []
            known[id(value)] = made  # before what it holds, which may be itself
            made += [self._settle(one, known, deep - 1) for one in value]
        elif kind is dict:
            made = known[id(value)] = {}
            made.update({key: self._settle(one, known, deep - 1) for key, one in value.items()})
        else:
            made = self._tuple(value, known, deep - 1) if kind is tuple else self._buffer(value)
            known[id(value)] = made
        return made

    def _tuple(self, value: tuple[Any, ...], known: dict[int, Any], deep: int) -> tuple[Any, ...]:
        copies = tuple([self._settle(one, known, deep) for one in value])
        return copies if any(one is not other for one, other in zip(copies, value, strict=True)) else value

    def _buffer(self, value: Any) -> Any:
        """The copy of an array, a table and the like; anything else as it is."""
        if type(value) in _FLAT and (type(value) is set or len(value) * getattr(value, "itemsize", 1) < LEAST):
            return type(value)(value) if type(value) is not array.array else value[:]
        size = large.size_of(value)
        if not size or _is_scalar(value):
            return value
        try:
            return _copy(value) if size < LEAST else self._large_one(value)
        except TaskqError:  # it can't be sent, and who sends it says so, and of which item
            return value

    def _large_one(self, value: Any) -> Any:
        blob = large.blob_of(value)
        if blob.size < LEAST:
            return _copy(value)
        before = self._large.get(id(value))
        if before is None or before[1] != blob.digest:
            before = self._large[id(value)] = value, blob.digest, _copy(value)
            while len(self._large) > _KEPT:
                self._large.popitem(last=False)
        return before[2]


def _copy(value: Any) -> Any:
    """What arrives if the value is sent as it is now."""
    return value.copy("K") if codec.is_array(value) else codec.loads(codec.dumps(value))


def _is_scalar(value: Any) -> bool:
    """Whether it is one number of NumPy's: these show their bytes as arrays do, and don't change."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)
