"""What tells one version of a function from another: a digest of its code, and of the data that belongs to it.

Looked at are byte code, constants, names and default values, what is in its closure or a partial's arguments, at
any depth, and the functions and classes of its own module which it names, likewise. Not looked at are comments,
line numbers and its docstring, the values of globals, and what it calls of other modules.
"""

from __future__ import annotations

import copyreg
import functools
import hashlib
import io
import types
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from taskq.payload import canonical
from taskq.payload.function import Function, is_importable

_SIZE = 32  # hex digits of a digest
_LAYERS = 20  # around a function, when it is asked of which module it is
_CACHED = type(functools.lru_cache(len))
_BOUND = (types.BuiltinMethodType, types.MethodWrapperType)
_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial, _CACHED, *_BOUND)
_WRAPPERS = {
    property: "fget", staticmethod: "__func__", classmethod: "__func__", _CACHED: "__wrapped__",
    functools.cached_property: "func", functools.partialmethod: "func",
}  # fmt: skip
"""What a class may have in place of a function, and where that is in it."""


def of(target: Any) -> str:
    """The digest of a callable, as ``Queue.map`` takes it. Of a dotted path it is one of the path alone."""
    reader = _Reader(_module_of(target))
    reader.callable(target)
    return reader.digest()


def _module_of(target: Any) -> str:
    """The module of a function, whatever is around it."""
    for _ in range(_LAYERS):
        for inside in ("__wrapped__", "__func__", "func"):
            if callable(inner := getattr(target, inside, None)):
                target = inner
                break
    return str(getattr(target, "__module__", ""))


class _Reader:
    """Reads one function.

    Args:
        module: Where the code of classes counts of which something is in its data.
    """

    def __init__(self, module: str) -> None:
        self.module = module
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
            self.value(target.__self__)
        elif isinstance(target, functools.partial):
            self._say("partial")
            self.callable(target.func)
            self.value(target.args)
            self.value(target.keywords)
        elif isinstance(target, type):
            self._class(target)
        elif callable(inner := getattr(target, "__wrapped__", None)):
            self.callable(inner)
        elif hasattr(target, "__qualname__") or hasattr(target, "__name__"):
            self._named(target)
        else:
            self._class(type(target))
            self.value(target)

    def _named(self, target: Any) -> None:
        """One that is written in C, and what it is bound to, as a dict's ``get`` is."""
        owner = getattr(target, "__self__", None) if isinstance(target, _BOUND) else None
        if owner is not None and not isinstance(owner, types.ModuleType):
            self.value(owner)
        name = getattr(target, "__qualname__", None) or target.__name__
        self._say("name", str(getattr(target, "__module__", None)), str(name))

    def _function(self, function: types.FunctionType) -> None:
        if self._known(function):
            return
        self._code(function.__code__, function.__doc__)
        self.value(function.__defaults__)
        self.value(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                self.value(cell.cell_contents)
            except ValueError:  # not set yet
                self._say("empty")
        for name in sorted(set(_names(function.__code__))):
            self._helper(name, function.__globals__.get(name), function.__module__)

    def _helper(self, name: str, found: Any, module: str) -> None:
        """What a function names, if it is a function or class of the same module."""
        if type(found) is _CACHED:
            found = found.__wrapped__
        own = isinstance(found, (types.FunctionType, type)) and found.__module__ == module
        if own or isinstance(found, functools.partial):
            self._say("helper", name)
            self.callable(found)

    def _class(self, cls: type) -> None:
        self._say("class", cls.__qualname__)
        if self._known(cls):
            return
        for base in cls.__bases__:
            if base.__module__ == cls.__module__:
                self._class(base)
        for name, member in sorted(vars(cls).items()):
            self._member(cls, name, member)

    def _member(self, cls: type, name: str, member: Any) -> None:
        while inside := _WRAPPERS.get(type(member)):
            member = getattr(member, inside)
        if isinstance(member, types.FunctionType):
            self._say(name)
            self._function(member)
        elif isinstance(member, type) and member.__module__ == cls.__module__:
            self._say(name)
            self._class(member)
        elif not name.startswith("__") and _is_constant(member):
            self._say(name, member)

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

    def value(self, value: Any) -> None:
        """Data that belongs to it."""
        if isinstance(value, _FUNCTIONS):
            self.callable(value)
        else:
            self._say("value", self._pickled(value))

    def _pickled(self, value: Any) -> bytes:
        # What is cyclic can't be written out: of that it counts, too, where one object stands twice.
        for fast in (True, False):
            with io.BytesIO() as file, suppress(Exception):
                pickler = _Data(file, self)
                pickler.fast = fast
                pickler.dump(value)
                return file.getvalue()
        return _name_of(type(value)).encode()  # of which nothing can be known

    def part(self, found: Any) -> tuple[str, ...]:
        """What stands for a function or a class in the data; of those of other modules it is the name.

        So what only puts the data together again, as NumPy's functions do its arrays, may become another version.
        """
        if isinstance(found, types.FunctionType) and found.__module__ != self.module and is_importable(found):
            return ("function", found.__module__, found.__qualname__)
        if not isinstance(found, type):
            self.callable(found)
            return ("code",)
        if found.__module__ == self.module:
            self._class(found)
        return ("class", _name_of(found))


class _Data(canonical.Pickler):
    """Writes data that belongs to a function, with the code of what is in it in place of names."""

    def __init__(self, file: io.BytesIO, reader: _Reader) -> None:
        super().__init__(file, canonical.PROTOCOL)
        self._reader = reader

    def persistent_id(self, obj: Any) -> Any:
        """What is written in place of functions, classes and sets."""
        if isinstance(obj, (type, *_FUNCTIONS)):
            return self._reader.part(obj)
        if type(obj) in canonical.SETS:
            return ("set", type(obj).__name__, sorted(map(self._element, obj)))
        return None

    def _element(self, obj: Any) -> str:
        reader = _Reader(self._reader.module)  # its own: sets have no order
        reader.value(obj)
        return reader.digest()

    def reducer_override(self, obj: Any) -> Any:
        """A lock, a connection: what it holds tells nothing of results. Of what is beside it all is told."""
        if type(obj) in copyreg.dispatch_table:
            return NotImplemented
        try:
            return obj.__reduce_ex__(canonical.PROTOCOL)
        except Exception:  # noqa: BLE001 - whatever a class raises that can't be pickled
            return _name_of, (type(obj),)


def _name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _is_constant(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_constant, value))
    return canonical.is_plain(value, 0) and type(value) is not dict


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
