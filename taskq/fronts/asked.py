"""What ``Pool.apply_async`` and its like return: results that are waited for, with callbacks."""

from __future__ import annotations

import logging
import multiprocessing
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from taskq.errors import WaitTimeoutError

log = logging.getLogger(__name__)

T = TypeVar("T")

Callback = Callable[[Any], object] | None


class PoolTimeoutError(WaitTimeoutError, multiprocessing.TimeoutError):
    """The time given to ``get`` or ``next`` is over; the calls go on."""


class Callbacks:
    """Calls what was given as callbacks, in the order in which results have come, in one thread of its own.

    It is not the thread that reads, so a callback may wait for other results of its pool.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, call: Callable[[], object]) -> None:
        """Have this called; what it raises is logged."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        self._calls.put(call)

    def close(self, *, wait: bool = False) -> None:
        """No more will come; ``wait``: until the last one has ended."""
        thread = self._thread
        if thread is not None:
            self._calls.put(None)
            if wait and thread is not threading.current_thread():
                thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


class AsyncResult(Generic[T]):
    """The results of some calls: ``multiprocessing.pool.AsyncResult``, also where it is called ``MapResult``.

    Args:
        count: How many calls it is.
        callbacks: Calls the next two.
        callback: Called with the result, before anybody who waits is told.
        error_callback: Called with the error instead.
    """

    def __init__(
        self, count: int, callbacks: Callbacks, callback: Callback = None, error_callback: Callback = None
    ) -> None:
        self._ended = threading.Event()
        self._left = count
        self._values: list[Any] = [None] * count
        self._error: tuple[int, BaseException] | None = None  # of the first call that failed
        self._callbacks, self._callback, self._error_callback = callbacks, callback, error_callback
        if not count:
            self._end()

    def ready(self) -> bool:
        """Whether all calls have ended."""
        return self._ended.is_set()

    def successful(self) -> bool:
        """Whether none has raised.

        Raises:
            ValueError: If not all have ended.
        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all have ended, or for so many seconds."""
        self._ended.wait(timeout)

    def get(self, timeout: float | None = None) -> T:
        """Wait for the result.

        Args:
            timeout: Seconds; None: for ever.

        Raises:
            PoolTimeoutError: If it is not there in time; a ``multiprocessing.TimeoutError``.
            Exception: What the first of the calls that failed has raised, with the remote traceback as its cause.
            BrokenFrontError, MapCanceledError: If it will never come.
        """
        if not self._ended.wait(timeout):
            raise PoolTimeoutError(f"the result is not there after {timeout} s; it is still to come")
        if self._error is not None:
            raise self._error[1]
        result: T = self._value()
        return result

    def _value(self) -> Any:
        return self._values

    # -- as a ticket, in the thread that reads -------------------------------------------------------------

    def ended(self, position: int, value: Any, error: BaseException | None) -> None:
        """As a ticket."""
        if error is None:
            self._values[position] = value
        elif self._error is None or position < self._error[0]:
            self._error = position, error
        self._left -= 1
        if not self._left:
            self._end()

    def fail(self, error: BaseException) -> None:
        """None of its calls was submitted."""
        self._error, self._left = (0, error), 0
        self._end()

    def _end(self) -> None:
        called = self._callback if self._error is None else self._error_callback
        if called is None:
            self._ended.set()
        else:
            self._callbacks.add(lambda: self._call(called))

    def _call(self, called: Callable[[Any], object]) -> None:
        try:
            called(self._value() if self._error is None else self._error[1])
        except BaseException:  # a sys.exit(), say: the thread goes on, for others wait for their callbacks
            log.exception("a callback has raised", extra={"action": "callback_failed"})
        finally:
            self._ended.set()


class OneResult(AsyncResult[T]):
    """Of one call."""

    def _value(self) -> Any:
        return self._values[0]
