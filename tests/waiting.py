"""Waiting for conditions, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], what: str = "", timeout: float = 15.0) -> None:
    """Wait for a condition, as briefly as possible; fail if it does not come true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"still not true after {timeout} s: {what or condition}"
        time.sleep(0.005)
