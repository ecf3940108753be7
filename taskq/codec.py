"""The one codec: how every value becomes bytes, and how bytes become a value again.

Plain pickle (protocol 5) is tried first, since it is several times faster. Two things need cloudpickle,
which sends code by value: what pickle refuses (lambdas, closures), and what pickle would send as a mere
reference to ``__main__``, which in a worker is another program. Both ways are read back by ``pickle.loads``.
"""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle

from taskq.errors import PickleError

PROTOCOL = 5
DEFAULT_LIMIT = 64 * 1024 * 1024  # bytes: one chunk of items, or one result

_MAIN = b"__main__"


def dumps(value: Any, what: str = "value") -> bytes:
    """Pickle a value so that any worker can read it.

    Args:
        value: Anything that pickle or cloudpickle can serialize.
        what: What to call it in the error, e.g. ``"item 7"``.

    Raises:
        PickleError: If neither can serialize it.
    """
    try:
        data = pickle.dumps(value, PROTOCOL)
    except Exception:  # noqa: BLE001 - __reduce__ may raise anything; cloudpickle has the last word
        return dumps_by_value(value, what)
    if _MAIN in data or cloudpickle.list_registry_pickle_by_value():
        return dumps_by_value(value, what)
    return data


def dumps_by_value(value: Any, what: str = "value") -> bytes:
    """As ``dumps``, with the code of functions and classes of ``__main__`` included.

    Raises:
        PickleError: If cloudpickle can't serialize the value.
    """
    try:
        return bytes(cloudpickle.dumps(value, PROTOCOL))
    except Exception as error:
        raise PickleError(
            f"{what} ({type(value).__name__}) can't be pickled: {type(error).__name__}: {error}. "
            "Send what it is made from (a path, a URL, plain data) and open it inside the function."
        ) from error


def holds_code(data: bytes) -> bool:
    """Whether ``dumps`` sent byte code by value, which only the same minor version of Python can run."""
    return b"cloudpickle.cloudpickle" in data  # the module whose constructors rebuild it


def loads(data: bytes) -> Any:
    """The value that ``dumps`` was given. Runs whatever code the bytes ask for, as pickle does."""
    return pickle.loads(data)


class Serializer:
    """RQ's serializer interface over this codec; a stock RQ worker reads what it writes."""

    @staticmethod
    def dumps(value: Any, /) -> bytes:
        return dumps(value, "the job's function or one of its arguments")

    @staticmethod
    def loads(data: bytes, /) -> Any:
        return loads(data)
