"""``taskq.Executor``: ``concurrent.futures.Executor`` on the workers of a queue."""

from __future__ import annotations

import concurrent.futures
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, InvalidStateError
from concurrent.futures._base import CANCELLED, PENDING
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar, Unpack

from taskq.errors import BrokenFrontError, OptionError
from taskq.fronts import baggage
from taskq.fronts.awaited import Load
from taskq.fronts.keywords import FrontKeywords
from taskq.fronts.place import Place, check_count
from taskq.fronts.session import Session
from taskq.fronts.terms import PATIENCE, Terms
from taskq.maps.open_map import OpenMap
from taskq.payload.outcome import ItemFailure
from taskq.queue import Queue

P = ParamSpec("P")
T = TypeVar("T")

_CANCELED = "ItemCanceledError"


class Future(concurrent.futures.Future[T]):
    """A call that was submitted: ``concurrent.futures.Future``, whose state the server knows.

    It is pending until a worker has claimed it, which is asked when somebody wants to know.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._load: Load | None = None

    def cancel(self) -> bool:
        """Cancel the call, if no worker has begun it; whether it is cancelled.

        Raises:
            ServerError: If the server can't be reached.
        """
        if self.done() or super().running():
            return self.cancelled()
        if self._load is None or not self._session.withdraw(self._load):
            return self.cancelled()
        return self.drop()

    def drop(self) -> bool:
        """It will not run."""
        canceled = super().cancel()
        if canceled:
            self._moves_on_from(CANCELLED)
        else:
            with suppress(InvalidStateError):  # it has ended; else a worker had it, and has given it back
                self.set_exception(CancelledError())
        return canceled

    def running(self) -> bool:
        """Whether a worker has it now; asks the server, unless it was seen to be so before.

        Raises:
            redis.exceptions.RedisError: If the server can't be reached.
        """
        if super().running():
            return True
        if self.done() or self._load is None or not self._session.begun(self._load):
            return False
        return self._moves_on_from(PENDING)

    def _moves_on_from(self, state: str) -> bool:
        """Have it run, or tell all that it was cancelled, if this is its state yet; whether it runs now.

        Asked of the state first: of another one ``set_running_or_notify_cancel`` complains in the log.
        """
        with self._condition:
            return self._state == state and self.set_running_or_notify_cancel()

    def ended(self, position: int, value: Any, error: BaseException | None) -> None:
        """As a ticket."""
        del position
        self._load = None
        with suppress(InvalidStateError):  # it was cancelled
            if isinstance(error, CancelledError):
                self.drop()
            elif error is not None:
                self.set_exception(error)
            else:
                self.set_result(value)


class Executor(concurrent.futures.Executor):
    """Runs calls on the workers of a queue, as ``concurrent.futures.ProcessPoolExecutor`` does on processes.

        with taskq.Executor(queue=q, name="scan") as executor:
            futures = [executor.submit(scan, path) for path in paths]

    All it runs is one map job. ``shutdown``, ``map`` and the rest are those of ``concurrent.futures``. A process
    that dies breaks nothing: its call is tried again in another one, and fails with ``WorkerLostError`` after
    three deaths.

    Args:
        max_workers: Processes of its own, where it starts any (see ``queue``); None: the cores. The processes of
            workers that are there are the workers' business.
        mp_context: Taken, and ignored: workers start processes in their own way.
        queue: Whose workers run the calls. None: those of ``url``, or of ``TASKQ_URL``; without any, a private
            server and processes of its own, for as long as the executor lives.
        url: Of a server, instead of a queue.
        name: Id of its map, which stays on the server when the executor has ended, as any other map; and if this
            program dies, all that was submitted is run. None: nothing is left of it, and what a program has
            submitted that dies is cancelled.
        initializer: Called once in each process before the first call there.
        initargs: Its arguments.
        max_tasks_per_child: Tasks after which a process of its own is replaced. None: never.
        patience: Seconds for which the server may be away; None: for ever. After that, futures raise
            ``BrokenFrontError``.
        payload_limit: Bytes that the arguments of a call, or one result, may have, where no queue is given that
            says so; None: 64 MiB.
        place: Instead of a queue; see ``taskq.testing``.
        options: Those of ``FrontKeywords``: ``item_timeout``, ``weight``, ``max_failures``, ``meta``, ...

    Raises:
        OptionError: If an option is unknown or unusable.
        DuplicateJobError: If a map of this name is waiting or running.
        PickleError: If the initializer can't be sent.
        ServerError: If the server can't be reached, or processes of its own do not start.

    A call may run more than once, if its process dies; its result is stored once.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: object = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        queue: Queue | None = None,
        url: str | None = None,
        name: str | None = None,
        patience: float | None = PATIENCE,
        payload_limit: int | None = None,
        place: Place | None = None,
        **options: Unpack[FrontKeywords],
    ) -> None:
        if max_workers is not None:
            check_count("max_workers", max_workers)
        if max_tasks_per_child is not None:
            check_count("max_tasks_per_child", max_tasks_per_child)
        del mp_context
        terms = Terms("Executor", name, patience, initializer, initargs, dict(options))
        terms.check()
        place = place or Place(queue, url, max_workers, max_tasks_per_child, payload_limit=payload_limit)
        try:
            self._session = Session(place, terms, _error_of)
        except BaseException:
            place.close()
            raise
        self._closed = False
        self._finalizer = weakref.finalize(self, Session.close, self._session)
        self._finalizer.atexit = False

    @property
    def job(self) -> OpenMap[Any, Any]:
        """Its map: an ``OpenMap``, with ``id``, ``progress``, ``pause`` and all that maps have."""
        return self._session.job

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have ``fn(*args, **kwargs)`` run.

        What is large in the function or the arguments travels with each call: ``taskq.share`` has it travel once.

        Returns:
            Its future. What can't be sent is the future's exception: it names the argument, and where in it.

        Raises:
            RuntimeError: After ``shutdown``, or in a fork.
            BrokenFrontError: If the executor can do no more.
            OptionError: If ``fn`` is no callable.
        """
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self._session.check()
        future: Future[T] = Future(self._session)
        target: Any = fn
        if not callable(target) and not isinstance(target, str):
            raise OptionError(f"a function is needed, not {target!r}")
        try:
            queue = self._session.place.queue
            sent = baggage.arguments(fn, args, kwargs, queue.payload_limit, own_workers=queue.own_workers)
            load = Load([(baggage.packed(fn), sent)], future)
        except Exception as error:  # noqa: BLE001 - what is submitted may raise anything when it is pickled
            future.set_exception(error)
            return future
        future._load = load  # noqa: SLF001 - its other half
        self._session.submit(load)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and wait for those there are.

        Args:
            wait: False: return at once; they run all the same, and the program waits for them at its end.
            cancel_futures: Cancel all that no worker has begun.

        Raises:
            BrokenFrontError: If it has waited for a map with a name, and can't know what became of it.
        """
        self._closed = True
        if cancel_futures and not self._session.ended.is_set():
            self._session.drop(_drop)
        self._session.close()
        if wait:
            self._session.wait()
            if self._session.broken and self._session.terms.name:
                raise BrokenFrontError(str(self._session.broken)) from self._session.broken


def _drop(ticket: Any, _position: int) -> None:
    ticket.drop()


def _error_of(failure: ItemFailure, of: str) -> BaseException:
    if failure.type == _CANCELED:
        return CancelledError()
    return failure.to_raise(of)
