"""How long an item that is at fault keeps a caller waiting: the last rows of docs/recovery.md."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import taskq
from tests import jobs

LIMIT = 0.1  # seconds, the item_timeout
LONG = 30.0  # seconds that an item would take

BAD: tuple[tuple[str, Callable[[Any], Any], int, dict[str, float]], ...] = (
    ("an item raises", jobs.invert, 0, {}),
    ("an item kills its process each time, given up after 3 deaths", jobs.die_at_3, 3, {}),
    (f"item_timeout of {LIMIT} s, in Python code", partial(jobs.sleep_at, 0, LONG), 0, {"item_timeout": LIMIT}),
    (f"item_timeout of {LIMIT} s, in C code", partial(jobs.sleep_in_c_at, 0, LONG), 0, {"item_timeout": LIMIT}),
)


def times(rounds: int) -> list[tuple[str, list[float | None]]]:
    """Of each kind of fault: seconds from ``map`` to the error in the caller's hands, some rounds."""
    with taskq.local(log_level="error") as q:
        q.map(abs, range(10)).get()
        return [(what, [_until_error(q, *rest) for _ in range(rounds)]) for what, *rest in BAD]


def _until_error(q: taskq.Queue, function: Any, item: int, options: dict[str, Any]) -> float:
    began = time.perf_counter()
    [error] = q.map(function, [item], **options).get(timeout=20, errors="return")
    seconds = time.perf_counter() - began
    assert isinstance(error, Exception), error
    return seconds
