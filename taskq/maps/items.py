"""What is to be mapped: the iterables that a caller gave, as one iterable of items."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from taskq.errors import OptionError

_INERT = (list, tuple, range, repeat, set, frozenset, dict, deque)


@dataclass(frozen=True)
class Items:
    """What is to be mapped: one iterable of items, its length where it has one."""

    source: Iterable[Any]
    star: bool

    @classmethod
    def of(cls, iterables: tuple[Any, ...]) -> Items:
        """The items of ``map(fn, *iterables)``.

        Raises:
            OptionError: If there is none, or one is not iterable.
        """
        if not iterables:
            raise OptionError("map needs at least one iterable: map(fn, items)")
        for number, iterable in enumerate(iterables, 1):
            check_iterable(iterable, f"argument {number} of map")
        if len(iterables) == 1:
            return cls(iterables[0], star=False)
        return cls(_Zip(iterables), star=True)


class _Zip:
    """``zip`` that knows its length where all parts do; for the chunk size."""

    def __new__(cls, parts: tuple[Any, ...]) -> Any:
        return super().__new__(_SizedZip if all(isinstance(part, Sized) for part in parts) else cls)

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts

    def __iter__(self) -> Iterator[Any]:
        return zip(*self.parts, strict=False)


class _SizedZip(_Zip):
    def __len__(self) -> int:
        return min(map(len, self.parts))


def is_inert(source: Iterable[Any]) -> bool:
    """Whether to read the next item runs no code of the user's: no item changes by it, and all are held anyway."""
    parts = source.parts if isinstance(source, _Zip) else (source,)
    return all(type(part) in _INERT for part in parts)


def check_iterable(value: Any, what: str) -> None:
    try:
        iter(value)
    except TypeError as error:
        raise OptionError(f"{what} must be iterable, not {type(value).__name__}: {value!r:.80}") from error
