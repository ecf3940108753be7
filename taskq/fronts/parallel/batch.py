"""A batch of joblib's, as what waits for its calls."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from taskq.errors import RemoteTraceback, WorkerLostError
from taskq.fronts.asked import Callbacks
from taskq.payload.function import display_name
from taskq.payload.outcome import ItemFailure

log = logging.getLogger(__name__)

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_SHOWN = 60  # characters of an argument in the text of an error


class Batch:
    """Gets the results of some calls; joblib is told when all are there, or with the first that has failed.

    Args:
        calls: Kept until then, for what is large in them is known by its identity.
        callback: joblib's.
        callbacks: Calls it, for it goes on in the user's iterable.
    """

    def __init__(
        self, calls: Sequence[Call], callback: Callable[[Batch], object] | None, callbacks: Callbacks
    ) -> None:
        self.calls: Sequence[Call] = calls
        self._callback, self._callbacks = callback, callbacks
        self._lock = threading.Lock()
        self._values: list[Any] = [None] * len(calls)
        self._left = len(calls)
        self._error: BaseException | None = None
        self._over = False

    def ended(self, position: int, value: Any, error: BaseException | None) -> None:
        """As a ticket."""
        with self._lock:
            if self._over:
                return
            self._left -= 1
            if error is not None:
                self._error = self._named(position, error)
            else:
                self._values[position] = value
            self._over = error is not None or not self._left
            if not self._over:
                return
            self.calls = ()
        self._tell()

    def _tell(self) -> None:
        if self._callback is not None:
            self._callbacks.add(self._call)

    def _call(self) -> None:
        assert self._callback is not None
        try:
            self._callback(self)
        except Exception:
            log.exception("joblib's callback has raised", extra={"action": "callback_failed"})

    def fail(self, error: BaseException) -> None:
        """It can't be run."""
        with self._lock:
            if self._over:
                return
            self._error, self._over, self.calls = error, True, ()
        self._tell()

    def result(self) -> list[Any]:
        """The results, once it is over.

        Raises:
            Exception: What the call has raised that failed first.
        """
        if self._error is not None:
            raise self._error
        return self._values

    def _named(self, position: int, error: BaseException) -> BaseException:
        """An error that names its call, where the call itself had no chance to say anything."""
        if type(error) is not WorkerLostError:
            return error
        named = WorkerLostError(f"{shown(self.calls[position])} ends its process: {error}")
        named.__cause__ = error.__cause__
        return named


def shown(call: Call) -> str:
    """A call, for people."""
    function, args, kwargs = call
    told = [_short(value) for value in args] + [f"{name}={_short(value)}" for name, value in kwargs.items()]
    return f"{display_name(function)}({', '.join(told)})"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - of whatever class it is: only a text is lost
        text = f"<{type(value).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def error_of(failure: ItemFailure, of: str) -> BaseException:
    """What is raised for a call that has failed: as joblib's own backends do, also a KeyboardInterrupt."""
    if failure.type == KeyboardInterrupt.__name__:
        error: BaseException = KeyboardInterrupt(failure.message)
        error.__cause__ = RemoteTraceback(failure.traceback)
        return error
    return failure.to_raise(of)
