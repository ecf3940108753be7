"""What is done around each piece of user code in a pool process: by frameworks, and by the user's own hooks.

A pool process runs many jobs of many maps, where a work horse of RQ's ran one and was gone: connections to
databases, sessions, and whatever else is kept in globals would be left over. A piece is a plain job with its
callbacks, a chunk of a map, or a map's callback.

An app's context is narrower: it is around each call of user code, for what that raises must pass through it. A
teardown that commits does so unless it hears of an exception, and a piece as a whole never raises what a job does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

from rq.job import Job

from taskq.maps import coroutines, forks
from taskq_workers.process import jobs
from taskq_workers.process.hooked import Hook, hooked
from taskq_workers.user_code import UserCode

Around = Callable[[Job, float], AbstractContextManager[object]]

_made: tuple[UserCode | None, list[Around]] = None, []  # what there is of it, and whose it is
_app: Any = None  # the app of the same
_NOTHING = nullcontext()


def ready() -> AbstractContextManager[object]:
    """Set up the frameworks, and load the hooks, if that is not done. To be entered before user code is loaded.

    Returns:
        What keeps apart from other pieces what this one tells sentry-sdk of itself.

    Raises:
        FunctionError: If one of it can't be imported.
        OptionError: If a framework can't be set up.
    """
    global _made, _app  # noqa: PLW0603 - a process has one
    user = jobs.user_code()
    if _made[0] is not user:
        if user.django:
            user.set_up_django()
        _app = None if user.app is None else user.load_app()
        _made = user, list(_make(user))
    isolated = getattr(sys.modules.get("sentry_sdk"), "isolation_scope", None)
    return isolated() if isolated else _LATE


class _Late:
    """For a piece that might be the first to import sentry-sdk: what it tells it is forgotten at its end."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_exc_info: object) -> None:
        if (sdk := sys.modules.get("sentry_sdk")) and hasattr(sdk, "isolation_scope"):
            kinds = sdk.scope.ScopeType
            sdk.Scope.set_isolation_scope(sdk.Scope(ty=kinds.ISOLATION))
            sdk.Scope.set_current_scope(sdk.Scope(ty=kinds.CURRENT))


_LATE = _Late()


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call user code, in the context of the app if there is one; what it raises passes through that."""
    if _app is None:
        return forks.call(function, *args)
    with _app.app_context():
        return coroutines.finished(forks.call(function, *args))


def inside(function: Callable[..., Any]) -> Callable[..., Any]:
    """What calls the function as ``call`` does; the function itself, if there is no app."""
    return function if _app is None else partial(call, function)


def piece(job: Job, item_timeout: float = 0.0) -> AbstractContextManager[object]:
    """What goes around a piece of this job; its hooks have so many seconds each, 0: as many as the job.

    Entering it raises what a hook raises before the piece. What one raises afterwards is logged, and changes
    nothing of how the piece has ended.
    """
    return _all(job, item_timeout) if _made[1] else _NOTHING


@contextmanager
def _all(job: Job, item_timeout: float) -> Iterator[None]:
    with ExitStack() as stack:
        for around in _made[1]:
            stack.enter_context(around(job, item_timeout))
        yield


def _make(user: UserCode) -> Iterator[Around]:
    if user.django:
        yield _django
    before, after = ([*map(Hook.load, given)] for given in (user.before_job, user.after_job))
    if before or after:
        yield partial(hooked, before, after, call)


@contextmanager
def _django(_job: Job, _item_timeout: float) -> Iterator[None]:
    """As Django does around each request."""
    from django.db import close_old_connections, reset_queries

    reset_queries()
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()
