"""The time limit of an item: an alarm that goes off inside whatever the item does in Python."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from taskq.maps.coroutines import finished


class Expired(BaseException):
    """The item's time is over; no ``Exception``, so that an item can't catch it by the way."""


def limited(call: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """The function, with a limit on each of its calls.

    Uses SIGALRM and so works in the main thread only. An alarm that was set before, as RQ's own, stays: if it is
    due earlier it goes off in place of ours. C code that doesn't return to the interpreter is not interrupted.

    Raises (from the call):
        Expired: After so many seconds.
    """

    def run(*args: Any) -> Any:
        began = time.monotonic()
        armed = True

        def expire(_signum: int, _frame: Any) -> None:
            if armed:
                raise Expired(f"it ran longer than item_timeout, {seconds:g} s")

        due, _ = signal.getitimer(signal.ITIMER_REAL)
        if due and due <= seconds:
            return finished(call(*args))
        before = signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            return finished(call(*args))
        finally:
            armed = False
            left = max(due - (time.monotonic() - began), 0.001) if due else 0.0
            signal.signal(signal.SIGALRM, before)
            signal.setitimer(signal.ITIMER_REAL, left)

    return run
