"""Imports the modules of ``--preload`` in the forkserver, so that each new pool process has them from the start.

A module that can't be imported is reported, and costs nothing but the time that it was meant to save.
"""

from __future__ import annotations

import importlib
import sys

from taskq.maps import forks

VARIABLE = "TASKQ_PRELOAD"  # names, separated by spaces
PATH = "TASKQ_PRELOAD_PATH"  # folders where they are looked for first, as in PYTHONPATH


def load(names: list[str]) -> None:
    """Import these modules; see above."""
    for name in names:
        try:
            forks.call(importlib.import_module, name)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises, the forkserver must live
            print(  # noqa: T201 - there is no logging in a forkserver
                f"taskq: --preload {name} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True
            )
