"""``taskq.aio.Queue``: maps and jobs for tasks of an event loop."""

from __future__ import annotations

import copy
import weakref
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from taskq import queue as sync_queue
from taskq.aio.job import Job
from taskq.aio.lazy import Flow, Lazy
from taskq.aio.link import Link
from taskq.aio.map_job import MapJob
from taskq.aio.open_map import Opening, OpenMap, check_alone
from taskq.aio.outage import clear_errors
from taskq.errors import OptionError
from taskq.maps import job as sync_job
from taskq.maps.items import check_iterable
from taskq.maps.keywords import LazyCall, MapCall, OpenCall
from taskq.maps.lazy import remove

A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R")

_AHEAD = 1000  # items that ``imap`` reads ahead of what was taken


class Queue:
    """A ``taskq.Queue`` for asyncio, within ``async with``.

        async with taskq.aio.Queue() as queue:
            job = await queue.map(compute, items)
            print(await job)

    Leaving the block waits until all items are put that an ``async for`` still gives; if the block raises, or its
    task is cancelled, the maps of such items are cancelled. Nothing else ends with it.

    Args:
        name: As of ``taskq.Queue``.
        queue: Instead of all else, one that is there: the same name, connection and options.
        options: As of ``taskq.Queue``: ``url``, ``connection`` (of redis-py, not of redis.asyncio), ...

    Raises:
        OptionError: As ``taskq.Queue``. The server is not contacted.

    It belongs to one event loop. It has two threads, in which it asks and pushes; tasks that wait have none.
    """

    def __init__(self, name: str = "default", *, queue: sync_queue.Queue | None = None, **options: Any) -> None:
        if queue is not None and (options or name != "default"):
            raise OptionError("give either a queue, or name and options of one")
        if queue is not None and not isinstance(queue, sync_queue.Queue):
            raise OptionError(f"queue must be a taskq.Queue, not {queue!r}")
        self._own = queue is None and options.get("connection") is None
        self.sync = copy.copy(queue) if queue is not None else sync_queue.Queue(name, **options)
        """The same as a ``taskq.Queue``, with all that it has; what that asks of the server blocks the loop."""
        self.sync.keeps_leases = False  # the loop does
        self._entered: Link | None = None
        self._fed: set[MapJob[Any]] = set()  # whose items come from an async for, or failed to
        self._flows: weakref.WeakSet[Flow] = weakref.WeakSet()

    @property
    def name(self) -> str:
        """The queue's name."""
        return str(self.sync.name)

    @property
    def connection(self) -> Any:
        """redis-py's."""
        return self.sync.connection

    @property
    def _link(self) -> Link:
        if self._entered is None:
            raise OptionError("a taskq.aio.Queue is used within: async with taskq.aio.Queue() as queue")
        return self._entered

    async def __aenter__(self) -> Self:
        if self._entered is not None:
            raise OptionError("this taskq.aio.Queue is in use already: make another one")
        self._entered = Link(self.sync, close=self._own)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        link = self._link
        try:
            if kind is None:
                await self._all_fed()
        finally:
            for flow in list(self._flows):
                flow.abandon()
            await link.close()
            self._entered = None

    async def _all_fed(self) -> None:
        for job in list(self._fed):
            await job.feeding_ended()
            if (fault := job.fault()) is not None and not job.fault_told:
                raise fault

    # -- maps ----------------------------------------------------------------------------------------------

    @overload
    async def map(
        self, fn: Callable[[A], Coroutine[Any, Any, R]], items: Iterable[A] | AsyncIterable[A], /,
        **options: Unpack[MapCall],
    ) -> MapJob[R]: ...  # fmt: skip
    @overload
    async def map(
        self, fn: Callable[[A], R], items: Iterable[A] | AsyncIterable[A], /, **options: Unpack[MapCall]
    ) -> MapJob[R]: ...
    @overload
    async def map(
        self, fn: Callable[[A, B], Coroutine[Any, Any, R]], items: Iterable[A], more: Iterable[B], /,
        **options: Unpack[MapCall],
    ) -> MapJob[R]: ...  # fmt: skip
    @overload
    async def map(
        self, fn: Callable[[A, B], R], items: Iterable[A], more: Iterable[B], /, **options: Unpack[MapCall]
    ) -> MapJob[R]: ...
    @overload
    async def map(
        self, fn: Callable[..., Coroutine[Any, Any, R]], items: Iterable[Any], more: Iterable[Any],
        third: Iterable[Any], /, *others: Iterable[Any], **options: Unpack[MapCall],
    ) -> MapJob[R]: ...  # fmt: skip
    @overload
    async def map(
        self, fn: Callable[..., R], items: Iterable[Any], more: Iterable[Any], third: Iterable[Any], /,
        *others: Iterable[Any], **options: Unpack[MapCall],
    ) -> MapJob[R]: ...  # fmt: skip
    @overload
    async def map(
        self, fn: str, /, *iterables: Iterable[Any] | AsyncIterable[Any], **options: Unpack[MapCall]
    ) -> MapJob[Any]: ...
    @clear_errors
    async def map(self, fn: Any, /, *iterables: Any, **options: Any) -> MapJob[Any]:
        """Push ``fn(item)`` for every item, and return once all are on the server.

        Args:
            fn: As for ``taskq.Queue.map``.
            iterables: As there; they are read in a thread. Or one ``async for``: the map is open then (as of
                ``open_map``, with its options), this returns at once, and its items are put as they come, until
                it is sealed at their end.
            options: As there.

        Returns:
            The map's job, to be awaited or iterated over.

        Raises:
            As ``taskq.Queue.map``. If the task is cancelled before it returns, the map is cancelled.
        """
        if check_alone(iterables):
            job = await self._open(fn, options)
            feeding = job.feed_all(iterables[0])
            self._fed = {one for one in self._fed if not one.fault_told} | {job}
            feeding.add_done_callback(lambda _: None if job.fault() else self._fed.discard(job))
            return job
        pushed = await self._link.hands.push(partial(self.sync.map, fn, *iterables, **options), undo=remove)
        return MapJob(pushed, self._link)

    @overload
    def open_map(
        self, fn: Callable[[A], Coroutine[Any, Any, R]], *, star: Literal[False] = False,
        **options: Unpack[OpenCall],
    ) -> Opening[A, R]: ...  # fmt: skip
    @overload
    def open_map(
        self, fn: Callable[[A], R], *, star: Literal[False] = False, **options: Unpack[OpenCall]
    ) -> Opening[A, R]: ...
    @overload
    def open_map(
        self, fn: Callable[..., Coroutine[Any, Any, R]], *, star: Literal[True], **options: Unpack[OpenCall]
    ) -> Opening[Iterable[Any], R]: ...
    @overload
    def open_map(
        self, fn: Callable[..., R], *, star: Literal[True], **options: Unpack[OpenCall]
    ) -> Opening[Iterable[Any], R]: ...
    @overload
    def open_map(self, fn: str, *, star: bool = False, **options: Unpack[OpenCall]) -> Opening[Any, Any]: ...
    def open_map(self, fn: Any, **options: Any) -> Opening[Any, Any]:
        """Begin a map whose items come while it runs.

            async with queue.open_map(compute) as job:
                await job.put(item)
            await job

        Args:
            fn: As for ``map``.
            options: As of ``taskq.Queue.open_map``.

        Returns:
            What is to be awaited, or entered with ``async with``, and is an ``OpenMap`` then.

        It raises, then, what ``taskq.Queue.open_map`` raises.
        """
        return Opening(self._open(fn, options))

    @clear_errors
    async def _open(self, fn: Any, options: dict[str, Any]) -> OpenMap[Any, Any]:
        opened = await self._link.hands.push(partial(self.sync.open_map, fn, **options), undo=remove)
        return OpenMap(opened, self._link)

    @overload
    def imap(
        self, fn: Callable[[A], Coroutine[Any, Any, R]], iterable: Iterable[A] | AsyncIterable[A], *,
        star: Literal[False] = False, **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap(
        self, fn: Callable[[A], R], iterable: Iterable[A] | AsyncIterable[A], *, star: Literal[False] = False,
        **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap(
        self, fn: Callable[..., Coroutine[Any, Any, R]],
        iterable: Iterable[Iterable[Any]] | AsyncIterable[Iterable[Any]], *, star: Literal[True],
        **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap(
        self, fn: Callable[..., R], iterable: Iterable[Iterable[Any]] | AsyncIterable[Iterable[Any]], *,
        star: Literal[True], **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap(
        self, fn: str, iterable: Iterable[Any] | AsyncIterable[Any], *, star: bool = False,
        **options: Unpack[LazyCall],
    ) -> Lazy[Any]: ...  # fmt: skip
    def imap(self, fn: Any, iterable: Any, **options: Any) -> Lazy[Any]:
        """The results in the order of the items, for ``async for``, while the items are read; both may be endless.

            async for value in queue.imap(compute, endless()):
                ...

        An item that fails raises its error in its place, and the next ``anext`` goes on behind it. What the
        iterable itself raises comes after the results of what it gave.

        Args:
            fn: As for ``map``.
            iterable: The items, also of an ``async for``.
            options: As of ``taskq.Queue.imap``, with ``buffersize``: items that may have been read, and whose
                results are not taken yet; 1000 by default.

        Returns:
            The iterator, which is an asynchronous context manager, too.

        Raises:
            OptionError: If an option is unknown or unusable, or something is not iterable.
        """
        return self._lazy(fn, iterable, options, in_order=True)

    @overload
    def imap_unordered(
        self, fn: Callable[[A], Coroutine[Any, Any, R]], iterable: Iterable[A] | AsyncIterable[A], *,
        star: Literal[False] = False, **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap_unordered(
        self, fn: Callable[[A], R], iterable: Iterable[A] | AsyncIterable[A], *, star: Literal[False] = False,
        **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap_unordered(
        self, fn: Callable[..., Coroutine[Any, Any, R]],
        iterable: Iterable[Iterable[Any]] | AsyncIterable[Iterable[Any]], *, star: Literal[True],
        **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap_unordered(
        self, fn: Callable[..., R], iterable: Iterable[Iterable[Any]] | AsyncIterable[Iterable[Any]], *,
        star: Literal[True], **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap_unordered(
        self, fn: str, iterable: Iterable[Any] | AsyncIterable[Any], *, star: bool = False,
        **options: Unpack[LazyCall],
    ) -> Lazy[Any]: ...  # fmt: skip
    def imap_unordered(self, fn: Any, iterable: Any, **options: Any) -> Lazy[Any]:
        """As ``imap``, with the results as they complete."""
        return self._lazy(fn, iterable, options, in_order=False)

    def _lazy(self, fn: Any, iterable: Any, options: Any, *, in_order: bool) -> Lazy[Any]:
        if not isinstance(iterable, AsyncIterable):
            check_iterable(iterable, "the second argument of imap")
        buffersize, star = options.pop("buffersize", _AHEAD), options.pop("star", False)
        size = self.sync.check_lazy(fn, buffersize, options.pop("chunksize", None), options)
        opens = partial(self._open, fn, {"orphan": "cancel", "chunksize": size, "star": star, **options})
        flow = Flow(self._link, opens, iterable, buffersize, in_order=in_order)
        self._flows.add(flow)
        return Lazy(flow)

    # -- plain jobs ----------------------------------------------------------------------------------------

    @overload
    async def enqueue(self, f: Callable[..., Coroutine[Any, Any, R]], /, *args: Any, **kwargs: Any) -> Job[R]: ...
    @overload
    async def enqueue(self, f: Callable[..., R], /, *args: Any, **kwargs: Any) -> Job[R]: ...
    @overload
    async def enqueue(self, f: str, /, *args: Any, **kwargs: Any) -> Job[Any]: ...
    @clear_errors
    async def enqueue(self, f: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """RQ's ``enqueue``, with RQ's options; see ``taskq.Queue.enqueue``.

        Returns:
            The job; ``await job`` is what it returns.

        Raises:
            As ``taskq.Queue.enqueue``. If the task is cancelled before it returns, the job may be there.
        """
        return Job(await self._link.hands.ask(partial(self.sync.enqueue, f, *args, **kwargs)), self._link)

    @clear_errors
    async def fetch_job(self, job_id: str) -> MapJob[Any] | Job[Any] | None:
        """The job with this id: a ``MapJob`` if it is a map; None if this queue has no such job.

        Raises:
            As ``taskq.Queue.fetch_job``.
        """
        found = await self._link.hands.ask(self.sync.fetch_job, job_id)
        if found is None:
            return None
        return MapJob(found, self._link) if isinstance(found, sync_job.MapJob) else Job(found, self._link)

    def __repr__(self) -> str:
        return f"<taskq.aio.Queue {self.name}>"
