"""Imports the modules of ``--preload`` in the forkserver, so that each new pool process has them from the start.

Imported by the forkserver itself, before it forks anything; the environment is all that reaches it there. A module
that can't be imported is reported, and costs nothing but the time that it was meant to save.
"""

from __future__ import annotations

import importlib
import os
import sys

VARIABLE = "TASKQ_PRELOAD"  # names, separated by spaces

for name in os.environ.get(VARIABLE, "").split():
    try:
        importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - whatever user code raises, the forkserver must live
        print(  # noqa: T201 - there is no logging in a forkserver
            f"taskq: --preload {name} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True
        )
