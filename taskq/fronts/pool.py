"""``taskq.Pool``: ``multiprocessing.Pool`` on the workers of a queue, or on processes of its own."""

from __future__ import annotations

import multiprocessing.pool
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from taskq.errors import BrokenFrontError, ItemError, MapCanceledError, OptionError, PickleError, RemoteTraceback
from taskq.fronts import baggage
from taskq.fronts.asked import AsyncResult, Callback, Callbacks, OneResult
from taskq.fronts.attached import Attached
from taskq.fronts.awaited import Load
from taskq.fronts.imap import Flow, Results
from taskq.fronts.keywords import FrontKeywords
from taskq.fronts.place import Place, check_count
from taskq.fronts.session import Session
from taskq.fronts.terms import PATIENCE, Terms
from taskq.maps.open_map import OpenMap
from taskq.payload.outcome import ItemFailure
from taskq.queue import Queue

T = TypeVar("T")

_RUN, _CLOSE, _TERMINATE = multiprocessing.pool.RUN, multiprocessing.pool.CLOSE, multiprocessing.pool.TERMINATE
_ERRORS: Any = multiprocessing.pool  # whose errors typeshed does not know
_UNREADABLE = ("PickleError", "TooLargeError")

AHEAD = 1000
"""Items that ``imap`` reads ahead of what was taken."""


