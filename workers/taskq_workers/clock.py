"""What time it is for the processes of a worker: the server's, whatever the host's clock shows.

A service measures it at its start and with each renewal of its lease; the scheduler, and whoever cleans RQ's
registries, before each look. RQ's own code stamps and scores with ``rq.utils.now``. While a process *follows* the
server's clock, that function is ours in all of RQ, so that a host whose clock is an hour off neither takes others'
jobs for abandoned, nor has its own taken.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import rq.utils

from taskq.redis.clock import Clock

log = logging.getLogger(__name__)

SERVER = Clock()
"""This process's. (A process that was forked goes on with what its parent knew.)"""

WRONG = 1.0  # seconds by which a host's clock may be off, without being told so

_RQ_NOW = rq.utils.now


def utc() -> datetime:
    """Now, by the server's clock; RQ's ``now``."""
    return datetime.fromtimestamp(SERVER.now(), UTC)


def follow() -> None:
    """Have RQ's code in this process go by the server's clock, for good."""
    _have_rq_call(utc)


@contextmanager
def followed() -> Iterator[None]:
    """Have RQ's code in this process go by the server's clock for a while."""
    before = rq.utils.now
    _have_rq_call(utc)
    try:
        yield
    finally:
        _have_rq_call(before)


def _have_rq_call(now: Any) -> None:
    """RQ's modules have imported the function by its name; what they import later comes from ``rq.utils``."""
    for name, module in sys.modules.copy().items():  # another thread may import meanwhile
        if name.partition(".")[0] == "rq" and getattr(module, "now", None) in (_RQ_NOW, utc):
            module.now = now  # type: ignore[attr-defined,unused-ignore]


def warn(connection: Any) -> float:
    """Log it if this host's clock is wrong; by how many seconds it is ahead of the server's.

    Nothing hangs on the host's clock but what people compare with it: dates in logs, and when a producer on this
    host wants a job to run (``enqueue_in``).
    """
    asked = time.monotonic()
    SERVER.measure(connection)
    unsure = (time.monotonic() - asked) / 2
    ahead = time.time() - SERVER.now()
    if abs(ahead) - unsure > WRONG:
        log.warning(
            "this host's clock is %.1f s %s the server's, by which this worker goes. Remedy: NTP on both",
            abs(ahead), "ahead of" if ahead > 0 else "behind", extra={"action": "clock_off"},
        )  # fmt: skip
    return ahead
