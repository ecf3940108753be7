"""Which functions a worker calls by name: ``taskq worker --allow-import PATTERN``.

A pattern is a dotted path in which ``*`` stands for anything: ``tasks.*``, ``mycompany.*.jobs.*``. A function sent
by value has no name which the worker could look up; it counts as ``__main__.NAME``.

A name is judged twice: before anything is imported, and then by what it has led to. ``tasks.os.system`` and
``tasks.loads`` (which ``tasks`` has only imported) begin like a function of ``tasks``, and are none. Whoever means
such a name nevertheless gives it in full, without ``*``.

This keeps a worker to the functions it is meant for. It does not protect from somebody who can write any pickle,
since one may call whatever it names while it is read: that is what the secret key is for (``signing.py``).
"""

from __future__ import annotations

import functools
import io
import pickle
import types
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from rq.utils import import_attribute

from taskq.errors import ImportRefusedError
from taskq.payload import names

BY_VALUE = "__main__"
"""The module to which functions sent by value are taken to belong."""

_WRAPPER = ("functools", "partial")  # calls only what is named beside it
_BINDER = ("builtins", "getattr")  # in the pickle of a bound method
_CALL = "__call__"

_FRONTS = "taskq.fronts.call.run"
"""What a ``Pool`` or an ``Executor`` has called for each item: it judges by these rules what it calls in turn."""

_allowed: list[str] = []


def allow(patterns: Iterable[str]) -> None:
    """Refuse, in this process and from now on, all names that match none of these; with none, refuse nothing."""
    _allowed[:] = patterns


def limited() -> bool:
    """Whether anything is refused."""
    return bool(_allowed)


def check(path: str) -> None:
    """Refuse a dotted path that is not allowed; call it before anything is imported.

    Raises:
        ImportRefusedError: If this process was told which are, and it is none of them.
    """
    if _allowed and not _matches(path):
        raise _refused(path, "")
    if _allowed and any(part.startswith("__") and part.endswith("__") for part in path.split(".")[1:]):
        raise _refused(path, ", for it names what Python itself put there")


def check_found(path: str, found: Any) -> None:
    """Refuse what a path that is allowed has led to, if that is something else.

    A function or a class is judged by where it was defined; a method likewise, whose class may have inherited it;
    ``functools.partial`` by the function it holds; any other object by its ``__call__``.

    Raises:
        ImportRefusedError: If it was defined where this worker may call nothing, or is a module.
    """
    if not _allowed:
        return
    if isinstance(found, types.ModuleType) or not callable(found):
        raise _refused(path, f", for it is a {type(found).__name__}")
    defined = _definition(found)
    if path not in _allowed and not _matches(defined):
        raise _refused(path, f", for it is {defined}")


def resolve(path: str) -> Any:
    """What stands at a dotted path.

    Raises:
        ImportRefusedError: As ``check`` and ``check_found``.
        ImportError: If there is nothing; says what is missing.
    """
    check(path)
    try:
        found = import_attribute(path)
    except Exception as error:
        raise ImportError(names.explain(path)) from error
    check_found(path, found)
    return found


def check_method(owner: Any, name: str) -> None:
    """Refuse a method, or the call, of an object or a class that was sent along.

    Raises:
        ImportRefusedError: As ``check`` and ``check_found``; its path begins with that of the class.
    """
    if not _allowed:
        return
    kind = owner if isinstance(owner, type) else type(owner)
    path = f"{kind.__module__}.{kind.__qualname__}"
    if name == _CALL:
        check(path)
        check_found(path, owner)
    else:
        check(f"{path}.{name}")
        check_found(f"{path}.{name}", getattr(owner, name))


def load(pickled: bytes | memoryview, buffers: Iterable[memoryview] = ()) -> Any:
    """A function that was pickled by reference; each name in it is judged before it is imported, and after.

    Args:
        pickled: As ``codec.dumps`` has made it.
        buffers: Those that have left it.

    Raises:
        ImportRefusedError: As ``check`` and ``check_found``.
    """
    if not _allowed:
        return pickle.loads(pickled, buffers=buffers)
    function = _Unpickler(io.BytesIO(pickled), buffers=buffers).load()
    if type(function) is not functools.partial:  # whose names were judged one by one
        check_found(_definition(function), function)
    return function


def _matches(path: str) -> bool:
    return path == _FRONTS or any(fnmatchcase(path, pattern) for pattern in _allowed)


def _definition(found: Any) -> str:
    """Where the code of a callable was written: the path of that, as Python knows it."""
    while isinstance(found, functools.partial | types.MethodType):
        found = found.func if isinstance(found, functools.partial) else found.__func__
    name = getattr(found, "__qualname__", None)
    if not isinstance(name, str):
        return _definition(type(found).__call__) if callable(found) else f"a {type(found).__name__}"
    module = getattr(found, "__module__", None)
    if isinstance(module, str):
        return f"{module}.{name}"
    return f"{_class_of(found).__module__}.{_class_of(found).__qualname__}.{found.__name__}"


def _class_of(method: Any) -> type:
    """The class of a method that is written in C; as its own it names that of the object, which may inherit it."""
    if isinstance(found := getattr(method, "__objclass__", None), type):
        return found
    owner = getattr(method, "__self__", None)
    kind = owner if isinstance(owner, type) else type(owner)
    return next((one for one in kind.__mro__ if method.__name__ in vars(one)), kind)


def _refused(path: str, why: str) -> ImportRefusedError:
    return ImportRefusedError(
        f"{path} may not be called by this worker{why}. It runs with --allow-import {' '.join(_allowed)}: call a "
        "function that this allows, or allow this one there (TASKQ_ALLOW_IMPORT), by its full name."
    )


def _bound(owner: Any, name: str) -> Any:
    check_method(owner, name)
    return getattr(owner, name)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == _WRAPPER:
            return functools.partial
        if (module, name) == _BINDER:
            return _bound
        path = f"{module}.{name}"
        check(path)
        found = super().find_class(module, name)
        check_found(path, found)
        return found
