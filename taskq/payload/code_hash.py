"""What tells one version of a function from another: a digest of its code, and of the data that belongs to it.

Looked at are byte code, constants, names and default values, what is in its closure or a partial's arguments, at
any depth, its own attributes, and the functions and classes of its own module which it names, likewise. Of an
object that can be called it is the code of its class, and its data, whatever name it bears. Not looked at are
comments, line numbers and its docstring, the values of globals, and what it calls of other modules.
"""

from __future__ import annotations

import copyreg
import datetime as dt
import decimal
import dis
import enum
import fractions
import functools
import hashlib
import io
import pickle
import types
import uuid
from collections.abc import Iterator
from typing import Any

import cloudpickle

from taskq.errors import OptionError
from taskq.payload import canonical
from taskq.payload.function import Function, display_name, is_importable

_SIZE = 32  # hex digits of a digest
_LAYERS = 20  # around a function, when it is asked of which module it is
_CACHED = type(functools.lru_cache(len))
_BOUND = (types.BuiltinMethodType, types.MethodWrapperType)
_NATIVE = (*_BOUND, types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)
_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial, _CACHED, *_BOUND)
_DATA = (
    frozenset,
    decimal.Decimal,
    fractions.Fraction,
    dt.date,
    dt.time,
    dt.timedelta,
    uuid.UUID,
)
"""What doesn't change, of a class; lists and dicts may be filled while the program runs, as globals may."""
_WRAPPERS = {
    staticmethod: "__func__", classmethod: "__func__", _CACHED: "__wrapped__",
    functools.cached_property: "func", functools.partialmethod: "func",
}  # fmt: skip
"""What a class may have in place of a function, and where that is in it."""


def of(target: Any) -> str:
    """The digest of a callable, as ``Queue.map`` takes it. Of a dotted path it is one of the path alone.

    Raises:
        OptionError: If something of it can't be told from another: data that nothing can write out.
    """
    reader = _Reader(_modules_of(target))
    try:
        reader.callable(target)
    except _UnknownError as error:
        raise OptionError(
            f"this version of the function {display_name(target)} can't be told from another one, which memo, "
            f'resume and if_exists="attach" need, for {error}. Make that in the function, or pass the function '
            "by its path, as 'module:function': then it is known by that alone"
        ) from error.__cause__
    return reader.digest()


class _UnknownError(Exception):
    """Something that belongs to a function can't be written out."""


