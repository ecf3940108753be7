"""Two threads do what blocks, for all tasks of a queue: one asks, one pushes. Nobody waits for work in them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class Hands:
    """Runs calls one after the other: what is short in one thread, what may take as long as its items in another.

    So a push of many items, or of a slow generator, keeps nobody from hearing that his map has ended.
    """

    def __init__(self) -> None:
        self._asks = ThreadPoolExecutor(1, "taskq aio asks")
        self._pushes = ThreadPoolExecutor(1, "taskq aio pushes")

    async def ask(self, call: Callable[..., T], *args: Any) -> T:
        """What this call returns. A task that is cancelled waits no more; the call goes on."""
        return await _wrapped(self._asks.submit(_in_context(call, *args)))

    async def push(self, call: Callable[..., T], *args: Any, undo: Callable[[T], object] | None = None) -> T:
        """The same, in the other thread.

        Args:
            call: What is called.
            args: Its arguments.
            undo: Called there with what the call has returned, if nobody has got it: the task was cancelled.
        """
        called = self._pushes.submit(_in_context(call, *args))
        try:
            return await asyncio.shield(_wrapped(called))
        except asyncio.CancelledError:
            if not called.cancel() and undo is not None:
                called.add_done_callback(partial(_undo, undo))
            raise

    def later(self, call: Callable[..., object], *args: Any) -> None:
        """Have this called for a task that is being cancelled, and can't wait; what it raises is logged."""
        self._asks.submit(_logged, call, *args)

    def close(self) -> None:
        """Do nothing more but what was asked for; what nobody waits for any more was given up with its task."""
        for pool in (self._asks, self._pushes):
            pool.shutdown(wait=False)


def _in_context(call: Callable[..., T], *args: Any) -> Callable[[], T]:
    return partial(contextvars.copy_context().run, call, *args)


def _wrapped(called: Future[T]) -> asyncio.Future[T]:
    return asyncio.wrap_future(called)


def _logged(call: Callable[..., object], *args: Any) -> None:
    try:
        call(*args)
    except Exception:
        log.exception("what a task that was cancelled has left to do failed", extra={"action": "later_failed"})


def _undo(undo: Callable[[Any], object], called: Future[Any]) -> None:
    if called.cancelled() or called.exception() is not None:
        return  # nothing was done
    _logged(undo, called.result())
