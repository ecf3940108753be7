"""The items of a generator as they were when it gave them: it may fill one object anew for each item.

Several items travel in one chunk, so who reads a generator still has the former item in hand when the next one
comes. Of what can be changed in place a copy is kept until then: of Python's containers and what is derived from
them, of dataclasses, arrays and tables, at any depth. What comes again as it was is the same copy again, so that a
chunk does not hold it many times. Any other object is taken as it is.
"""

from __future__ import annotations

import array
import copy
import dataclasses
import operator
import sys
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from taskq.errors import TaskqError
from taskq.maps.items import is_inert
from taskq.payload import codec, large
from taskq.payload.large import LEAST

_DEEP = 50  # levels of containers in an item, below which all is taken as it is
_FIXED = frozenset([type(None), bool, int, float, complex, str, bytes, range])
_COPIES: dict[type, Any] = {list: list.copy, dict: dict.copy}
_SMALL = 16, 1024  # members of a container, and bytes of a buffer: of fewer there may be many copies
_KEPT = 20_000, 4  # containers with their members, and buffers, that are remembered


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


class _Copied(NamedTuple):
    """A container that was copied; it is held, so that no other gets its id.

    Args:
        value: The container.
        members: Of it, then.
        settled: What stood for these.
        made: Its copy.
        flat: Whether none of its members can change.
    """

    value: Any
    members: list[Any]
    settled: list[Any]
    made: Any
    flat: bool


class Settler:
    """Copies what may change."""

    def __init__(self) -> None:
        self._seen: OrderedDict[int, _Copied] = OrderedDict()
        self._held = 0  # members of these
        self._buffers: OrderedDict[int, tuple[Any, Any, Any]] = OrderedDict()  # it, what it held, and the copy

    def settle(self, item: Any) -> Any:
        """The item, or what stands for it from now on."""
        kind = type(item)
        if kind in _FIXED or (kind is tuple and _FIXED.issuperset(map(type, item))):
            return item
        if kind is list and len(item) < _SMALL[0] and _FIXED.issuperset(map(type, item)):
            return item[:]
        if kind is dict and len(item) < _SMALL[0] and _FIXED.issuperset(map(type, item.values())):
            return item.copy()
        return self._settle(item, {}, _DEEP)

    def _settle(self, value: Any, known: dict[int, Any], deep: int) -> Any:
        """The value, or its copy; what an item holds twice, it holds twice afterwards (``known``: by its id)."""
        kind = type(value)
        if kind in _FIXED or not deep:
            return value
        if id(value) not in known:
            shape: Any = _shape_of(kind)  # type: ignore[arg-type]
            if shape is None:
                known[id(value)] = self._buffer(value)
            elif shape is tuple:
                known[id(value)] = self._tuple(value, known, deep - 1)
            else:
                known[id(value)] = self._container(value, shape, known, deep - 1)
        return known[id(value)]

    def _container(self, value: Any, shape: Any, known: dict[int, Any], deep: int) -> Any:
        before = self._seen.get(id(value))
        members = _members(value, shape)
        if before is not None and not _are_same(members, before.members):
            before = None
        flat = before.flat if before else _FIXED.issuperset(map(type, members))
        if flat and before:
            return before.made
        try:
            made = known[id(value)] = _COPIES.get(type(value), copy.copy)(value)  # it may hold itself
        except Exception:  # noqa: BLE001 - a class of the user's that can't be copied: who pickles it may say why
            return value
        settled = members if flat else [self._settle(one, known, deep) for one in members]
        if before and _are_same(settled, before.settled):
            return before.made
        if not flat:
            _put(made, shape, members, settled)
        self._remember(value, _Copied(value, members, settled, made, flat))
        return made

    def _remember(self, value: Any, copied: _Copied) -> None:
        if before := self._seen.pop(id(value), None):
            self._held -= 1 + len(before.members)
        self._seen[id(value)] = copied
        self._held += 1 + len(copied.members)
        while self._held > _KEPT[0] and len(self._seen) > 1:
            self._held -= 1 + len(self._seen.popitem(last=False)[1].members)

    def _tuple(self, value: tuple[Any, ...], known: dict[int, Any], deep: int) -> Any:
        copies = [self._settle(one, known, deep) for one in value]
        if _are_same(copies, value):
            return value
        return tuple(copies) if type(value) is tuple else getattr(value, "_make", lambda _copies: value)(copies)

    def _buffer(self, value: Any) -> Any:
        """The copy of an array, a table and the like; anything else as it is."""
        size = len(value) * value.itemsize if type(value) is array.array else large.size_of(value)
        if not size or type(value) is bytes or _is_scalar(value):
            return value
        try:
            return self._copied(value, size)
        except TaskqError:  # it can't be sent, and who sends it says so, and of which item
            return value

    def _copied(self, value: Any, size: int) -> Any:
        if size < _SMALL[1]:
            return _copy(value)
        held: Any = codec.dumps(value) if size < LEAST else large.blob_of(value).digest
        before = self._buffers.get(id(value))
        if before is None or before[1] != held:
            before = self._buffers[id(value)] = value, held, _copy(value)
            while len(self._buffers) > _KEPT[1]:
                self._buffers.popitem(last=False)
        return before[2]


@lru_cache(1000)  # a program may make classes without end
def _shape_of(kind: type) -> Any:
    """As what its members are looked at; None: it has none that can be changed in place."""
    for shape in (list, dict, tuple, set, deque):
        if issubclass(kind, shape):
            return shape
    changes = dataclasses.is_dataclass(kind) and not kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return dataclasses.fields(kind) if changes else None


def _members(value: Any, shape: Any) -> list[Any]:
    if shape is dict:
        return [*value.keys(), *value.values()]
    if isinstance(shape, tuple):
        return [getattr(value, field.name, None) for field in shape]
    return [*value]


def _put(made: Any, shape: Any, members: Sequence[Any], settled: Sequence[Any]) -> None:
    """Have the copy of a container hold what stands for its members."""
    for at, (one, other) in enumerate(zip(members, settled, strict=True)):
        if one is other or shape is set:
            continue
        if shape is dict:
            made[members[at - len(members) // 2]] = other
        elif isinstance(shape, tuple):
            object.__setattr__(made, shape[at].name, other)
        else:
            made[at] = other


def _are_same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _copy(value: Any) -> Any:
    """What arrives if the value is sent as it is now."""
    return value.copy("K") if codec.is_array(value) else codec.loads(codec.dumps(value))


def _is_scalar(value: Any) -> bool:
    """Whether it is one number of NumPy's: these show their bytes as arrays do, and don't change."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)