def _modules_of(target: Any) -> frozenset[str]:
    """The modules of a function: its own, whatever is around it; of an object those of what it calls, too."""
    called = [] if isinstance(target, (type, *_FUNCTIONS)) else getattr(target, "__dict__", {}).values()
    return frozenset(map(_module_of, (target, *filter(callable, called))))


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
        modules: Where the code of classes counts of which something is in its data.
    """

    def __init__(self, modules: frozenset[str]) -> None:
        self.modules = modules
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
            self._say("function", target.name, target.code, *filter(None, [target.digest]))
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
            if type(target) is not functools.partial:
                self._class(type(target))
                self.value(vars(target))
        elif isinstance(target, type):
            self._class(target)
        elif type(target) in (_CACHED, staticmethod) or _is_native(target):
            self._named(target)
        else:
            self._object(target)

    def _object(self, target: Any) -> None:
        """One that can be called, by its class and its data: a name that it bears may be that of any other."""
        self._class(type(target))
        if type(target) not in copyreg.dispatch_table:
            try:
                target.__reduce_ex__(canonical.PROTOCOL)
            except Exception as error:  # whatever a class raises that can't be pickled
                raise _UnknownError(f"a {_name_of(type(target))} can't be pickled ({error})") from error
        self.value(target)

    def _named(self, target: Any) -> None:
        """One that is written in C, and what it is bound to, as a dict's ``get`` is, or what it wraps."""
        if callable(inner := getattr(target, "__wrapped__", None)):
            self.callable(inner)
            return
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
        held = []
        for cell in function.__closure__ or ():
            try:
                held.append(cell.cell_contents)
            except ValueError:  # not set yet
                self._say("empty")
            else:
                self.value(held[-1])
        self._attributes(function, held)
        for name in sorted(set(_names(function.__code__))):
            self._helper(name, function.__globals__.get(name), function.__module__)

    def _attributes(self, function: types.FunctionType, held: list[Any]) -> None:
        """What somebody has hung on it, but for what Python does: that tells of it, and is not read by it.

        What wraps the function itself, as RQ's ``delay`` does, is another way to call it: of that it is the code,
        for what else it holds is of the caller, a connection say, and another in each run.

        Args:
            function: It.
            held: What is in its closure, and so was said already.
        """
        for name, value in sorted(vars(function).items()):
            if name == "__wrapped__" and not any(value is one for one in held):
                self._say("attribute", name)
                self.value(value)
            elif not (name.startswith("__") and name.endswith("__")):
                self._say("attribute", name)
                if isinstance(value, types.FunctionType) and vars(value).get("__wrapped__") is function:
                    self._code(value.__code__, value.__doc__)
                else:
                    self.value(value)

    def _helper(self, name: str, found: Any, module: str) -> None:
        """What a function names, if it is a function or class of the same module, or what a class makes of one."""
        while type(found) is _CACHED:
            found = found.__wrapped__
        for inner in _decorated(found, name, module):
            self._class(type(found))
            found = inner
        own = isinstance(found, (types.FunctionType, type)) and found.__module__ == module
        if own or isinstance(found, functools.partial):
            self._say("helper", name)
            self.callable(found)

    def _class(self, cls: type) -> None:
        self._say("class", cls.__qualname__)
        if self._known(cls):
            return
        for base in (*cls.__bases__, type(cls)):
            if base.__module__ == cls.__module__:
                self._class(base)
        if isinstance(cls, enum.EnumMeta):
            self.value([(name, cls[name].value) for name in cls.__members__])
        for name, member in sorted(vars(cls).items()):
            self._member(cls, name, member)

    def _member(self, cls: type, name: str, member: Any) -> None:
        if type(member) is property:
            for part in filter(None, (member.fget, member.fset, member.fdel)):
                self._member(cls, name, part)
            return
        while inside := _WRAPPERS.get(type(member)):
            member = getattr(member, inside)
        if isinstance(member, types.FunctionType):
            self._say(name)
            self._function(member)
        elif isinstance(member, type) and member.__module__ == cls.__module__:
            self._say(name)
            self._class(member)
        elif not name.startswith("__") and _is_method_object(member):
            self._say(name)
            self.callable(member)
        elif not name.startswith("__") and _is_constant(member):
            self._say(name, member)
        elif not name.startswith("__") and isinstance(member, _DATA):
            self._say(name)
            self.value(member)

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
                told = position or constant != doc or _loads_first(code)
                self._say(constant if told else None)

    def value(self, value: Any) -> None:
        """Data that belongs to it."""
        if isinstance(value, _FUNCTIONS):
            self.callable(value)
        else:
            self._say("value", self._pickled(value))

    def _pickled(self, value: Any) -> bytes:
        # What is cyclic can't be written out: of that it counts, too, where one object stands twice.
        for fast in (True, False):
            try:
                return self._written(value, fast=fast)
            except _UnknownError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever user code raises that pickles itself
                why = error
        raise _UnknownError(f"a {_name_of(type(value))} in it can't be pickled ({why})") from why

    def _written(self, value: Any, *, fast: bool) -> bytes:
        with io.BytesIO() as file:
            pickler = _Data(file, self)
            pickler.fast = fast
            pickler.dump(value)
            return file.getvalue()

    def part(self, found: Any) -> tuple[str, ...]:
        """What stands for a function or a class in the data; of those of other modules it is the name.

        So what only puts the data together again, as NumPy's functions do its arrays, may become another version.
        """
        if isinstance(found, types.FunctionType) and found.__module__ not in self.modules and is_importable(found):
            return ("function", found.__module__, found.__qualname__)
        if not isinstance(found, type):
            self.callable(found)
            return ("code",)
        if found.__module__ in self.modules:
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
        reader = _Reader(self._reader.modules)  # its own: sets have no order
        reader.value(obj)
        return reader.digest()

    def reducer_override(self, obj: Any) -> Any:
        """As pickle's, and of what only cloudpickle can send, a module say or a memoryview, as there.

        A lock, a connection: what it holds tells nothing of results, and nobody can send it. Of what is beside it
        all is told. An object that can be called is none of these.
        """
        if type(obj) in copyreg.dispatch_table:
            return NotImplemented
        if type(obj) is memoryview:
            return _name_of, (memoryview,), (obj.tobytes(), obj.format, obj.shape)
        try:
            return obj.__reduce_ex__(canonical.PROTOCOL)
        except Exception:  # noqa: BLE001 - whatever a class raises that can't be pickled
            try:
                return cloudpickle.Pickler.dispatch_table[type(obj)](obj)
            except Exception:  # nor can cloudpickle
                if _is_written(obj):
                    raise
                return _name_of, (type(obj),)


def _decorated(found: Any, name: str, module: str) -> Iterator[types.FunctionType]:
    """The function of this name and module that an object holds which can be called: its class is a decorator."""
    if not isinstance(found, (type, *_FUNCTIONS)) and _is_written(found):
        for held in getattr(found, "__dict__", {}).values():
            if isinstance(held, types.FunctionType) and (held.__name__, held.__module__) == (name, module):
                yield held


def _loads_first(code: types.CodeType) -> bool:
    """Whether it uses its first constant, which may also be its docstring."""
    return any(one.arg == 0 and one.opcode in dis.hasconst for one in dis.get_instructions(code))


def _name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _is_written(target: Any) -> bool:
    """Whether it is an object that can be called by code of its class."""
    if isinstance(target, type) or not callable(target):
        return False
    return isinstance(type(target).__call__, types.FunctionType)


def _is_method_object(member: Any) -> bool:
    """Whether that of a class is a method which is an object, as a decorator makes that is itself a class."""
    return isinstance(member, functools.partial) or _is_written(member)


def _is_native(target: Any) -> bool:
    """Whether it is written in C, and known by its name: in a module, or in what it is bound to."""
    if isinstance(target, _NATIVE):
        return True
    if _is_written(target) or not (hasattr(target, "__name__") or hasattr(target, "__qualname__")):
        return False
    try:
        return pickle.loads(pickle.dumps(target)) is target
    except Exception:  # noqa: BLE001 - nobody finds it by that name
        return False


def _is_constant(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_constant, value))
    return canonical.is_plain(value, 0) and type(value) is not dict


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
