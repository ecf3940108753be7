"""What follows a map on the workers, without its producer: ``MapJob.map`` and ``starmap``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from redis.exceptions import RedisError
from rq.exceptions import InvalidJobOperation

from taskq.errors import OptionError, TaskqError
from taskq.maps.chunk import check_chunksize
from taskq.maps.info import MapInfo
from taskq.maps.iterated import Iterated
from taskq.maps.keywords import ChainCall, FedKeywords, MapKeywords
from taskq.maps.result_type import R
from taskq.maps.source import ALL, Source
from taskq.payload.signed_job import SignedJob
from taskq.redis import ids
from taskq.redis.patience import clear_errors

if TYPE_CHECKING:
    from taskq.maps.folding import Folded
    from taskq.maps.job import MapJob
    from taskq.maps.options import MapQueue

    J = TypeVar("J", bound=MapJob[Any])

A = TypeVar("A")
B = TypeVar("B")

_NO_VALUE: Any = object()

_OF_EACH = frozenset({
    "item_timeout", "weight", "item_retry", "speculate", "share", "at_front", "max_running", "rate", "initializer",
    "initargs", "job_timeout", "queue",
})  # fmt: skip
"""Options of each map of a fold, and not of the last alone."""

_BETWEEN = 60  # seconds for which a map inside of a fold is kept at least: it may end before the next follows it
_OTHERS = frozenset(MapKeywords.__annotations__) - frozenset(FedKeywords.__annotations__) - {"job_id"}
"""Options of maps whose items are all there when they are pushed; and ``first``, unknown to feeders."""


class Chained(Iterated[R]):
    """A map whose results may be another map's items."""

    in_place = False
    """Whether it was pushed to a queue whose jobs run where they are pushed."""

    @overload
    def map(
        self: Chained[A], fn: Callable[[A], Coroutine[Any, Any, B]], **options: Unpack[ChainCall]
    ) -> MapJob[B]: ...
    @overload
    def map(self: Chained[A], fn: Callable[[A], B], **options: Unpack[ChainCall]) -> MapJob[B]: ...
    @overload
    def map(self, fn: str, **options: Unpack[ChainCall]) -> MapJob[Any]: ...
    @clear_errors
    def map(self, fn: Any, **options: Unpack[ChainCall]) -> MapJob[Any]:
        """Have ``fn(result)`` called for every result of this map, each as soon as it is committed.

            sizes = queue.map(fetch, urls).map(len)

        The results go from map to map on the server, in one step with what tells of them: neither this program nor
        any worker has to live for that, and each result becomes an item once. Item 3 of the map that is returned
        is the result of item 3 here. An item without a result here has failed there, too, with
        ``SourceFailedError``, which names this map and what was raised; that is so when this map has ended, for
        until then a retry may still give it one. If this map ends early (cancelled, stopped, over its
        ``max_failures``, deleted or replaced by its id), the other ends with what it has got, and fails with the
        reason. A retry of the other goes on with all that this map has by then.

        The map may be running, waiting, or have ended; it may be followed by several, and each of them again.

        Args:
            fn: As for ``Queue.map``.
            options: ``queue`` (another one's name), ``job_id``, ``chunksize`` (items that are run and committed
                together, at most; no more than were committed together here; default: 256, and fewer where they
                take long), and as for ``Queue.map`` all but ``first``, ``if_exists`` and what belongs to a memo.

        Returns:
            The map's job. It has as many items as this one; while this one is open, so many as there are so far.

        Raises:
            OptionError: If an option is unknown or unusable; if this map keeps no results (``results="discard"``),
                or may have fewer than items (``first=``).
            ResultsGoneError, ReplacedError: If this map is gone.
            PickleError, TooLargeError, DuplicateJobError, VersionError, ServerError: As ``Queue.map``.

        Of a map that keeps its results for a short time only (``result_ttl``) they are kept until they are taken,
        a day at most.
        """
        job: MapJob[Any] = self._followed(fn, options)
        return job

    @overload
    def starmap(self, fn: Callable[..., Coroutine[Any, Any, B]], **options: Unpack[ChainCall]) -> MapJob[B]: ...
    @overload
    def starmap(self, fn: Callable[..., B], **options: Unpack[ChainCall]) -> MapJob[B]: ...
    @overload
    def starmap(self, fn: str, **options: Unpack[ChainCall]) -> MapJob[Any]: ...
    @clear_errors
    def starmap(self, fn: Any, **options: Unpack[ChainCall]) -> MapJob[Any]:
        """As ``map``, with ``fn(*result)`` for every result; see there for all else."""
        job: MapJob[Any] = self._followed(fn, options, star=True)
        return job

    @overload
    def reduce(
        self: Chained[A], fn: Callable[[A, A], A], *, initial: A = ..., **options: Unpack[ChainCall]
    ) -> Folded[A]: ...
    @overload
    def reduce(self, fn: str, *, initial: Any = ..., **options: Unpack[ChainCall]) -> Folded[Any]: ...
    @clear_errors
    def reduce(self, fn: Any, *, initial: Any = _NO_VALUE, **options: Unpack[ChainCall]) -> Folded[Any]:
        """Fold the results of this map to one on the workers, as they come: ``functools.reduce(fn, results)``.

            total = queue.map(count_words, paths).reduce(operator.add, initial=0).get()

        Groups of neighbours are folded as soon as all of a group are there, then groups of what came of these, and
        the last of all in one process. So ``fn`` must be associative: ``fn(fn(a, b), c) == fn(a, fn(b, c))``, and
        need not be commutative, for everywhere what is on the left is of the items that come first. It is called
        once less than there are results, or a little more often if processes die. How results are grouped is not
        promised; so sums of floating-point numbers may differ in their last digits from those of a loop.

        Args:
            fn: What makes one of two, or its path; no coroutine function.
            initial: Is on the left of the first result, once. Needed where this map may have no items: else that
                fails with a TypeError, as of ``functools.reduce``.
            options: As of ``map``; ``chunksize`` is how many are folded together, at least 2; the default is the
                square root of their number, at most 256. A group travels as one, so that it must fit the payload
                limit. What is not about each item (``job_id``, ``retry``, callbacks, ``result_ttl``, ...) is of
                the last map.

        Returns:
            The last map's job: ``get()`` returns its one result. It fails if any item of this map has.

        Raises:
            As ``map``.
        """
        return folded(self, fn, () if initial is _NO_VALUE else (initial,), dict(options))

    def _followed(
        self, fn: Any, options: Any, kind: type[J] | None = None, *, star: bool = False, together: int = 0
    ) -> J:
        from taskq.maps import follow, opening
        from taskq.maps.options import MapOptions

        kind = kind or cast("type[J]", SignedJob.map_class)
        told = dict(options)
        _check_usable(told)
        name, size = _queue_of(told, self.origin), check_chunksize(told.pop("chunksize", None))
        read, info = MapOptions.read(told), self.store.info()
        self._check_followable(info)
        source = Source(self.id, info.incarnation, together)
        queue = self._queue(name, info)
        job: J = opening.push_follower(queue, source, fn, size, read, kind, star=star)
        if not self.in_place:
            with suppress(RedisError):  # sooner than who owns it will; it is there in any case
                follow.step(job.store, job.store.info())
        return job

    def _queue(self, name: str, info: MapInfo) -> MapQueue:
        from taskq.maps.mapper import Mapper

        queue = Mapper(
            name, self.connection, is_async=not self.in_place, job_class=SignedJob, serializer=self._inner
        )
        queue.payload_limit = info.limit
        return queue

    def _check_followable(self, info: MapInfo) -> None:
        if info.terms.discards:
            raise OptionError(
                f'the map {self.id} was pushed with results="discard": what it returns is nobody\'s item'
            )
        if info.terms.first:
            raise OptionError(
                f"the map {self.id} was pushed with first={info.terms.first}: which items have results is not "
                "known before its end, so that none can be another map's item"
            )


