"""Imports the modules of ``--preload`` in the forkserver, so that each new pool process has them from the start.

A module that can't be imported is reported, and costs nothing but the time that it was meant to save.
"""

from __future__ import annotations

import importlib
import sys

from taskq.maps import forks

VARIABLE = "TASKQ_PRELOAD"  # names, separated by spaces
PATH = "TASKQ_PRELOAD_PATH"  # folders where they are looked for first, as in PYTHONPATH

_DRAW = (
    "numpy.random",
    "torch",
)  # modules that make a seed when they are imported, and how to make another: ``seed``


def load(names: list[str]) -> None:
    """Import these modules; see above."""
    for name in names:
        try:
            forks.call(importlib.import_module, name)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises, the forkserver must live
            print(  # noqa: T201 - there is no logging in a forkserver
                f"taskq: --preload {name} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True
            )


def draw_anew() -> None:
    """Give this pool process random numbers of its own.

    Where a module was imported before the fork, all processes would draw the same ones. Python's ``random`` sees
    to that itself.
    """
    for name in _DRAW:
        if seed := getattr(sys.modules.get(name), "seed", None):
            seed()
