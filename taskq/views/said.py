"""What the library says on stderr by itself, as the commands do: a line each, that begins with ``taskq:``.

That nobody can read it is no reason for a wait to end: stderr may be closed, or a pipe whose reader is gone.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from taskq.views.escaped import escaped


def say(text: str) -> None:
    """Say it, if there is anywhere to."""
    put(f"taskq: {escaped(text, lines=True)}")


def put(line: str) -> None:
    """Write a line as it is, if there is anywhere to."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


class Unminded:
    """A stream like another one, but whatever can't be written is passed over."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return bool(self._stream.isatty())
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
