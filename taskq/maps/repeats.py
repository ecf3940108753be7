"""Large objects that many items hold, as in ``map(f, repeat(table), range(200))``: each travels once.

An item, or what stands directly in an item that is a tuple, list or dict, is compared with others by identity.
What comes a second time and holds a MiB or more of buffers (or of bytes) becomes a blob (``payload/large.py``); in
the items a ``Ref`` stands for it. What comes once travels with its item: a blob would stay until the map ends.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from taskq.payload import large
from taskq.payload.large import LEAST, SHORT, Blob, Ref, size_of

_MOST = 64  # objects of a map that travel apart, or were found to be small
_ONCE = (64, 4)  # objects that came once, and are remembered: of lists, which hold them anyway, and of generators


class Slimmed(list[Any]):
    """Items in some of which references stand: they share nothing else, and each is pickled by itself."""

    def __getitem__(self, which: Any) -> Any:
        found = super().__getitem__(which)
        return Slimmed(found) if isinstance(which, slice) else found


class Ahead:
    """An iterator that can be asked what comes next."""

    def __init__(self, source: Iterable[Any]) -> None:
        self._source = iter(source)
        self._next: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._next.pop() if self._next else next(self._source)

    def peek(self) -> Any:
        """What comes next; an empty tuple if nothing does."""
        if not self._next:
            for one in self._source:
                self._next.append(one)
                break
        return self._next[0] if self._next else ()


def may_be_large(run: Any) -> bool:
    """Whether its first item holds something large, judged in a microsecond."""
    if type(run) not in (list, tuple):
        return False
    return any(size_of(one) >= LEAST for one in _members(run[0]))


def _members(item: Any) -> Iterable[Any]:
    kind = type(item)
    return item if kind in (tuple, list) else item.values() if kind is dict else (item,)


@dataclass
class _Seen:
    """An object that came more than once; it is held, so that no other gets its id."""

    value: Any
    ref: Ref | None  # None: it is small


class Repeats:
    """What one map's items have in common.

    Args:
        keep: Writes a blob, if it is not there yet.
        held: Whether somebody holds the items anyway. Of a generator nobody does, and more of them are not read
            than are needed.

    No object changes as long as it is held here: see ``settled.py``.
    """

    def __init__(self, keep: Callable[[Blob], object], *, held: bool) -> None:
        self._keep = keep
        self._held = held
        self._seen: dict[int, _Seen] = {}
        self._once: OrderedDict[int, Any] = OrderedDict()  # held, as those

    def slimmed(self, run: Any, following: Ahead) -> Any:
        """The items, with references in the place of what is large and comes again.

        Args:
            run: A list or a tuple of items.
            following: What gives the items after them.
        """
        counts = Counter(id(one) for item in run for one in _members(item) if size_of(one) >= LEAST)
        counts.update(key for key in list(counts) if key in self._once)
        if self._held and any(count == 1 and key not in self._seen for key, count in counts.items()):
            counts.update({id(one) for item in following.peek() for one in _members(item)} & counts.keys())
        refs: dict[int, Ref | None] = {}
        for item in run:
            for one in _members(item):
                if counts.get(id(one), 0) and id(one) not in refs:
                    refs[id(one)] = self._ref(one, counts[id(one)])
        found = {key: ref for key, ref in refs.items() if ref is not None}
        return Slimmed(_with(item, found) for item in run) if found else run

    def _ref(self, value: Any, count: int) -> Ref | None:
        """What stands for it; None if it stays where it is."""
        seen = self._seen.get(id(value))
        if seen is None:
            if count == 1:
                self._remember(value)
            if count == 1 or len(self._seen) >= _MOST:
                return None
            self._once.pop(id(value), None)
            seen = self._seen[id(value)] = _Seen(value, self._kept(value))
        return seen.ref

    def _remember(self, value: Any) -> None:
        self._once[id(value)] = value
        while len(self._once) > _ONCE[0 if self._held else 1]:
            self._once.popitem(last=False)

    def _kept(self, value: Any) -> Ref | None:
        blob = large.blob_of(value, "an item's large object")
        if blob.size < LEAST:
            return None
        self._keep(blob)
        return Ref(blob.digest[:SHORT])


def _with(item: Any, refs: dict[int, Ref]) -> Any:
    kind = type(item)
    if kind is dict:
        return {key: refs.get(id(value), value) for key, value in item.items()}
    if kind in (tuple, list):
        return kind(refs.get(id(value), value) for value in item)
    return refs.get(id(item), item)
