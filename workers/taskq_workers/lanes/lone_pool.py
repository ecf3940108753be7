"""A ``multiprocessing.Pool`` of one process, which reports its death, and how its process is started.

Pool replaces a dead process by itself, through its ``Process`` hook. ``LonePool`` turns just that hook into the
notice of death, and fills the place with nothing.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import os
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any

from taskq.redis import keeper
from taskq_workers import build, user_path
from taskq_workers.lanes import guard
from taskq_workers.link.lending import NOTICE
from taskq_workers.process import process
from taskq_workers.process.preload import PATH, VARIABLE

AT_ONCE = 4000
"""Bytes of a task that is small; a pipe's buffer may be as small as two pages."""

_PRELOAD = ["taskq_workers.lanes.guard", "taskq_workers.process.process", "taskq_workers.process.forkserver"]
_JOIN = 5.0  # seconds; bound of every wait for something that has been killed


def context(preload: tuple[str, ...] = (), path: tuple[str, ...] = (), own_build: str = "") -> Any:
    """How pool processes are started: by a forkserver of the service's own, which has imported ``preload``.

    The user's modules are looked for in ``path`` first. Processes of another build than ``own_build``, if it is
    given, end at once with ``build.OTHER``.

    It imports what they need once, forks from one clean thread, inherits neither locks nor signal handlers
    of the service, and its end is their end.
    """
    _start_resource_tracker()
    forkserver = multiprocessing.get_context("forkserver")
    os.environ[VARIABLE], os.environ[PATH] = " ".join(preload), os.pathsep.join(path)
    os.environ[build.VARIABLE] = own_build
    forkserver.set_forkserver_preload(_PRELOAD)
    return forkserver


def _start_resource_tracker() -> None:
    """Start multiprocessing's janitor, which frees the locks of a killed service, without its warning of them."""
    with user_path.safe(PYTHONWARNINGS="ignore::UserWarning:multiprocessing.resource_tracker"):
        resource_tracker.ensure_running()


@contextmanager
def _bare_main() -> Iterator[None]:
    """Keep multiprocessing from running this program's main module again in each pool process.

    It would only cost time there, and let a pickle's reference to ``__main__`` find the wrong program.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Vacancy:
    """Stands where Pool would put a replacement; without a sentinel, Pool never asks after it again."""

    name = "Process-vacant"
    daemon = True
    exitcode = None
    pid = None

    def start(self) -> None: ...
    def terminate(self) -> None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def is_alive(self) -> bool:
        return False


class _Mute:
    """Stands where Pool would say that it has nothing more to do, which matters to one that is to be closed."""

    def put(self, _nothing: None) -> None: ...


class _Answer(multiprocessing.pool.ApplyResult):  # type: ignore[type-arg]
    """One on which nobody waits: no more than what Pool wants of it."""

    def __init__(self, pool: Any, callback: Callable[[Any], None], error_callback: Callable[[Any], None]) -> None:
        self._job = next(multiprocessing.pool.job_counter)  # type: ignore[attr-defined]
        self._cache = pool._cache
        self._callbacks = error_callback, callback
        self._cache[self._job] = self

    def _set(self, _number: int, outcome: tuple[bool, Any]) -> None:
        succeeded, value = outcome
        del self._cache[self._job]
        self._callbacks[succeeded](value)


class _Notice:
    """Stands where Pool looks for who waits for an answer, for what the process says without being asked."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def _set(self, _number: int, _outcome: object) -> None:
        self._act()