def _check_usable(options: Collection[str]) -> None:
    if unusable := sorted(_OTHERS & set(options)):
        raise OptionError(
            f"a map of another's results has no option {unusable[0]}: its items are not known when it is pushed"
        )


def _queue_of(options: dict[str, Any], own: str) -> str:
    """The name of the queue that these name, and name no more; or its own."""
    name = options.pop("queue", None)
    if name is not None and not ids.is_name(name):
        raise OptionError(f"queue must be the name of one, of letters, digits and _.:- only, not {name!r:.80}")
    return own if name is None else str(name)


def folded(job: Chained[Any], fn: Any, initial: tuple[Any, ...], options: dict[str, Any]) -> Folded[Any]:
    """See ``Chained.reduce``."""
    from taskq.maps import folding
    from taskq.maps.options import MapOptions

    _check_usable(options)
    size = check_chunksize(options.pop("chunksize", None))
    if size == 1:
        raise OptionError("chunksize must be 2 at least: so many are folded together")
    if options.get("results", "keep") != "keep":
        raise OptionError("what comes of a fold is its result: it can't be discarded")
    rest = dict(options)
    _queue_of(rest, job.origin)
    read = MapOptions.read(rest)
    read.check()  # of all maps, before the first is pushed
    of_each = {name: value for name, value in options.items() if name in _OF_EACH}
    leaf, last = (folding.prepared(fn, one, share=read.shares) for one in ((), initial))
    pushed: list[MapJob[Any]] = []
    try:
        for each in folding.sizes(job.store.info().total, size):
            told = {"result_ttl": _BETWEEN, **of_each}
            part: MapJob[Any] = job._followed(leaf, told, together=each)  # noqa: SLF001
            pushed.append(part)
            job = part
        made: Folded[Any] = job._followed(last, options, folding.Folded, together=ALL)  # noqa: SLF001 - as above
    except BaseException:
        for one in pushed:  # nobody would have what comes of these
            with suppress(RedisError, TaskqError, InvalidJobOperation):
                one.delete()
        raise
    return made
