"""A lane: a ``multiprocessing.Pool`` of one process, about whose death everything is known.

One ``Pool(N)`` is faster at tiny tasks, but its processes share a lock and a pipe: after a death nobody knows
who held what, and the whole pool has to go. Of a ``Pool(1)`` it is known which task ran (a number in shared
memory) and which ones wait behind it, and a lock that is held is held by the dead. A lane whose process has
died is discarded, never repaired: without taking any lock, in a few milliseconds.

Pool replaces a dead process by itself, through its ``Process`` hook. ``_Pool`` turns just that hook into the
notice of death, and fills the place with nothing.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import os
import signal
import sys
import time
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

import psutil

from workers import guard, ledger, marker, pool_process, signals
from workers.ledger import Ledger
from workers.marker import Marker
from workers.preload import VARIABLE
from workers.settings import Settings
from workers.tasks import NOT_RUN, BatchTask, ChunkTask, JobOutcome, Task

_JOIN = 5.0  # seconds; bound of every wait for something that has been killed

_RECALL = 0.02  # seconds after which a batch is asked to end with the job that runs
_SETTLED = 0.005  # seconds after which what was asked, and what was said before, has been seen by the other side

OnDone = Callable[["Lane", list[tuple[int, Any]]], None]
OnDeath = Callable[["Lane"], None]


def context(preload: tuple[str, ...] = ()) -> Any:
    """How pool processes are started: by a forkserver of the service's own, which has imported ``preload``.

    It imports what they need once, forks from one clean thread, inherits neither locks nor signal handlers
    of the service, and its end is their end.
    """
    _start_resource_tracker()
    forkserver = multiprocessing.get_context("forkserver")
    os.environ[VARIABLE] = " ".join(preload)
    forkserver.set_forkserver_preload(["workers.guard", "workers.pool_process", "workers.preload"])
    return forkserver


def _start_resource_tracker() -> None:
    """Start multiprocessing's janitor, which frees the locks of a killed service, without its warning of them."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning:multiprocessing.resource_tracker"
    try:
        resource_tracker.ensure_running()
    finally:
        os.environ.pop("PYTHONWARNINGS")
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


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


class _Pool(multiprocessing.pool.Pool):
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
    _terminate: Any
    _worker_handler: Any

    def __init__(self, ctx: Any, on_death: Callable[[], None], initargs: tuple[Any, ...]) -> None:
        self.process: Any = None
        self._report_death = on_death
        super().__init__(1, pool_process.start, initargs, context=ctx)
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
            kwargs["target"] = pool_process.work
            self.process = ctx.Process(*args, **kwargs)
            return self.process
        self._report_death()
        return _Vacancy()

    def name_threads(self, name: str) -> None:
        """Name Pool's three threads, for logs and debuggers."""
        self._worker_handler.name = f"{name}: process"
        self._task_handler.name = f"{name}: tasks"
        self._result_handler.name = f"{name}: results"

    def discard(self) -> None:
        """Kill the process and end the three threads, whatever state they and their locks are in.

        Results that the process had wholly written before are still delivered to their callbacks.
        """
        signals.kill_group(self.process.pid)
        self.process.join(_JOIN)
        # The child may have died while it wrote. Nobody here writes to the out-queue while the pool runs.
        self._outqueue._wlock.acquire(False)
        self._outqueue._wlock.release()
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


