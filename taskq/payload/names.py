"""Paths of functions, and why nothing stands at one; RQ, which looks it up, says only that it is no valid name."""

from __future__ import annotations

import difflib
import importlib
import re
from types import ModuleType
from typing import Any

_DOTTED = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_PATH = re.compile(rf"{_DOTTED}[.:]{_DOTTED}")


def dotted(path: str) -> str | None:
    """``package.module:function``, or with a point in the middle, as the latter; None if it is neither."""
    return path.replace(":", ".") if _PATH.fullmatch(path) else None


def explain(path: str) -> str:
    """What is missing at this path: a module, what that needs in turn, or a name in it.

    Imports what can be imported of it, as the look-up did that failed.
    """
    parts = path.split(".")
    owner: Any = None
    for number in range(1, len(parts)):
        name = ".".join(parts[:number])
        try:
            owner = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                return f"the module {name} can't be imported: {error}"
            if owner is None:
                return f"there is no module {name}"
            return _missing(owner, parts)
        except Exception as error:  # noqa: BLE001 - whatever its own code raises
            return f"the module {name} can't be imported: {type(error).__name__}: {error}"
    return _missing(owner, parts)


def _missing(owner: Any, parts: list[str]) -> str:
    """Which name the last thing that was found on this way lacks."""
    known = owner.__name__.count(".") + 1 if isinstance(owner, ModuleType) else 0
    for number in range(known, len(parts)):
        if not hasattr(owner, parts[number]):
            where = ".".join(parts[:number])
            near = difflib.get_close_matches(parts[number], dir(owner), 1)
            return f"{where} has no attribute {parts[number]!r}" + (f", did you mean {near[0]!r}?" if near else "")
        owner = getattr(owner, parts[number])
    return f"{'.'.join(parts)} can't be looked up"
