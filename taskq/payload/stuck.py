"""What of a value can't travel, and where in it that is: for errors that name it, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from taskq.payload import by_value
from taskq.payload.parts import DEEP, parts


class Stuck(NamedTuple):
    """What can't be pickled.

    Args:
        path: Where it is, as deep as that can be seen, such as ``argument 0.client['main'].sock``.
        part: What is there.
    """

    path: str
    part: Any

    @property
    def kind(self) -> str:
        """Its type, with the type's module."""
        return f"{type(self.part).__module__}.{type(self.part).__qualname__}"


def of(value: Any, path: str = "") -> Stuck:
    """Where it is in a value of which it is known that it can't be pickled.

    Args:
        value: The value.
        path: What to call it.
    """
    with suppress(Exception):  # whatever the attributes of the user's classes raise
        return _find(value, path, DEEP) or Stuck(path, value)
    return Stuck(path, value)


def in_call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Stuck | None:
    """Where it is in the arguments of a call; None: each of them can be pickled."""
    named = [*((f"argument {number}", value) for number, value in enumerate(args)),
             *((f"argument {name!r}", value) for name, value in kwargs.items())]  # fmt: skip
    return next((of(value, path) for path, value in named if not travels(value)), None)


def travels(value: Any) -> bool:
    """Whether it can be pickled."""
    try:
        by_value.dumps(value)
    except Exception:  # noqa: BLE001 - __reduce__ may raise anything
        return False
    return True


def _find(value: Any, path: str, left: int) -> Stuck | None:
    if travels(value):
        return None
    if left:
        for step, part in parts(value):
            if found := _find(part, f"{path}{step}", left - 1):
                return found
    return Stuck(path, value)
