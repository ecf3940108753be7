"""Classes that travel by value, and the reader's own classes that are like them.

A class of ``__main__`` goes with each of its instances, for a worker can't import it. On the way back it is to be
the class that the program knows, or ``==``, ``isinstance`` and ``except`` would fail without a word. cloudpickle
knows a class again in the process that has sent it. A second run of the script, and a shell where the class was
defined once more, have one of their own, which is taken instead if it is alike (``shape.py``). What is not
alike stays as it was sent.

So that this needs no more than ``pickle.loads``, a class is made by ``make``, and what is in it set by ``fill``.
A class that was defined here is never changed; one that was made here gets what is in it each time, as cloudpickle
has it: a program may have changed it since.
"""

from __future__ import annotations

import sys
import threading
import uuid
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from taskq.payload import shape
from taskq.payload.shape import MAINS, SECOND_MAIN

__all__ = ["MAINS", "SECOND_MAIN", "fill", "make", "reduce"]

Origin = tuple[str, str, str]  # id, qualified name, and shape; the last two are empty of what has no such name

_MAKES = "_make_skeleton_class"  # cloudpickle's constructor of all classes but enums
_PARTS = 6  # of what a reducer says that sets the state by a function
_BASES, _KWARGS = 2, 3  # positions among its arguments; the latter is in the class from its beginning

_lock = threading.RLock()  # whoever makes a digest may come here again
_origins: WeakKeyDictionary[type, Origin] = WeakKeyDictionary()
_by_id: WeakValueDictionary[str, type] = WeakValueDictionary()
_made: WeakSet[type] = WeakSet()


def reduce(cls: type, reduced: Any) -> Any:
    """What cloudpickle's reducer says of a class, so that it is made and filled by us, if it goes by value."""
    if reduced is NotImplemented or len(reduced) != _PARTS:
        return reduced
    construct, args, state, _list, _dict, setter = reduced
    if construct.__name__ == _MAKES:
        args[_KWARGS]["__qualname__"] = cls.__qualname__
        if "__slots__" in vars(cls) and not any(base is NamedTuple for base in args[_BASES]):
            # Else instances would have a __dict__ there, and what is pickled of them could not be read here.
            args[_KWARGS]["__slots__"] = vars(cls)["__slots__"]
    return make, (_origin(cls), construct, args), (setter, state), None, None, fill


def _origin(cls: type) -> Origin:
    with _lock:
        origin = _origins.get(cls)
        if origin is None:
            origin = _origins[cls] = uuid.uuid4().hex, *_named(cls)
            _by_id[origin[0]] = cls
        return origin


def _named(cls: type) -> tuple[str, str]:
    """Its qualified name and its shape; nothing, if it is not to be found by that name in the main module."""
    if cls.__module__ not in MAINS or "<locals>" in cls.__qualname__:
        return "", ""
    try:
        return cls.__qualname__, shape.of(cls)
    except Exception:  # noqa: BLE001 - a metaclass, or what was put into the class, may do anything
        return "", ""


def make(origin: Origin, construct: Any, args: Any) -> type:
    """The class, while it is read: this program's own, or one that came before, or a new one."""
    ident, name, wanted = origin
    found = _own(name, wanted)
    if found is None:
        found = _by_id.get(ident)
    if found is None:
        found = construct(*args)
        with _lock:
            _made.add(found)
            _origins[found] = origin
            _by_id[ident] = found
    return found


def fill(cls: type, state: Any) -> None:
    """Set what is in it, while it is read."""
    setter, state = state
    if cls in _made:
        setter(cls, state)


def _own(name: str, wanted: str) -> type | None:
    """The class of this name in this program's main module, if it is alike."""
    if not name:
        return None
    found: Any = sys.modules.get("__main__")
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or found.__module__ not in MAINS or found in _made:
        return None
    return found if _origin(found)[2] == wanted else None
