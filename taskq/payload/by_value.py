"""Sends code by value: cloudpickle does most of it, this what it leaves out or would send by a name only.

    classes            with their slots, and with what tells the reader whether its own is alike (``classes.py``)
    functions          with their source lines, if asked for (``sources.py``)
    what is cached     ``lru_cache``, ``cache``, ``cached_property``: without what is in there; weak dictionaries
    what dispatches    ``singledispatch``, ``singledispatchmethod``
    memoryviews        as such: with their shape, over memory of the reader's (``views.py``)
    types with a name  ``NewType``, ``ParamSpec``, ``TypeVarTuple``, ``type X = ...``
    open files         not at all: cloudpickle would send a copy of their text, which nobody means

pickle sends what is cached, and types with a name, by the name that they have in their module. Of ``__main__``
they would be missed when the worker looks for them; what else is of that kind is refused here, where it is seen.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import threading
import types
import typing
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import cloudpickle
from cloudpickle import cloudpickle as theirs

from taskq.payload import classes, sources, views
from taskq.payload.classes import MAINS, SECOND_MAIN

PROTOCOL = 5

_CACHED = type(functools.lru_cache(len))
_DISPATCHING: Any = functools.singledispatch(len)  # all that dispatch run its code, and have its attributes
_FRESH: dict[str, Any] = {"lock": threading.RLock, "_method_cache": WeakKeyDictionary}
"""What is made anew of properties and methods: locks of Python before 3.12, caches since 3.13."""
_TYPES = ("NewType", "ParamSpec", "TypeVarTuple", "TypeAliasType")
_NAMED = {getattr(typing, name) for name in _TYPES if hasattr(typing, name)}


def dumps(
    value: Any, *, with_sources: bool = False, take: Callable[[pickle.PickleBuffer], bool] | None = None
) -> bytes:
    """Pickle a value; what can't be imported elsewhere goes as code.

    Args:
        value: Anything.
        with_sources: Whether functions take their source lines along, for tracebacks.
        take: pickle's ``buffer_callback``.

    Raises:
        Exception: Whatever cloudpickle, or the value's own code, raises.
    """
    with io.BytesIO() as file:
        Pickler(file, with_sources=with_sources, take=take).dump(value)
        return file.getvalue()


def importable(obj: Any) -> bool:
    """Whether the name that a function or the like has finds it, in a module that others can import."""
    name = getattr(obj, "__module__", None) or ""
    found: Any = sys.modules.get(name)
    if found is None or name in MAINS or theirs._is_registered_pickle_by_value(found):
        return False
    for part in str(getattr(obj, "__qualname__", None)).split("."):
        found = getattr(found, part, None)
    return found is obj


class Pickler(cloudpickle.Pickler):
    """As ``dumps``, into a file."""

    def __init__(
        self, file: Any, *, with_sources: bool = False, take: Callable[[pickle.PickleBuffer], bool] | None = None
    ) -> None:
        super().__init__(file, protocol=PROTOCOL, buffer_callback=take)
        self._sources = sources.Sources() if with_sources else None

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is types.FunctionType:
            return self._function(obj)
        if issubclass(kind, type):
            second = getattr(obj, "__module__", None) == SECOND_MAIN
            return classes.reduce(obj, theirs._dynamic_class_reduce(obj) if second else theirs._class_reduce(obj))
        if kind is types.CodeType and self._sources:
            return self._code(obj, self._sources)
        return _reduce(obj, kind)

    @staticmethod
    def _code(code: types.CodeType, lines: sources.Sources) -> Any:
        """As cloudpickle, under a name by which its source lines are found."""
        kind, parts = theirs._code_reduce(code)
        name = lines.name_of(code.co_filename)
        return kind, tuple(name if name and part == sources.UNKNOWN else part for part in parts)

    def _function(self, function: types.FunctionType) -> Any:
        if function.__code__ is _DISPATCHING.__code__ and not importable(function):
            return _reduce_dispatching(function)
        if function.__module__ != SECOND_MAIN and theirs._should_pickle_by_reference(function):
            return NotImplemented
        reduced = self._dynamic_function_reduce(function)
        return self._sources.reduce(function, reduced) if self._sources else reduced


def _reduce(obj: Any, kind: type) -> Any:
    if kind is memoryview:
        return views.reduce(obj)
    if kind is _CACHED and not importable(obj):
        return _reduce_cached(obj)
    if kind in _NAMED and obj.__module__ in MAINS:
        return _reduce_named(obj)
    if issubclass(kind, (functools.cached_property, functools.singledispatchmethod)):
        return _reduce_descriptor(obj)
    if kind in (WeakKeyDictionary, WeakValueDictionary):
        return kind, (dict(obj),)
    if issubclass(kind, io.TextIOWrapper) and obj is not sys.stdout and obj is not sys.stderr:
        raise TypeError(f"cannot pickle {kind.__name__!r} object: it is an open file")
    _refuse_a_name(obj)
    return NotImplemented


def _refuse_a_name(obj: Any) -> None:
    """Raise, if pickle would only name what is of ``__main__``."""
    try:
        if getattr(obj, "__module__", None) not in MAINS:
            return
        named = isinstance(getattr(obj, "__qualname__", None), str)
        by_name = named and isinstance(obj.__reduce_ex__(PROTOCOL), str)
    except Exception:  # noqa: BLE001 - whatever user code raises: pickle asks the same in a moment
        return
    if by_name:
        raise pickle.PicklingError(
            f"{obj.__qualname__} ({type(obj).__name__}) is of __main__, and pickle sends nothing of it but its "
            "name: it must be in a module which the workers can import"
        )


# -- what is cached ------------------------------------------------------------------------------------


def _reduce_cached(obj: Any) -> Any:
    state = {name: value for name, value in vars(obj).items() if name != "__wrapped__"}
    options = obj.cache_parameters()
    return _cached, (obj.__wrapped__, options["maxsize"], options["typed"]), state


def _cached(function: Any, maxsize: int | None, typed: bool) -> Any:
    return functools.lru_cache(maxsize, typed)(function)


def _reduce_descriptor(obj: Any) -> Any:
    fresh = [name for name in _FRESH if name in vars(obj)]
    return _descriptor, (type(obj), fresh), {name: value for name, value in vars(obj).items() if name not in fresh}


def _descriptor(kind: Any, fresh: list[str]) -> Any:
    made = kind.__new__(kind)
    for name in fresh:
        setattr(made, name, _FRESH[name]())
    return made


# -- what dispatches -----------------------------------------------------------------------------------


def _reduce_dispatching(function: Any) -> Any:
    own = {name: value for name, value in vars(function).items() if name not in vars(_DISPATCHING)}
    state = list(function.registry.items()), own
    return functools.singledispatch, (function.__wrapped__,), state, None, None, _register


def _register(function: Any, state: Any) -> None:
    registry, own = state
    for kind, implementation in registry:
        function.register(kind, implementation)
    vars(function).update(own)


# -- types with a name ---------------------------------------------------------------------------------


def _reduce_named(obj: Any) -> Any:
    kind = type(obj)
    if kind.__name__ == "NewType":
        return kind, (obj.__name__, obj.__supertype__), dict(vars(obj))
    if kind.__name__ == "TypeAliasType":
        return kind, (obj.__name__, obj.__value__)
    return kind, (obj.__name__,)