class LonePool(multiprocessing.pool.Pool):
    """A Pool of one process, which reports its death instead of replacing it."""

    # Pool's own, which typeshed keeps to itself.
    _cache: Any
    _change_notifier: Any
    _inqueue: Any
    _outqueue: Any
    _quick_get: Any
    _quick_put: Any
    _result_handler: Any
    _task_handler: Any
    _taskqueue: Any
    _terminate: Any
    _worker_handler: Any

    def __init__(
        self, ctx: Any, on_death: Callable[[], None], on_notice: Callable[[], None], initargs: tuple[Any, ...]
    ) -> None:
        self.process: Any = None
        self._report_death = on_death
        super().__init__(1, process.start, initargs, context=ctx)
        self._cache[NOTICE] = _Notice(on_notice)
        self._cache.notifier = _Mute()  # it would wake the same thread at the end of each task

    def _get_sentinels(self) -> list[Any]:
        """What wakes the thread that looks after the process, besides its death: only our own word.

        In Pool's own list are the results, too, as they arrive; as long as one is not read, that thread runs in
        circles, and keeps the interpreter from the thread which would read it, for milliseconds.
        """
        return [self._change_notifier._reader]

    def Process(self, ctx: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override] # noqa: N802
        """Pool's hook: called once at the start, then whenever the process was found dead."""
        if self.process is None:
            kwargs["target"] = process.work
            self.process = ctx.Process(*args, **kwargs)
            return self.process
        self._report_death()
        return _Vacancy()

    @property
    def has_ended(self) -> bool:
        """Whether its process has; to ask for its exit code is for the thread of the Pool that finds this out."""
        return bool(wait([self.process.sentinel], 0))

    def name_threads(self, name: str) -> None:
        """Name Pool's three threads, for logs and debuggers."""
        self._worker_handler.name = f"{name}: process"
        self._task_handler.name = f"{name}: tasks"
        self._result_handler.name = f"{name}: results"

    def apply_at_once(self, func: Any, args: Any, callback: Any, error_callback: Any) -> None:
        """As ``apply_async``, without the way through the thread that hands tasks on, if the task is small.

        Only while the process has read all that it was given, so that nobody else writes to its pipe, which is
        empty. What any pipe has room for is written without waiting, also if the process has just died.
        """
        task: Any = (_Answer(self, callback, error_callback)._job, 0, func, args, {})
        data = pickle.dumps(task)  # Pool's own pickler has more to do; a small task holds nothing but plain data
        if len(data) <= AT_ONCE:
            self._inqueue._writer.send_bytes(data)
        else:
            self._taskqueue.put(([task], None))

    @property
    def unanswered(self) -> int:
        """How many of the tasks it was given it has not answered."""
        return len(self._cache) - 1  # without the notice

    def discard(self) -> None:
        """Kill the process and end the three threads, whatever state they are in.

        Results that the process had wholly written before are still delivered to their callbacks.
        """
        keeper.kill_group(self.process.pid)
        self.process.join(_JOIN)
        self._state = multiprocessing.pool.TERMINATE
        self._terminate.cancel()
        self._terminate = None
        handlers = (self._worker_handler, self._task_handler, self._result_handler)
        self._worker_handler._state = self._task_handler._state = multiprocessing.pool.TERMINATE
        self._change_notifier.put(None)
        # Our copies of the dead process's ends: without them a blocked writer gets EPIPE, a reader EOF.
        self._inqueue._reader.close()
        self._outqueue._writer.close()
        for handler in handlers:
            handler.join(_JOIN)
        # Free locks and pipes now: left to the garbage collector, they may go in the middle of anything.
        self._inqueue = self._outqueue = self._change_notifier = self._quick_get = self._quick_put = None
        self._worker_handler = self._task_handler = self._result_handler = self._cache.notifier = None
        # And let go of the lane, which need not wait for that collector either, nor what lies in its memory.
        self._cache.clear()
        self._report_death = _nothing


def start(
    ctx: Any, on_death: Callable[[], None], on_notice: Callable[[], None], initargs: tuple[Any, ...]
) -> LonePool:
    """Start a process, and the forkserver before it, if it does not run.

    Args:
        ctx: From ``context()``.
        on_death: Called (in a thread of the Pool) when the process is found dead.
        on_notice: Called (in a thread of the Pool) when it has begun, or ended, to wait for other work.
        initargs: For ``process.start``.

    Raises:
        OSError, EOFError: If the process can't be started.
    """
    with _bare_main():
        guard.ensure_forkserver()
        return LonePool(ctx, on_death, on_notice, initargs)


def _nothing() -> None:
    """Whoever would be told of a death knows of it."""
