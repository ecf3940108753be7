"""What a front's map calls for each of its items, in a pool process: any function, with its arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from taskq.payload import codec
from taskq.payload.function import Function

Record = tuple[str, bytes | None, bool, str]
"""A ``Function`` as plain data, so that an item can be read wherever it arrives."""

_KEPT = 256  # functions that a process keeps loaded


def record_of(function: Function) -> Record:
    return function.name, function.code, function.by_value, function.python


def run(record: Record, arguments: bytes) -> Any:
    """Call a function.

    Args:
        record: Of the function. Whether this process may call it is judged when it is loaded.
        arguments: Pickled ``(args, kwargs)``.
    """
    __tracebackhide__ = True  # of the user's traceback
    function = loaded(*record)
    args, kwargs = codec.loads(arguments)
    return function(*args, **kwargs)


@functools.lru_cache(_KEPT)
def loaded(name: str, code: bytes | None, by_value: bool, python: str) -> Callable[..., Any]:
    """A function, from its record.

    It is loaded once in a process: what it keeps in its globals stays from call to call, as in a ``Pool``.
    """
    function: Callable[..., Any] = Function(name, code, by_value=by_value, python=python).load()
    return function
