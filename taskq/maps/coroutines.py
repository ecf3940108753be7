"""Runs to its end what an ``async def`` function returns, as RQ does with plain jobs.

Items run one after the other, as all others do. They share one event loop, which lives as long as the process: a
client that belongs to a loop (of HTTP, of a database) may be kept in a global of the user's module, for all items
and maps. What an item leaves running on the loop goes on while later items run on it.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from taskq.maps import forks

_loops: dict[int, asyncio.AbstractEventLoop] = {}  # forks.count -> the loop: a child can't go on with its parent's


def expected(function: Any) -> bool:
    """Whether calling it is known to return a coroutine; another function's may, too."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def awaiting(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which returns what its coroutine returns."""
    return lambda *args: run(function(*args))


def finished(value: Any) -> Any:
    """What was returned by a function, and by its coroutine if it is one of ``async def``."""
    return run(value) if isinstance(value, Coroutine) else value


def run(coroutine: Any) -> Any:
    """What a coroutine returns.

    Raises:
        BaseException: Whatever it raises, or an alarm raises meanwhile; then it was cancelled, and has ended.
    """
    loop = _loop()
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    finally:
        if not task.done():  # else it would go on beside the next item
            task.cancel()
            with suppress(BaseException):
                loop.run_until_complete(task)


def _loop() -> asyncio.AbstractEventLoop:
    loop = _loops.get(forks.count)
    if loop is None or loop.is_closed():
        loop = _loops[forks.count] = asyncio.new_event_loop()
        atexit.register(loop.close)
    return loop
