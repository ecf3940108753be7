"""What runs in a pool process for each call of a ``Parallel``, and where that finds large arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from joblib import parallel_config

from taskq.fronts import call
from taskq.maps import shared
from taskq.payload import codec, large
from taskq.payload.large import Told


def run(record: call.Record, arguments: bytes, nested: bytes) -> Any:
    """Call a function, as joblib does in its own processes.

    Args:
        record: Of the function.
        arguments: Pickled ``(args, kwargs)``.
        nested: Pickled backend and number of jobs for whatever ``Parallel`` the function calls itself.
    """
    __tracebackhide__ = True  # of the user's traceback
    _register()
    function = call.loaded(*record)
    args, kwargs = codec.loads(arguments)
    backend, n_jobs = codec.loads(nested)
    with parallel_config(backend=backend, n_jobs=n_jobs):
        return function(*args, **kwargs)


@functools.cache
def _register() -> None:
    """Code that names the backend finds it here, too, where it has threads."""
    from taskq.fronts.parallel import backend

    backend.register()


def apply(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call what is no plain function: it travels with its arguments, so each call has its own copy."""
    __tracebackhide__ = True
    return function(*args, **kwargs)


def ready(handles: tuple[Any, ...], initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    """The initializer of a session's map.

    Args:
        handles: Large arguments of the first calls: that they are named here announces them with the map, so that
            all pool processes of a host see the same memory.
        initializer: The user's.
        initargs: Its arguments.
    """
    del handles
    if initializer is not None:
        initializer(*initargs)


class Handle:
    """Stands for a large argument; whoever reads it finds the object there.

    Args:
        told: Of the blob on the server.
    """

    def __init__(self, told: Told) -> None:
        self.told = told

    def __reduce__(self) -> tuple[Any, ...]:
        large.note(self.told)
        return value_of, (str(self.told),)


def value_of(text: str) -> Any:
    """As ``shared.fetched``, over memory that this process keeps for the next call."""
    return shared.fetched(text, keeps=True)