class Lane:
    """One pool process and the tasks it has been given.

    Args:
        index: Its number in the service, from 0.
        ctx: From ``context()``.
        settings: The worker's: what its process must know of them.
        on_done: Called (in a thread of the Pool) with the lane, and of each task that has ended its number and
            outcome.
        on_death: Called (in a thread of the Pool) when the process is found dead.
    """

    def __init__(
        self, index: int, ctx: Any, settings: Settings, title: str, on_done: OnDone, on_death: OnDeath
    ) -> None:
        self.index = index
        self.tasks: OrderedDict[int, Any] = OrderedDict()  # number -> what the dispatcher knows of it
        self.killed_for = ""  # why the service killed it; "" if it did not
        self.unheard = 0  # the task for which it was killed, as its outcome could not be sent
        self.given = 0  # tasks, so far
        self.discarded = False
        self.closed = False  # it is to be replaced, and gets no more tasks
        self._known_maps: OrderedDict[str, None] = OrderedDict()
        self._on_done = on_done
        numbers, memory = marker.allot(ctx), ledger.allot(ctx)
        self.marker, self._ledger = Marker(numbers), Ledger(memory)
        self._batch = 0  # the number of the one that runs; 0: none
        self._recall_at = 0.0  # on the monotonic clock: when to look after it
        self._recalled = False  # it was asked to end
        user = settings.rq.user
        initargs = (settings.url, settings.trust, settings.logs, title, numbers, memory, list(sys.path), user)
        with _bare_main():
            guard.ensure_forkserver()
            self._pool = _Pool(ctx, lambda: on_death(self), initargs)
        self._pool.name_threads(f"lane {index}")
        self.pid: int = self._pool.process.pid

    @property
    def idle(self) -> bool:
        return not self.tasks

    @property
    def resident(self) -> float:
        """MiB that its process holds in memory; 0.0 if it is dead."""
        try:
            return float(psutil.Process(self.pid).memory_info().rss) / 2**20
        except psutil.Error:
            return 0.0

    def say_when_ready(self) -> None:
        """Have a task of no meaning, numbered 0, reported as done when the process has come up."""
        self._pool.apply_async(pool_process.hello, callback=lambda _none: self._on_done(self, [(0, None)]))

    def knows(self, key: str) -> bool:
        """Whether its process has been introduced to this map; counts along with ``pool_process``."""
        return key in self._known_maps

    def submit(self, number: int, task: Task, note: Any) -> None:
        """Give it a task; ``note`` is kept in ``tasks`` until the task is done."""
        if isinstance(task, ChunkTask) and task.introduction is not None:
            self._known_maps[task.key] = None
            if len(self._known_maps) > pool_process.KNOWN_MAPS:
                self._known_maps.popitem(last=False)
        self.tasks[number] = note
        self.given += 1
        self._pool.apply_async(
            pool_process.run,
            (number, task),
            callback=lambda outcome: self._on_done(self, [(number, outcome)]),
            # Only if Pool can't bring the outcome here: nobody would ever hear of the task again.
            error_callback=lambda error: self._unheard(error, number),
        )

    def submit_batch(self, batch: BatchTask, notes: Sequence[Any]) -> None:
        """Give it several jobs at once, as it has nothing to do; ``notes``: of each, as for ``submit``."""
        numbers = [number for number, _task in batch.jobs]
        self.tasks.update(zip(numbers, notes, strict=True))
        self.given += len(numbers)
        self._batch, self._recall_at, self._recalled = batch.number, time.monotonic() + _RECALL, False
        self._pool.apply_async(
            pool_process.run_batch,
            (batch,),
            callback=lambda unkept: self._batch_ended(numbers, unkept),
            error_callback=self._unheard,
        )

    def _batch_ended(self, numbers: list[int], unkept: list[tuple[int, JobOutcome]]) -> None:
        ends = dict.fromkeys(numbers, NOT_RUN) | dict(self._ledger.read()) | dict(unkept)
        self._on_done(self, [*reversed(ends.items())])  # so that each not run can go to the front of a queue

    def _unheard(self, error: BaseException, number: int = 0) -> None:
        self.unheard = number
        self.kill(f"its outcome could not be sent: {error!r:.200}")

    def is_first_of_batch(self, number: int) -> bool:
        """Whether this is the first job of the batch that the process has."""
        return number == self._batch

    @property
    def recall_due(self) -> float | None:
        """When to call ``recall``, on the monotonic clock; None: nothing waits behind a job."""
        return self._recall_at if self._batch and len(self.tasks) > 1 else None

    def recall(self) -> list[tuple[int, JobOutcome]]:
        """Part with all but the job that runs, for that one is not as short as was thought.

        Returns:
            As for ``on_done``, the ends of those before it, and of those behind it that they will not be run here;
            the last one first. Empty at first, when the process has only been asked to begin nothing more; call
            again when it is due.
        """
        if not self._recalled:
            self.marker.stop(self._batch)
            self._recalled, self._recall_at = True, time.monotonic() + _SETTLED
            return []
        if time.monotonic() < self._recall_at:
            return []
        running = max(self.marker.task, self._batch)  # the first one stays until the process answers
        ends = {number: NOT_RUN for number in self.tasks if number > running}
        before = {number: end for number, end in self._ledger.read() if number < running and number in self.tasks}
        return [*reversed((before | ends).items())]

    def done(self, number: int) -> Any:
        """Forget a task; returns its note, None if there is none."""
        note = self.tasks.pop(number, None)
        if not self.tasks:
            self._batch = 0
        return note

    @property
    def running(self) -> Any:
        """The note of the task that runs; None if none of its tasks does."""
        return self.tasks.get(self.marker.task)

    def kill(self, reason: str) -> None:
        """Kill the process; its death is then reported as any other."""
        self.killed_for = reason
        signals.kill_group(self.pid)

    def discard(self) -> None:
        """Free everything; afterwards ``tasks`` holds what will never be done here."""
        if not self.discarded:
            self.discarded = True  # its death may be reported all the same, if it was alive until now
            self._pool.discard()
            if self._batch:  # what it had run of it is not lost with the process
                self._on_done(self, [(number, end) for number, end in self._ledger.read() if number in self.tasks])

    def cause_of_death(self) -> str:
        """E.g. "SIGKILL" or "exit code 3", once it is dead."""
        code = self._pool.process.exitcode
        if code is None:
            return "an unknown cause"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    @property
    def exitcode(self) -> int | None:
        code: int | None = self._pool.process.exitcode
        return code
