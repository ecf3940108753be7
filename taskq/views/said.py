"""What the library says on stderr by itself, as the commands do: a line each, that begins with ``taskq:``."""

from __future__ import annotations

import sys
from contextlib import suppress

from taskq.views.escaped import escaped


def say(text: str) -> None:
    """Say it, if there is anywhere to."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # closed, or nobody reads it: no reason for a wait to end
            sys.stderr.write(f"taskq: {escaped(text, lines=True)}\n")
            sys.stderr.flush()
