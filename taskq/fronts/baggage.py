"""What is submitted, made ready to travel; what can't is named, before anything is written."""

from __future__ import annotations

import functools
import pickle
import types
from collections.abc import Callable, Mapping
from typing import Any

from taskq.errors import PickleError, TooLargeError, UnsendableError
from taskq.fronts.call import Record, record_of
from taskq.payload import codec, proxies, stuck
from taskq.payload.function import Function, display_name, is_importable

_PICKLES_OWN = (TypeError, AttributeError, pickle.PicklingError)
"""What pickle itself says of a value; all else is raised by the value's class, and is its own."""

_CALLS = 4096  # of functions that are kept pickled


@functools.lru_cache(_CALLS)
def _named(function: Callable[..., Any]) -> Record:
    return record_of(Function.of(function))


def packed(function: Any) -> Record:
    """The function of an item.

    A function that workers import by name is pickled once. What travels by value is pickled each time: what it
    refers to may have changed since.

    Raises:
        OptionError, PickleError: As ``Function.of``.
    """
    if is_plain(function) and is_importable(function):
        return _named(function)
    return record_of(Function.of(function))


def is_plain(function: Any) -> bool:
    """Whether it is a function, and no object with a state of its own that can be called."""
    if isinstance(function, types.BuiltinFunctionType):
        return function.__self__ is None or isinstance(function.__self__, types.ModuleType)
    return isinstance(function, types.FunctionType)


def arguments(
    function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: int, *, own_workers: bool = False
) -> bytes:
    """The arguments of one call.

    Args:
        function: For the text of an error.
        args: By position.
        kwargs: By name.
        limit: Bytes they may have.
        own_workers: They go to workers that this program has started.

    Raises:
        UnsendableError: If something in them can't be pickled; says which argument it is, and where in it.
        TooLargeError: If they have more bytes.
        Exception: What a class of theirs raises when it is to be pickled, with a note that says the same.
    """
    with proxies.reaching(own_workers):
        try:
            data = codec.dumps((args, dict(kwargs)), None)
        except PickleError as error:
            raise _unsendable(function, args, kwargs, error) from error.__cause__
    if len(data) > limit:
        raise TooLargeError(
            f"the arguments of {display_name(function)} are {len(data):,} bytes, over the limit of {limit:,}. "
            "Send a path or a key instead of the data, or raise the limit: Queue(payload_limit=...)."
        )
    return data


def _unsendable(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], error: Exception) -> Exception:
    if isinstance(error, UnsendableError):
        named = [*((f"argument {n}", value) for n, value in enumerate(args)),
                 *((f"argument {name!r}", value) for name, value in kwargs.items())]  # fmt: skip
        places = (f"{name}{place}" for name, value in named if (place := proxies.place(value)) is not None)
        where = next(places, "something of multiprocessing in an argument")
        return UnsendableError(f"{where} of {display_name(function)} can't travel to a worker: {proxies.INSTEAD}")
    found = stuck.in_call(args, kwargs)
    where = f"{found.path} ({found.kind})" if found else "an argument"
    cause = error.__cause__
    said = f"{where} of {display_name(function)} can't travel to a worker"
    if cause is not None and not isinstance(cause, _PICKLES_OWN):
        cause.add_note(said)
        assert isinstance(cause, Exception)
        return cause
    why = f": {cause}" if cause is not None else ""
    return UnsendableError(
        f"{said}{why}. Send what it is made from (a path, an address, plain data), and make it in the function"
    )
