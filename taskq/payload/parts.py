"""The parts of a value that can be named, for errors that say where in it something is."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

DEEP = 6  # attributes and elements on the way
_MANY = 1000  # elements of one container that are looked at
_LOOKS = 100_000  # parts that are looked at


def parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What it holds, each with the step that leads there: ``.name``, ``[3]``, ``['key']``."""
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", value[key]) for key in list(value)[:_MANY])
    elif isinstance(value, list | tuple):
        yield from ((f"[{number}]", part) for number, part in enumerate(value[:_MANY]))
    elif isinstance(value, set | frozenset):
        yield from ((f" {part!r:.40}", part) for part in list(value)[:_MANY])
    yield from ((f".{name}", part) for name, part in list(getattr(value, "__dict__", {}).items())[:_MANY])
    yield from ((f".{name}", getattr(value, name)) for name in _in_slots(type(value)) if hasattr(value, name))


def _in_slots(kind: type) -> Iterator[str]:
    """The attributes that its instances have, and not in a dictionary."""
    if kind.__module__ == "builtins":
        return
    if issubclass(kind, functools.partial):
        yield from ("func", "args", "keywords")
    for one in kind.__mro__:
        slots = vars(one).get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


def path_to(value: Any, wanted: Callable[[Any], bool]) -> str | None:
    """The steps to a part of which this is true, the nearest first; None: none is seen, as far as is looked."""
    looked = 0
    ahead: deque[tuple[str, Any, int]] = deque([("", value, 0)])
    while ahead and looked < _LOOKS:
        path, part, depth = ahead.popleft()
        looked += 1
        if wanted(part):
            return path
        if depth < DEEP:
            ahead.extend((f"{path}{step}", one, depth + 1) for step, one in parts(part))
    return None