class Pool:
    """Runs calls as ``multiprocessing.Pool`` does, in processes that may be anywhere and may die.

        with taskq.Pool(8) as pool:
            pool.map(compute, items)

    All its methods are those of ``multiprocessing.pool.Pool``. All it runs is one map job. A process that dies
    breaks nothing: its call is tried again in another, and fails with ``WorkerLostError`` after three deaths.

    Args:
        processes: Of its own, where it starts any (see ``queue``); None: the cores. The processes of workers that
            are there are the workers' business.
        initializer: Called once in each process before the first call there.
        initargs: Its arguments.
        maxtasksperchild: Tasks after which a process of its own is replaced. None: never.
        queue: Whose workers run the calls. None: those of ``url``, or of ``TASKQ_URL``; without any, a private
            server and processes of its own, for as long as the pool lives.
        url: Of a server, instead of a queue.
        name: Id of its map. It stays on the server when the pool has ended, and if this program dies, all that was
            submitted is run. Leaving a ``with`` block waits for it. None: nothing is left of it, and leaving a
            ``with`` block terminates the pool, as that of ``multiprocessing``; so does the death of the program.
        patience: Seconds for which the server may be away; None: for ever.
        payload_limit: Bytes that the arguments of a call, or one result, may have, where no queue is given that
            says so; None: 64 MiB.
        place: Instead of a queue; see ``taskq.testing``.
        options: Those of ``FrontKeywords``: ``item_timeout``, ``weight``, ``max_failures``, ``meta``, ...

    Raises:
        OptionError: If an option is unknown or unusable; also a ValueError.
        DuplicateJobError: If a map of this name is waiting or running: see ``attach``.
        PickleError: If the initializer can't be sent.
        ServerError: If the server can't be reached, or processes of its own do not start.

    A call may run more than once, if its process dies; its result is stored once.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        *,
        queue: Queue | None = None,
        url: str | None = None,
        name: str | None = None,
        patience: float | None = PATIENCE,
        payload_limit: int | None = None,
        place: Place | None = None,
        **options: Unpack[FrontKeywords],
    ) -> None:
        self._state = _CLOSE  # until it is made: for ``__del__``
        terms = Terms("Pool", name, patience, initializer, tuple(initargs), dict(options), at_exit=bool(name))
        if processes is not None:
            check_count("the number of processes", processes)
        terms.check()
        place = place or Place(queue, url, processes, maxtasksperchild, payload_limit=payload_limit)
        try:
            self._session = Session(place, terms, _error_of)
        except BaseException:
            place.close()
            raise
        self._processes = processes
        self._callbacks = Callbacks("taskq Pool callbacks")
        self._flows: weakref.WeakSet[Flow] = weakref.WeakSet()  # of ``imap``
        self._state = _RUN
        for end in (self._session.close, self._callbacks.close):
            weakref.finalize(self, end).atexit = False

    @staticmethod
    def attach(name: str, *, queue: Queue) -> Attached:
        """What another program's pool of this name has run, and still runs: its results, in any process.

        Raises:
            OptionError: If there is no such map.
        """
        return Attached.of(name, queue)

    @property
    def job(self) -> OpenMap[Any, Any]:
        """Its map: an ``OpenMap``, with ``id``, ``progress``, ``pause`` and all that maps have."""
        return self._session.job

    # -- calls ---------------------------------------------------------------------------------------------

    def apply(self, func: Callable[..., T], args: Iterable[Any] = (), kwds: Mapping[str, Any] | None = None) -> T:
        """``func(*args, **kwds)``; raises as ``AsyncResult.get``."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self, func: Callable[..., T], args: Iterable[Any] = (), kwds: Mapping[str, Any] | None = None,
        callback: Callback = None, error_callback: Callback = None,
    ) -> AsyncResult[T]:  # fmt: skip
        """As ``apply``, at once; one of the callbacks is called with the result, or the error.

        What is large in the function or the arguments travels with each call: ``taskq.share`` has it travel once.

        Raises:
            ValueError: If the pool is closed.
            BrokenFrontError: If it can do no more.
        """
        self._check_running()
        result: OneResult[T] = OneResult(1, self._callbacks, callback, error_callback)
        try:
            self._submit(func, [(tuple(args), dict(kwds or {}))], result, 0, 1)
        except (BrokenFrontError, RuntimeError, OptionError):
            raise
        except Exception as error:  # noqa: BLE001 - as multiprocessing does
            result.fail(error)
        return result

    def map(self, func: Callable[[Any], T], iterable: Iterable[Any], chunksize: int | None = None) -> list[T]:
        """``[func(item) for item in iterable]``; raises as ``AsyncResult.get``."""
        return self.map_async(func, iterable, chunksize).get()

    def map_async(
        self, func: Callable[[Any], T], iterable: Iterable[Any], chunksize: int | None = None,
        callback: Callback = None, error_callback: Callback = None,
    ) -> AsyncResult[list[T]]:  # fmt: skip
        """As ``map``, at once; ``chunksize``: items that run together; None: taskq picks it."""
        return self._map(
            func, [((item,), {}) for item in self._all(iterable)], chunksize, callback, error_callback
        )

    def starmap(
        self, func: Callable[..., T], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[T]:
        """As ``map``, with ``func(*item)``."""
        return self.starmap_async(func, iterable, chunksize).get()

    def starmap_async(
        self, func: Callable[..., T], iterable: Iterable[Iterable[Any]], chunksize: int | None = None,
        callback: Callback = None, error_callback: Callback = None,
    ) -> AsyncResult[list[T]]:  # fmt: skip
        """As ``starmap``, at once."""
        calls: list[Any] = [(tuple(item), {}) for item in self._all(iterable)]
        return self._map(func, calls, chunksize, callback, error_callback)

    def imap(
        self, func: Callable[[Any], T], iterable: Iterable[Any], chunksize: int = 1, *, buffersize: int = AHEAD
    ) -> Results[T]:
        """An iterator over the results in the order of the items, which a thread reads meanwhile.

        Args:
            func: Called with each item.
            iterable: May be endless.
            chunksize: Items that run together, from 1 on. If the iterable raises, an unfinished chunk is dropped.
            buffersize: Items that are read ahead of what was taken, from 1 on (a chunk at least).

        An item that fails raises in its place, and the next ``next`` goes on behind it.
        """
        return self._imap(func, iterable, chunksize, buffersize, in_order=True)

    def imap_unordered(
        self, func: Callable[[Any], T], iterable: Iterable[Any], chunksize: int = 1, *, buffersize: int = AHEAD
    ) -> Results[T]:
        """As ``imap``, with the results as they come."""
        return self._imap(func, iterable, chunksize, buffersize, in_order=False)

    def _all(self, iterable: Iterable[Any]) -> Iterable[Any]:
        self._check_running()
        return iterable if hasattr(iterable, "__len__") else list(iterable)

    def _map(
        self, func: Any, calls: list[Any], chunksize: int | None, callback: Callback, error_callback: Callback
    ) -> AsyncResult[Any]:
        _check_size(chunksize)
        result: AsyncResult[Any] = AsyncResult(len(calls), self._callbacks, callback, error_callback)
        if calls:
            try:
                self._submit(func, calls, result, 0, chunksize)
            except (BrokenFrontError, RuntimeError, OptionError):
                raise
            except Exception as error:  # noqa: BLE001 - as multiprocessing does
                result.fail(error)
        return result

    def _imap(
        self, func: Any, iterable: Iterable[Any], chunksize: int, buffersize: int, *, in_order: bool
    ) -> Results[Any]:
        self._check_running()
        _check_size(chunksize)
        _check_size(buffersize, "buffersize")
        submit = self._submit

        def send(items: list[Any], first: int, flow: Flow) -> None:
            submit(func, [((item,), {}) for item in items], flow, first, chunksize)

        flow = Flow(send, iterable, chunksize, buffersize, in_order=in_order)
        self._flows.add(flow)
        self._session.outbox.hold()  # the pool may be closed while the items are read
        return Results(flow.begin(self._session.outbox.release))

    def _submit(self, func: Any, calls: list[Any], ticket: Any, first: int, chunksize: int | None) -> None:
        self._session.check()
        record, queue = baggage.packed(func), self._session.place.queue
        limit, own = queue.payload_limit, queue.own_workers
        items = [(record, baggage.arguments(func, args, kwargs, limit, own_workers=own)) for args, kwargs in calls]
        self._session.submit(Load(items, ticket, first, chunksize))

    # -- states --------------------------------------------------------------------------------------------

    def _check_running(self) -> None:
        if self._state != _RUN:
            raise ValueError("Pool not running")

    def close(self) -> None:
        """Take no more calls; those there are go on, and so does the reading of what ``imap`` was given."""
        if self._state == _RUN:
            self._state = _CLOSE
            self._session.close()

    def terminate(self) -> None:
        """End at once: what runs is killed, and who waits for results gets a ``MapCanceledError``."""
        self._state = _TERMINATE
        if not self._session.ended.is_set():
            self._session.terminate(MapCanceledError(f"the pool {self.job.id} was terminated"))

    def join(self) -> None:
        """Wait until all calls have ended, and all callbacks; not in a callback.

        What ``imap`` was given is read to its end for that: drop the iterator over something endless before.

        Raises:
            ValueError: If the pool is not closed.
            BrokenFrontError: If it has a name, and it can't be known what has become of it.
        """
        if self._state == _RUN:
            raise ValueError("Pool is still running")
        for flow in list(self._flows):  # and so until all they have was read, whoever takes the results later
            flow.hurry()
        self._session.wait()
        self._callbacks.close(wait=True)
        if self._session.broken and self._session.terms.name and self._state == _CLOSE:
            raise BrokenFrontError(str(self._session.broken)) from self._session.broken

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._session.terms.name and kind is None:
            self.close()
            self.join()
        else:
            self.terminate()

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} state={self._state} map={self.job.id}>"

    def __del__(self) -> None:
        if self._state == _RUN:
            warnings.warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, 2, source=self)


def _check_size(size: Any, what: str = "Chunksize") -> None:
    if size is not None and (isinstance(size, bool) or not hasattr(size, "__index__") or size < 1):
        raise OptionError(f"{what} must be 1+, not {size!r}")


def _error_of(failure: ItemFailure, of: str) -> BaseException:
    if failure.type in _UNREADABLE:
        unsent: BaseException = _ERRORS.MaybeEncodingError(PickleError(failure.message), failure.message)
        return unsent
    error = failure.to_raise(of)
    if type(error) is ItemError and not failure.pickled:  # the stand-in of one that does not survive pickling
        why = PickleError("the exception can't be pickled, or not be made again of its pickle, or is too large")
        encoding: BaseException = _ERRORS.MaybeEncodingError(why, f"{failure.type}: {failure.message}")
        encoding.__cause__, error = error.__cause__, encoding
    if isinstance(error.__cause__, RemoteTraceback):  # as the kind of cause that multiprocessing gives it
        cause = _ERRORS.RemoteTraceback(str(error.__cause__))
        object.__setattr__(error, "__cause__", cause)
    return error
