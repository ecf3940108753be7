"""The parts of a value that can be named, for errors that say where in it something is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

DEEP = 6  # attributes and elements on the way
_MANY = 1000  # elements of one container that are looked at


def parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What it holds, each with the step that leads there: ``.name``, ``[3]``, ``['key']``."""
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", value[key]) for key in list(value)[:_MANY])
    elif isinstance(value, list | tuple):
        yield from ((f"[{number}]", part) for number, part in enumerate(value[:_MANY]))
    elif isinstance(value, set | frozenset):
        yield from ((f" {part!r:.40}", part) for part in list(value)[:_MANY])
    yield from ((f".{name}", part) for name, part in list(getattr(value, "__dict__", {}).items())[:_MANY])


def path_to(value: Any, wanted: Callable[[Any], bool], left: int = DEEP) -> str | None:
    """The steps to the first part of which this is true; None: none is seen, as deep as can be looked."""
    if wanted(value):
        return ""
    if left:
        for step, part in parts(value):
            if (rest := path_to(part, wanted, left - 1)) is not None:
                return f"{step}{rest}"
    return None
