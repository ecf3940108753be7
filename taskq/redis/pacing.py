"""How often somebody asks who waits for what the server tells nobody of."""

from __future__ import annotations

import time
from collections.abc import Iterator

_FIRST = 0.001  # seconds until the second try
_LONGEST = 0.05  # seconds between two tries
_GROWTH = 1.5


def tries(timeout: float | None) -> Iterator[None]:
    """Yields once at once, and then again and again, 20 times a second in the end.

    Args:
        timeout: Seconds until the last time; None: for ever.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = _FIRST
    while True:
        yield
        left = pause if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(pause, left))
        pause = min(pause * _GROWTH, _LONGEST)
