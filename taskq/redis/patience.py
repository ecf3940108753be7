"""How a producer bears with a server that can't be reached, or refuses: it waits, or gets a clear error."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, cast

from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    DataError,
    ExecAbortError,
    NoPermissionError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from taskq.errors import DamagedError
from taskq.redis.reach import AWAY, CLUSTER, REFUSALS, final, is_away, server_error
from taskq.redis.urls import url_of

_BACK_OFF = ExponentialBackoff(cap=1.0, base=0.02)  # seconds

_DAMAGE = (
    "WRONGTYPE",
    "user_script",
    "must be strings or integers",
    "not an integer",
    "not a valid float",
    "not a float",
    "invalid expire time",
    "would overflow",
    "would produce NaN or Infinity",
    "exhausted the last possible ID",
)
_STATE = (
    "OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY", "LOADING", "NOSCRIPT", "NOPERM", "NOAUTH",
    "CLUSTERDOWN", "EXECABORT",
)  # fmt: skip
_STATES = (*REFUSALS, ExecAbortError, NoPermissionError, NoScriptError)

F = TypeVar("F", bound=Callable[..., Any])


def says_damage(error: BaseException) -> bool:
    """Whether it says that a key holds what neither RQ nor taskq would put there; else it is about the server.

    ``DataError`` is redis-py's own word for a value which it can't send (a list, None). The server never heard of
    it: what was read from one key would have been written to another.
    """
    if isinstance(error, DataError):
        return True
    if not isinstance(error, ResponseError) or isinstance(error, REFUSALS):
        return False
    text = str(error)
    return any(word in text for word in _DAMAGE) and not any(word in text for word in _STATE)


def says_state(error: BaseException) -> bool:
    """Whether it tells of the server's state, or of the way there, and not of what was said: that may go over."""
    if not isinstance(error, ResponseError):
        return isinstance(error, RedisError) and not isinstance(error, DataError)
    return final(error) is not None or isinstance(error, _STATES) or any(word in str(error) for word in _STATE)


class Patience(Retry):
    """Tries a command again for so many seconds: after lost connections, without memory, on a read-only replica.

    A command whose reply was lost is said again. By that, neither maps nor plain jobs are enqueued, scheduled or
    requeued twice, nor is a value added twice to a ``ResultList`` (once.py). But ``unique`` and rate-limited jobs
    may be, what is pushed through a pipeline of the caller's, and what RQ's own objects do: its registries, and
    ``requeue`` of a job as ``enqueue`` has returned it. A job's id, and with it its result, is the same then.

    Args:
        seconds: None: for ever.
    """

    def __init__(self, seconds: float | None) -> None:
        super().__init__(_BACK_OFF, -1, (*AWAY, *REFUSALS))
        self._seconds = float("inf") if seconds is None else seconds

    def call_with_retry(  # type: ignore[override]  # redis-py 6 has an argument less
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        **options: Any,
    ) -> Any:
        """redis-py's loop, which ends when the time is over."""
        deadline = time.monotonic() + self._seconds

        def in_time(error: Exception) -> bool:
            if time.monotonic() >= deadline or final(error):
                return False
            return is_retryable is None or is_retryable(error)

        return super().call_with_retry(do, fail, in_time, **options)


def no_cluster(method: F) -> F:
    """For what RQ's code says: its errors stay redis-py's, but for those of a cluster, which need a reason."""

    @functools.wraps(method)
    def clear(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except CLUSTER as error:
            raise server_error(error, url_of(self.connection)) from None

    return cast("F", clear)


def clear_errors(method: F) -> F:
    """For a method of an object with a ``connection``: redis-py's errors become ours, with a remedy."""

    @functools.wraps(method)
    def clear(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except RedisError as error:
            raise_clearly(error, self.connection)

    return cast("F", clear)


def raise_clearly(error: RedisError, connection: Any) -> NoReturn:
    """Raise what a user is to see instead of this error of redis-py's.

    Raises:
        ServerError: If the server can't be reached, or refuses.
        DamagedError: If what stands there is not what taskq wrote.
        redis.exceptions.RedisError: The error itself, if it says anything else.
    """
    if is_away(error) or final(error) or isinstance(error, (NoPermissionError, *REFUSALS)):
        raise server_error(error, url_of(connection)) from None
    if says_damage(error):
        raise DamagedError(f"what stands in Redis is not what taskq wrote: {error}") from error
    raise error
