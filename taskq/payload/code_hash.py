"""What tells one version of a function from another: a digest of its code, and of the data that belongs to it.

Looked at are byte code, constants, names and default values, what is in its closure or a partial's arguments, and
the functions and classes of its own module which it names, likewise. Not looked at are comments, line numbers and
its docstring, the values of globals, and what it calls of other modules.
"""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Iterator
from typing import Any

from taskq.payload import canonical
from taskq.payload.function import Function

_SIZE = 32  # hex digits of a digest
_CACHED = type(functools.lru_cache(len))


def of(target: Any) -> str:
    """The digest of a callable, as ``Queue.map`` takes it. Of a dotted path it is one of the path alone."""
    reader = _Reader()
    reader.callable(target)
    return reader.digest()


class _Reader:
    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: dict[int, Any] = {}  # by their identity, which they keep as long as they are here

    def digest(self) -> str:
        return self._hash.hexdigest()[:_SIZE]

    def _say(self, *told: Any) -> None:
        self._hash.update(canonical.exactly(told))

    def callable(self, target: Any) -> None:
        if isinstance(target, str):
            self._say("path", target)
        elif isinstance(target, Function):
            self._say("function", target.name, target.code)
        elif isinstance(target, types.FunctionType):
            self._function(target)
        elif isinstance(target, types.MethodType):
            self._say("method")
            self.callable(target.__func__)
            self._value(target.__self__)
        elif isinstance(target, functools.partial):
            self._say("partial")
            self.callable(target.func)
            self._value(target.args)
            self._value(target.keywords)
        elif isinstance(target, type):
            self._class(target)
        elif callable(inner := getattr(target, "__wrapped__", None)):
            self.callable(inner)
        elif hasattr(target, "__qualname__") or hasattr(target, "__name__"):
            self._named(target)
        else:
            self._class(type(target))
            self._value(target)

    def _named(self, target: Any) -> None:
        """One that is written in C."""
        name = getattr(target, "__qualname__", None) or target.__name__
        self._say("name", str(getattr(target, "__module__", None)), str(name))

    def _function(self, function: types.FunctionType) -> None:
        if self._known(function):
            return
        self._code(function.__code__, function.__doc__)
        self._value(function.__defaults__)
        self._value(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                self._value(cell.cell_contents)
            except ValueError:  # not set yet
                self._say("empty")
        for name in sorted(set(_names(function.__code__))):
            self._helper(name, function.__globals__.get(name), function.__module__)

    def _helper(self, name: str, found: Any, module: str) -> None:
        """What a function names, if it is a function or class of the same module."""
        if type(found) is _CACHED:
            found = found.__wrapped__
        if isinstance(found, (types.FunctionType, type)) and found.__module__ == module:
            self._say("helper", name)
            self.callable(found)

    def _class(self, cls: type) -> None:
        self._say("class", cls.__qualname__)
        if self._known(cls):
            return
        for name, member in sorted(vars(cls).items()):
            inner = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if isinstance(inner, types.FunctionType):
                self._say(name)
                self._function(inner)

    def _known(self, obj: Any) -> bool:
        """Whether it was seen before, and it is said which one it was."""
        if known := id(obj) in self._seen:
            self._say("seen", list(self._seen).index(id(obj)))
        self._seen[id(obj)] = obj
        return known

    def _code(self, code: types.CodeType, doc: str | None = None) -> None:
        self._say(
            code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_argcount,
            code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags, code.co_exceptiontable,
        )  # fmt: skip
        for position, constant in enumerate(code.co_consts):
            if isinstance(constant, types.CodeType):
                self._code(constant)
            else:
                self._say(None if not position and constant == doc else constant)

    def _value(self, value: Any) -> None:
        if isinstance(value, types.FunctionType):
            self._function(value)
            return
        try:
            pickled = canonical.exactly(value)
        except Exception:  # noqa: BLE001 - a lock, a connection: what it holds tells nothing of results
            pickled = f"{type(value).__module__}.{type(value).__qualname__}".encode()
        self._say("value", pickled)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
