"""Where the user's modules are found: in front of everything, but only for the user's own code.

A project may have a ``queue.py``, a ``signal.py``, folders called ``tests`` or ``workers``. Manager, services,
forkserver and commands never have it on their path while modules of ours, or of the libraries that we use, are
looked up. A pool process has it, once all of ours are loaded.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_SAFE = "PYTHONSAFEPATH"  # keeps python -c and -m from putting the working directory in front
_PATH = "PYTHONPATH"
_BEFORE = "TASKQ_BEFORE"  # these two as they were outside of ``safe``, as JSON

_lock = threading.RLock()  # several threads may load results, or be services of one process (in tests)
_left: list[str] = []  # sys.path as user code has left it, if that has changed it


@contextmanager
def in_front(path: Sequence[str]) -> Iterator[None]:
    """Import the user's modules from these folders first, for the length of a ``with`` block.

    What user code does to ``sys.path`` meanwhile is there again in the next block, and not between them.
    """
    with _lock:
        ours, theirs = sys.path[:], all_for_user(path)
        sys.path[:] = theirs
        try:
            yield
        finally:
            if sys.path != theirs:
                _left[:] = sys.path
            sys.path[:] = ours


def all_for_user(path: Sequence[str]) -> list[str]:
    """The ``sys.path`` of user code whose modules are in these folders."""
    return list(dict.fromkeys([*_left, *path, *sys.path]))


@contextmanager
def safe(**variables: str) -> Iterator[None]:
    """For the Python programs of ours that are started in a ``with`` block; ``forget_safe`` is their first duty.

    They find modules where this program does, however that came by its ``sys.path``, and none in the working
    directory. They find these variables, too.
    """
    with _lock:
        if _BEFORE not in os.environ:
            found = [folder for folder in sys.path if folder and os.pathsep not in folder]
            before = {name: os.environ.get(name) for name in (_SAFE, _PATH)}
            variables |= {_SAFE: "1", _PATH: os.pathsep.join(found), _BEFORE: json.dumps(before)}
        ours = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            _restore(ours)


def forget_safe() -> None:
    """In such a program: what it starts, job code's programs among them, are none of our business."""
    _restore(json.loads(os.environ.pop(_BEFORE, "{}")))


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
