"""Where the user's modules are found: in front of everything, but only for the user's own code.

A project may have a ``queue.py``, a folder ``tests`` or one called ``workers``. Manager, services and forkserver
never have it on their path while modules of ours, or of the libraries that we use, are looked up. A pool process
has it, once all of ours are loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SAFE = "PYTHONSAFEPATH"  # keeps python -c and -m from putting the working directory in front
_OURS = "TASKQ_SAFEPATH"  # it was set by ``safe``


@contextmanager
def in_front(path: Sequence[str]) -> Iterator[None]:
    """Import the user's modules from these folders first, for the length of a ``with`` block."""
    sys.path[:0] = path
    try:
        yield
    finally:
        for folder in path:
            sys.path.remove(folder)


def safe() -> dict[str, str]:
    """Variables for a Python program of ours that is to be started; ``forget_safe`` is its first duty."""
    return {} if os.environ.get(SAFE) else {SAFE: "1", _OURS: "1"}


def forget_safe() -> None:
    """In that program: what it starts, job code's programs among them, are none of our business."""
    if os.environ.pop(_OURS, ""):
        os.environ.pop(SAFE, None)
