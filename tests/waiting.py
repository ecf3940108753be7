"""Waiting for conditions, never for a time.

No bound here or in a test says how fast something is: the machine may be busy with anything. A bound is for what
hangs. What must not end by itself while a test looks lasts longer than any bound.
"""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Callable

HANGS = 120  # seconds after which what a test waits for will never come
LONG = 1800  # seconds which last longer than any test
NEVER = time.monotonic() + LONG  # the same as a pace, also where that is counted from the machine's start
BRIEF = 0.01  # seconds: a time that is to be over before anything comes


witnesses: list[Callable[[], str]] = []
"""Asked what they see when a wait fails: hardly any such thing can be staged again."""


def wait_until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition, as briefly as possible; fail if it does not come true."""
    deadline = time.monotonic() + HANGS
    while not condition():
        if time.monotonic() > deadline:
            faulthandler.dump_traceback()
            seen = "\n".join(witness() for witness in witnesses)
            raise AssertionError(f"still not true after {HANGS} s: {what or condition}\n{seen}")
        time.sleep(0.005)


def when(condition: Callable[[], object], act: Callable[[], object]) -> None:
    """Act as soon as a condition comes true, while the test goes on."""

    def run() -> None:
        wait_until(condition)
        act()

    threading.Thread(target=run, daemon=True).start()
