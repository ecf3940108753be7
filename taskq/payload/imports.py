"""Which functions a worker calls by name: ``taskq worker --allow-import PATTERN``.

A pattern is a dotted path in which ``*`` stands for anything: ``tasks.*``, ``mycompany.*.jobs.*``. A function sent
by value has no name which the worker could look up; it counts as ``__main__.NAME``.

This keeps a worker to the functions it is meant for. It does not protect from somebody who can write any pickle,
since one may call whatever it names while it is read: that is what the secret key is for (``signing.py``).
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from taskq.errors import ImportRefusedError

BY_VALUE = "__main__"
"""The module to which functions sent by value are taken to belong."""

_WRAPPER = ("functools", "partial")  # calls only what is named beside it

_allowed: list[str] = []


def allow(patterns: Iterable[str]) -> None:
    """Refuse, in this process and from now on, all names that match none of these; with none, refuse nothing."""
    _allowed[:] = patterns


def check(path: str) -> None:
    """Refuse a dotted path that is not allowed; call it before anything is imported.

    Raises:
        ImportRefusedError: If this process was told which are, and it is none of them.
    """
    if _allowed and not any(fnmatchcase(path, pattern) for pattern in _allowed):
        raise ImportRefusedError(
            f"{path} may not be called by this worker, which runs with --allow-import {' '.join(_allowed)}. "
            "Call a function that it allows, or allow this one there (TASKQ_ALLOW_IMPORT)."
        )


def load(pickled: bytes) -> Any:
    """A function that was pickled by reference; ``check`` sees each name in it before that is imported.

    Raises:
        ImportRefusedError: As ``check``.
    """
    return _Unpickler(io.BytesIO(pickled)).load() if _allowed else pickle.loads(pickled)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) != _WRAPPER:
            check(f"{module}.{name}")
        return super().find_class(module, name)
