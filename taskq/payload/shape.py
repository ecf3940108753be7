"""Tells whether two classes are alike that two runs of a program have defined: by a digest of what is written.

    counts      name, metaclass, bases; slots, annotations, fields; members of an enum; the code of all functions,
                with the defaults of their arguments where these are plain
    does not    where it is written, and what other attributes of the class hold: a running program changes them
                (counters, registries, caches), and an instance takes along what is its own

The digest is made where the class was defined, and then goes with it: what a class that was made of a pickle looks
like, or what has been done to it since, doesn't matter.
"""

from __future__ import annotations

import functools
import hashlib
import re
import types
from typing import Any

SECOND_MAIN = "__mp_main__"
"""What ``__main__`` is called in processes that ``multiprocessing`` has spawned."""
MAINS = ("__main__", SECOND_MAIN)

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
_INSIDE = ("__func__", "__wrapped__", "func", "fget", "fset", "fdel")
"""Where functions are found in what wraps them ..."""
_WRAPPERS = (
    types.FunctionType, staticmethod, classmethod, property, functools.partial, functools.partialmethod,
    functools.cached_property, functools.singledispatchmethod, type(functools.lru_cache(len)),
)  # fmt: skip
"""... which these do."""
_DEEP = 50  # functions, one wrapped in the other
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def of(cls: type) -> str:
    """The digest of a class."""
    return hashlib.sha256(repr(_class(cls, ())).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _class(cls: type, inside: tuple[type, ...]) -> Any:
    """What counts of it; of a class of another module, and of one that it is inside of, just the name."""
    if cls.__module__ not in MAINS:
        return f"{cls.__module__}.{cls.__qualname__}"
    if cls in inside:
        return cls.__qualname__
    inside = (*inside, cls)
    names = vars(cls)
    return (
        cls.__qualname__,
        _class(type(cls), inside),
        [_class(base, inside) for base in cls.__bases__],
        _plain(names.get("__slots__")),
        _plain(names.get("_fields")),
        _annotations(names.get("__annotations__")),
        [(name, field._field_type.name, _text(field.type))  # noqa: SLF001 - dataclasses has no accessor
         for name, field in names.get("__dataclass_fields__", {}).items()],
        [(name, _plain(member.value)) for name, member in names.get("_member_map_", {}).items()],
        [(name, code) for name in sorted(names) if (code := _functions(names[name], inside))],
    )  # fmt: skip


def _annotations(found: Any) -> Any:
    return [(name, _text(kind)) for name, kind in found.items()] if isinstance(found, dict) else None


def _text(kind: Any) -> str:
    """The text of a type."""
    named = isinstance(kind, type) and not isinstance(kind, types.GenericAlias)
    text = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}" if named else repr(kind)
    return _ADDRESS.sub("", text.replace(SECOND_MAIN, "__main__"))


def _functions(value: Any, inside: tuple[type, ...]) -> Any:
    """What counts of an attribute: the code that is in it; nothing if there is none."""
    if isinstance(value, type):
        nested = value.__module__ in MAINS and value.__qualname__.startswith(f"{inside[-1].__qualname__}.")
        return _class(value, inside) if nested else None
    found: list[Any] = []
    while isinstance(value, _WRAPPERS):
        if isinstance(value, types.FunctionType):
            found.append((_code(value.__code__), _plain(value.__defaults__), _plain(value.__kwdefaults__)))
        inner = [one for name in _INSIDE if isinstance(one := getattr(value, name, None), _WRAPPERS)]
        found.extend(_functions(one, inside) for one in inner[1:])  # of a property
        value = inner[0] if inner and len(found) < _DEEP else None
    return found


def _code(code: types.CodeType) -> Any:
    return (
        code.co_code.hex(), code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount,
        code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, list(map(_plain, code.co_consts)),
    )  # fmt: skip


def _plain(value: Any) -> Any:
    """Plain data as a text that is the same in each run; of all else just the type."""
    if isinstance(value, types.CodeType):
        return _code(value)
    if type(value) in (tuple, list):
        return [type(value).__name__, *map(_plain, value)]
    if type(value) in (set, frozenset):
        return ["set", *sorted(repr(_plain(one)) for one in value)]
    if type(value) is dict:
        return ["dict", *((_plain(key), _plain(one)) for key, one in value.items())]
    return repr(value) if type(value) in _PLAIN else type(value).__qualname__
