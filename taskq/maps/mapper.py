"""The part of a queue that pushes maps: ``map``, ``starmap``, ``open_map``, ``imap``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal, TypeVar, Unpack, overload

import rq

from taskq.errors import OptionError
from taskq.maps.chunk import check_chunksize
from taskq.maps.items import Items, check_iterable
from taskq.maps.job import MapJob
from taskq.maps.keywords import LazyCall, LazyKeywords, MapCall, MapKeywords, OpenCall, OpenKeywords
from taskq.maps.lazy import Flow, Lazy
from taskq.maps.open_map import OpenMap
from taskq.maps.opening import open_map
from taskq.maps.options import MapOptions
from taskq.maps.producer import push_map
from taskq.maps.shared import SHARE_TTL, Shared, share
from taskq.maps.terms import Orphan, Terms
from taskq.payload.function import Function
from taskq.payload.ranges import COUNTABLE
from taskq.redis import replicas
from taskq.redis.patience import clear_errors

A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R")
T = TypeVar("T")

_LAZY = frozenset(LazyKeywords.__annotations__)
_CLOSED = frozenset(MapKeywords.__annotations__) - frozenset(OpenKeywords.__annotations__) - {"job_id"}
"""Options of maps whose items are all there when they are pushed."""


class Mapper(rq.Queue):
    """RQ's queue, to which maps can be pushed.

    Args:
        payload_limit: Bytes a chunk of items, or one result, may have.
    """

    payload_limit: int

    own_workers = False
    replicas = replicas.NONE
    """Whether all its workers were started by this program, for itself: see ``taskq.local``."""

    keeps_leases = True
    """Whether each open map has a thread that renews its lease; else who has made the queue sees to that."""

    # What an ``async def`` returns is not its result, so it comes first; a path says nothing of types. With more
    # than two iterables nothing is checked, and only then: what fits no other signature must not fit that one.
    @overload
    def map(
        self, fn: Callable[[A], Coroutine[Any, Any, R]], items: Iterable[A], /, **options: Unpack[MapCall]
    ) -> MapJob[R]: ...
    @overload
    def map(self, fn: Callable[[A], R], items: Iterable[A], /, **options: Unpack[MapCall]) -> MapJob[R]: ...
    @overload
    def map(
        self, fn: Callable[[A, B], Coroutine[Any, Any, R]], items: Iterable[A], more: Iterable[B], /,
        **options: Unpack[MapCall],
    ) -> MapJob[R]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[A, B], R], items: Iterable[A], more: Iterable[B], /, **options: Unpack[MapCall]
    ) -> MapJob[R]: ...
    @overload
    def map(
        self, fn: Callable[..., Coroutine[Any, Any, R]], items: Iterable[Any], more: Iterable[Any],
        third: Iterable[Any], /, *others: Iterable[Any], **options: Unpack[MapCall],
    ) -> MapJob[R]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[..., R], items: Iterable[Any], more: Iterable[Any], third: Iterable[Any], /,
        *others: Iterable[Any], **options: Unpack[MapCall],
    ) -> MapJob[R]: ...  # fmt: skip
    @overload
    def map(self, fn: str, /, *iterables: Iterable[Any], **options: Unpack[MapCall]) -> MapJob[Any]: ...
    @clear_errors
    def map(
        self, fn: Any, *iterables: Iterable[Any], chunksize: int | None = None, **options: Unpack[MapKeywords]
    ) -> MapJob[Any]:
        """Push ``fn(item)`` for every item, and return at once.

        Args:
            fn: Any callable, or a dotted path which the workers can import. What an ``async def`` returns is run
                to its end, one item after the other, on an event loop that the process has for all items.
            iterables: As for the built-in ``map``: with several, ``fn`` gets one item of each, and the
                shortest ends. Generators are written as they come, in bounded memory; nothing runs before
                the last item is there.
            chunksize: Items that are reserved, run and committed together; at least 1. None: each core of
                the live workers gets about 11 chunks, of at most 4096 items and 1 MiB each, the last ones smaller
                than the first; those that turn out to run longer than 0.1 s, or to have more than 3 MiB of
                results, are cut into chunks of about that size. Of a chunk whose size is given, a worker holds
                all results until the last is there; it is cut all the same from 256 MiB of results on (less, where
                the server takes less in one command), or 262,144 items.
            options: ``item_timeout`` (seconds for each item, also inside C code; default: none; an item over it
                fails alone), ``weight`` (its share of its queue's process time beside other maps there, and beside
                the queue's plain jobs, which have 1 together; default: 1, from 0.001 to 1000), ``max_failures``
                (the map fails once more items have failed: so many or, below 1, such a share of all; nothing new
                starts then; 0: with the first; default: all are tried), ``results`` (``"discard"``: they are
                only counted, see ``MapJob.count``; default: ``"keep"``), ``first`` (so many
                results are enough: the map has finished then; default: all), ``initializer`` and ``initargs``
                (called once in each process before its first item: see ``taskq.state``), ``share`` (whether
                arrays and the like of 1 MiB or more travel once, and are read-only where they arrive; default:
                True), ``max_running`` (items that may run at once, over all services; from 1 on), ``rate`` (items
                that may begin within any second, minute or hour: ``"5/s"``, ``"300/m"``, ``"1000/h"``; each is a
                chunk of its own then), ``item_retry`` (``taskq.Retry``: an item that fails is tried again while
                the map runs), ``speculate`` (what takes much longer than the others may run a second time on a
                process that has nothing else to do, and the first of the two counts; not with caps; default:
                False), and RQ's own job options: ``job_timeout`` (seconds for the whole map; default:
                none),
                ``result_ttl`` (seconds the results are kept; default: 7 days), ``failure_ttl`` (the same of a
                failed map; default: RQ's, a year), ``ttl``, ``retry`` (runs only the failed items again),
                ``depends_on``, ``at_front``, ``meta``, ``description``, ``on_success``, ``on_failure``,
                ``on_stopped``, ``webhooks``, ``job_id``, ``unique``. With a ``job_id``, ``if_exists="attach"``
                returns the map that is there, if it is the same one, whatever has become of it, and ``"replace"``
                cancels and replaces it; with ``memo="name"`` items whose keys (``key=``) have results in that memo
                are not run (``memo_ttl``, ``memo_changed``). See ``taskq/maps/keywords.py`` and docs/memo.md.

        Returns:
            The map's job; ``job.get()`` waits for the results. A map without items has ended already.

        Raises:
            OptionError: If an option is unknown or unusable, or something is not iterable; if the map that is to
                be attached to is another one; if the memo is of another function, or an item has no key for it.
            PickleError: If the function or an item can't be pickled; names the item's index.
            TooLargeError: If a chunk is over the limit; names the item's index.
            DuplicateJobError: If a map with this ``job_id`` waits, runs, or is being pushed. If its producer
                has died meanwhile, the id is free after ten seconds, for which this waits.
            VersionError: If workers are alive whose version of taskq can't work side by side with this one.
            ServerError: If the server can't be reached, or refuses; says why, and what to do.

        Whenever it raises, also an error of the iterable itself, nothing is left in Redis. An item may run
        more than once (if a process dies after its side effects), its result is stored once.
        """
        return push_map(self, fn, Items.of(iterables), check_chunksize(chunksize), MapOptions.read(options))

    @overload
    def starmap(
        self, fn: Callable[..., Coroutine[Any, Any, R]], iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None, **options: Unpack[MapKeywords],
    ) -> MapJob[R]: ...  # fmt: skip
    @overload
    def starmap(
        self, fn: Callable[..., R], iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None, **options: Unpack[MapKeywords],
    ) -> MapJob[R]: ...  # fmt: skip
    @overload
    def starmap(
        self, fn: str, iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None, **options: Unpack[MapKeywords],
    ) -> MapJob[Any]: ...  # fmt: skip
    @clear_errors
    def starmap(
        self, fn: Any, iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None, **options: Unpack[MapKeywords],
    ) -> MapJob[Any]:  # fmt: skip
        """As ``map``, with ``fn(*item)`` for every item; see there for all else."""
        check_iterable(iterable, "the second argument of starmap")
        items = Items(iterable, star=True)
        return push_map(self, fn, items, check_chunksize(chunksize), MapOptions.read(options))

    @overload
    def open_map(
        self,
        fn: Callable[[A], Coroutine[Any, Any, R]],
        *,
        star: Literal[False] = False,
        **options: Unpack[OpenCall],
    ) -> OpenMap[A, R]: ...
    @overload
    def open_map(
        self, fn: Callable[[A], R], *, star: Literal[False] = False, **options: Unpack[OpenCall]
    ) -> OpenMap[A, R]: ...
    @overload
    def open_map(
        self, fn: Callable[..., Coroutine[Any, Any, R]], *, star: Literal[True], **options: Unpack[OpenCall]
    ) -> OpenMap[Iterable[Any], R]: ...
    @overload
    def open_map(
        self, fn: Callable[..., R], *, star: Literal[True], **options: Unpack[OpenCall]
    ) -> OpenMap[Iterable[Any], R]: ...
    @overload
    def open_map(self, fn: str, *, star: bool = False, **options: Unpack[OpenCall]) -> OpenMap[Any, Any]: ...
    @clear_errors
    def open_map(
        self,
        fn: Any,
        *,
        job_id: str | None = None,
        buffersize: int | None = None,
        orphan: Orphan = "finish",
        chunksize: int | None = None,
        star: bool = False,
        **options: Unpack[OpenKeywords],
    ) -> OpenMap[Any, Any]:
        """Begin a map whose items come while it runs.

            with queue.open_map(compute) as job:
                for item in source:
                    job.put(item)                # a free process has it at once
            job.get()

        It has ended when it is sealed and all its items have ended. Until then its producer, this program,
        renews a lease of 30 seconds, by the server's clock, in a thread of its own.

        Args:
            fn: As for ``map``.
            job_id: As for ``map``.
            buffersize: Items that may be unfinished, from 1 on: ``put`` waits while there are more. So producer
                and server hold a bounded number of them, however many come. None: any number.
            orphan: What becomes of the map when its producer is gone without having sealed it: ``"finish"``: it
                is sealed, and ends with the items that were put; or ``"cancel"``. A worker sees to it some 35
                seconds after the producer was last heard.
            chunksize: As for ``map``, of what is put with one ``put_many``; items that are put one by one run so.
            star: Whether ``fn`` is called as ``fn(*item)``.
            options: As for ``map``.

        Returns:
            The map's job, with ``put``, ``put_many``, ``seal``; a context manager, which seals it, or cancels it
            if the block raises.

        It raises what ``map`` raises.
        """
        if isinstance(buffersize, bool) or not (buffersize is None or _is_count(buffersize)):
            raise OptionError(f"buffersize must be a whole number from 1 on, or None, not {buffersize!r}")
        if orphan not in ("finish", "cancel"):
            raise OptionError(f'orphan must be "finish" or "cancel", not {orphan!r}')
        if unusable := sorted(_CLOSED & set(options)):
            raise OptionError(
                f"an open map has no option {unusable[0]}: its items are not known when it is pushed"
            )
        terms = Terms(orphan=orphan, buffersize=buffersize or 0)
        read = MapOptions.read({"job_id": job_id, **options})
        return open_map(self, fn, check_chunksize(chunksize), terms, read, star=bool(star))

    @overload
    def imap(
        self, fn: Callable[[A], Coroutine[Any, Any, R]], iterable: Iterable[A], *, star: Literal[False] = False,
        **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap(
        self, fn: Callable[[A], R], iterable: Iterable[A], *, star: Literal[False] = False,
        **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap(
        self, fn: Callable[..., Coroutine[Any, Any, R]], iterable: Iterable[Iterable[Any]], *, star: Literal[True],
        **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap(
        self, fn: Callable[..., R], iterable: Iterable[Iterable[Any]], *, star: Literal[True],
        **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap(
        self, fn: str, iterable: Iterable[Any], *, star: bool = False, **options: Unpack[LazyCall]
    ) -> Lazy[Any]: ...
    def imap(
        self,
        fn: Any,
        iterable: Iterable[Any],
        *,
        buffersize: int = 1000,
        chunksize: int | None = None,
        star: bool = False,
        **options: Unpack[LazyKeywords],
    ) -> Lazy[Any]:
        """As ``Pool.imap``: an iterator over the results in the order of the items, which are read meanwhile.

            for value in queue.imap(compute, endless()):
                ...

        The iterable is read in a thread, and may be endless. An item that fails raises its error in its place; the
        next ``next`` goes on behind it. What the iterable itself raises comes after the results of what it gave.

        Args:
            fn: As for ``map``.
            iterable: The items.
            buffersize: Items that may have been read, and whose results are not taken yet; from 1 on.
            chunksize: As for ``map``. None: taskq picks it, of what has come together.
            star: Whether ``fn`` is called as ``fn(*item)``.
            options: ``item_timeout``, ``weight``, ``meta``, ``description``, ``at_front``, ``item_retry``,
                ``speculate`` and ``max_failures`` (of each of the maps behind it) as for ``map``.

        Returns:
            The iterator. It is a context manager, and has ``close()``: nothing is left on the server then, nor
            when it is at its end, or collected as garbage. If this program dies, a worker cancels what is left.

        Raises:
            OptionError: If an option is unknown or unusable, or something is not iterable.
        """
        return self._lazy(fn, iterable, buffersize, chunksize, options, star=star, in_order=True)

    @overload
    def imap_unordered(
        self, fn: Callable[[A], Coroutine[Any, Any, R]], iterable: Iterable[A], *, star: Literal[False] = False,
        **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap_unordered(
        self, fn: Callable[[A], R], iterable: Iterable[A], *, star: Literal[False] = False,
        **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap_unordered(
        self, fn: Callable[..., Coroutine[Any, Any, R]], iterable: Iterable[Iterable[Any]], *, star: Literal[True],
        **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap_unordered(
        self, fn: Callable[..., R], iterable: Iterable[Iterable[Any]], *, star: Literal[True],
        **options: Unpack[LazyCall],
    ) -> Lazy[R]: ...  # fmt: skip
    @overload
    def imap_unordered(
        self, fn: str, iterable: Iterable[Any], *, star: bool = False, **options: Unpack[LazyCall]
    ) -> Lazy[Any]: ...
    def imap_unordered(
        self,
        fn: Any,
        iterable: Iterable[Any],
        *,
        buffersize: int = 1000,
        chunksize: int | None = None,
        star: bool = False,
        **options: Unpack[LazyKeywords],
    ) -> Lazy[Any]:
        """As ``imap``, with the results as they come."""
        return self._lazy(fn, iterable, buffersize, chunksize, options, star=star, in_order=False)

    def share(self, value: T, *, ttl: float | None = SHARE_TTL) -> Shared[T]:
        """As ``taskq.share``, on this queue's server."""
        return share(value, ttl=ttl, connection=self.connection)

    def check_lazy(self, fn: Any, buffersize: int, chunksize: int | None, options: LazyKeywords) -> int | None:
        """See that ``imap`` can be called so, before anything is read; returns the size of chunks.

        Raises:
            OptionError, PickleError: If not.
        """
        if isinstance(buffersize, bool) or not _is_count(buffersize):
            raise OptionError(f"buffersize must be a whole number from 1 on, not {buffersize!r}")
        if unusable := sorted(set(options) - _LAZY):
            raise OptionError(f"imap has no option {unusable[0]}; there are {', '.join(sorted(_LAZY))}")
        function = Function.of(fn)
        MapOptions.read(options).job(self, function.name, OpenMap)  # only to see that it can be made
        return check_chunksize(chunksize)

    def _lazy(
        self, fn: Any, iterable: Iterable[Any], buffersize: int, chunksize: int | None, options: LazyKeywords, *,
        star: bool, in_order: bool,
    ) -> Lazy[Any]:  # fmt: skip
        check_iterable(iterable, "the second argument of imap")
        size = self.check_lazy(fn, buffersize, chunksize, options)

        def opens() -> OpenMap[Any, Any]:
            return self.open_map(fn, orphan="cancel", chunksize=size, star=star, **options)

        return Lazy(Flow(opens, self.connection, iterable, buffersize, in_order=in_order), self.connection)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 1 <= value < COUNTABLE
