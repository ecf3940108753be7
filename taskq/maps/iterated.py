"""What has come of a map so far: how far it is, and its results one by one, by position or as they come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Generic, Literal, cast, overload

from rq.job import JobStatus

from taskq.errors import (
    DamagedError,
    ItemError,
    MapCanceledError,
    MapError,
    MapFailedError,
    OptionError,
    ResultsGoneError,
)
from taskq.maps import spans_read
from taskq.maps.arrivals import Arrivals
from taskq.maps.completed import Completed
from taskq.maps.control import CANCELED
from taskq.maps.controlled import ENDED, Controlled
from taskq.maps.doubts import Doubts
from taskq.maps.info import MapInfo
from taskq.maps.outage import GoesOnError, rides_out
from taskq.maps.proof import prove
from taskq.maps.reader import discarded
from taskq.maps.result_type import R
from taskq.maps.values import Errors, Values, check_errors, check_start
from taskq.maps.waiting import Events
from taskq.payload.outcome import ItemFailure, add_note
from taskq.redis import clock
from taskq.redis.patience import clear_errors
from taskq.views import activity
from taskq.views.escaped import escaped
from taskq.views.progress import Progress

_CANCELED = frozenset({JobStatus.CANCELED, JobStatus.STOPPED})
_NO_REASON = "no reason was recorded"
_NO_JOB = "RQ's record of it is gone: somebody has deleted that, or the server has lost it. Push the map again"


class Iterated(Controlled, Generic[R]):
    """A map's RQ job as the results that come of it."""

    @clear_errors
    @rides_out
    def __len__(self) -> int:
        """How many items it has; of an open map, how many so far.

        Raises:
            ResultsGoneError, ReplacedError, ServerError: As ``get``.
        """
        return self.store.glance().items

    def __bool__(self) -> bool:
        """True, as that of any job, also of a map without items: RQ asks jobs whether they are there."""
        return True

    @property
    @clear_errors
    def progress(self) -> Progress:
        """How far the map is, now."""
        info = self.store.glance()
        now = info.ended or clock.ask(self.connection)
        busy, cores = (0, 0) if info.ended or info.complete else activity.cores_on(self.store.scripts, self.id)
        return Progress.since(
            info.started, now, info.done, info.failed, info.items, busy, cores, sealed=info.sealed
        )

    if TYPE_CHECKING:  # who checks types knows of no loop over ``__getitem__``

        def __iter__(self) -> Iterator[R]: ...

    def __getitem__(self, position: int) -> R:
        """The result that completed as number ``position`` (from 0); waits for it.

        This is what ``for value in job`` uses: values as they complete. A failed item does not stop the
        others: its exception is raised after the last value, as by ``get``. There is no ``__iter__``, since
        RQ takes everything that has one for a list of jobs (``depends_on=job``).

        Raises:
            IndexError: If the map ended with fewer results.
            MapFailedError, MapCanceledError: Instead of that, if it ended early.
            Exception: Instead of that, whatever the first failed item raised.
            OptionError: If the position is below 0, or no number, such as a slice; or the map keeps no results.
            ResultsGoneError: If the map's keys are gone, or the server has lost some of what was read.
            ReplacedError: If its id was pushed again.
            ServerError: If the server refuses, or can't be reached for 30 seconds.
            NestedWaitError: As ``wait``.
            SignatureError: If there is a secret key, and the result is not signed for its item.
            DamagedError: If the map's keys hold what taskq does not write there.
            ItemError: If the result can't be unpickled in this process.
        """
        if not isinstance(position, int):
            raise OptionError(
                f"results are counted from 0, in the order of completion, not by {position!r}. Several at once: "
                "job.result_list[2:4] of those there are, job.get()[2:4] in the order of the items"
            )
        if position < 0:
            raise OptionError("results are counted from 0, in the order of completion; use job.result_list[-1]")
        found, value = self._at(position)
        if not found:
            raise value
        return cast("R", value)

    @clear_errors
    @rides_out
    def _at(self, position: int) -> tuple[bool, Any]:
        """Whether there will be a result at this position, and that; or the error to raise instead."""
        if not hasattr(self, "_completed"):
            if self.store.info().terms.discards:
                raise discarded(self.id)
            self._completed = Completed(self.store)
        try:
            return self._of_completed(position)
        except ResultsGoneError:
            del self._completed  # who reads again gets what there is now
            raise

    def _of_completed(self, position: int) -> tuple[bool, Any]:
        if not (self._completed.has(position) or self._comes(position)):
            return False, self._end_of_results()
        try:
            return True, self._completed.value(position)
        except ItemError as error:
            add_note(error, f"of {self._named(self.store.glance())}")
            raise

    def _comes(self, position: int) -> bool:
        """Wait for a result at this position; False if the map ends before."""
        watch = self._doubts.begin(for_ever=True)
        with Events(self.connection, self.store.keys) as events:
            while not self._completed.has(position):
                # Asked before it is read again: nothing is added after the end.
                if self.ready():
                    return self._completed.has(position)
                events.next(on_quiet=watch.look)
        return True

    # -- as they come ------------------------------------------------------------------------------------

    @overload
    def in_order(self, start: int = 0, errors: Literal["raise"] = "raise") -> Values[R]: ...
    @overload
    def in_order(self, start: int = 0, *, errors: Literal["return"]) -> Values[R | BaseException]: ...
    def in_order(self, start: int = 0, errors: Errors = "raise") -> Values[Any]:
        """The results in the order of the items, each as soon as those before it are there.

        One value is in memory at a time, besides what one round trip has brought (8 MiB, or one result), and a
        few numbers for each chunk that is ahead of its turn. An item that has failed raises its error in its place
        once no retry will run it again, and the next ``next`` goes on behind it, as with ``Pool.imap``.

        Args:
            start: Index of the first item that is wanted.
            errors: ``"raise"``; or ``"return"``: the exception in the place of the result.

        Returns:
            An iterator. Its ``position`` is the ``start`` for another one, in any process, that goes on behind
            what this one has given.

        Raises:
            OptionError: If an argument is unusable.

        Its ``next`` waits, and raises besides, each of which ends it:
            MapFailedError, MapCanceledError: In the place of the first item that was not tried, if the map has
                ended early.
            ResultsGoneError: If its keys are gone, or the server came back as it was some moments before: then
                something else may stand where results were read; or what was told to have failed was tried again.
            ReplacedError, SignatureError, DamagedError, OptionError: As ``get``.
        and without ending it:
            ServerError: If the server refuses, or can't be reached for 30 seconds.
            NestedWaitError: As ``wait``.
            ItemError: As ``get``.
        """
        return self._values(start, errors, _bare, in_order=True)

    @overload
    def as_completed(self, start: int = 0, errors: Literal["raise"] = "raise") -> Values[R]: ...
    @overload
    def as_completed(self, start: int = 0, *, errors: Literal["return"]) -> Values[R | BaseException]: ...
    def as_completed(self, start: int = 0, errors: Errors = "raise") -> Values[Any]:
        """As ``in_order``, with the results in the order in which they came.

        That order is one: whoever reads them, and whenever, gets them so. What failed has no place in it, and is
        told when it is seen, more than 1000 of them at the end; by each iterator once, whatever its ``start``.

        Args:
            start: How many results to pass over.
            errors: As of ``in_order``.

        Returns:
            As ``in_order``.

        It raises what ``in_order`` raises; ``MapFailedError`` and ``MapCanceledError`` after all that there is.
        One number is kept for each failed item.
        """
        return self._values(start, errors, _bare, in_order=False)

    @overload
    def results_by_index(self, start: int = 0, errors: Literal["raise"] = "raise") -> Values[tuple[int, R]]: ...
    @overload
    def results_by_index(
        self, start: int = 0, *, errors: Literal["return"]
    ) -> Values[tuple[int, R | BaseException]]: ...
    def results_by_index(self, start: int = 0, errors: Errors = "raise") -> Values[Any]:
        """As ``as_completed``, with pairs of an item's index and its result: ``dict()`` of them is a mapping.

        Args:
            start: As of ``as_completed``.
            errors: As of ``in_order``; with ``"return"`` a failed item is a pair, too.

        Returns:
            As ``in_order``.

        It raises what ``as_completed`` raises.
        """
        return self._values(start, errors, _pair, in_order=False)

    def _values(self, start: int, errors: Errors, shape: Any, *, in_order: bool) -> Values[Any]:
        check_errors(errors)
        reading = Arrivals(self.store, in_order=in_order, start=check_start(start))
        end = partial(self._end_of, reading, in_order=in_order)
        return Values(self, reading, errors, shape, name=self._named, end=end)

    def _end_of(self, reading: Arrivals, *, in_order: bool) -> BaseException:
        """How it ends that results were read as they came, once nothing more comes.

        Raises:
            DamagedError, ResultsGoneError: If what was read is not all, or not what stands there now.
        """
        info = self.store.info()
        if not info.announced:
            return self._lost()
        if not info.complete:
            return self._early_end(info)
        self._check_whole(info)
        is_all = reading.check()
        prove(self.store, discards=info.terms.discards)
        if not is_all:
            raise GoesOnError
        if in_order and not info.enough and reading.next < info.total:
            # Now all has an outcome, and had none when it was looked for.
            raise spans_read.came_back_older(self.id)
        return StopIteration()

    # -- how it ends -------------------------------------------------------------------------------------

    def _end_of_results(self) -> BaseException:
        info = self.store.info()
        if not info.announced:
            return self._lost()
        if failure := self._first_failure(info):
            # A loop would take these two for its regular end.
            return failure.to_raise(self._named(info), (IndexError, StopIteration))
        if not info.complete:
            return self._early_end(info)
        with self._undisturbed(info, spans_read.came_back_older(self.id)):
            self._completed.prove(info)
        return IndexError(f"the map has {info.done} results")

    def _early_end(self, info: MapInfo) -> MapError:
        """How a map has ended that is not complete.

        Raises:
            GoesOnError: If it has not.
            ResultsGoneError, ReplacedError: If it was deleted or pushed again since it was asked.
        """
        status = self.status_now()  # asked once: a server that comes back as it was may say something else then
        if status is None:
            info = self.store.info()  # whoever pushes its id again cancels it first, and deletes it
        if info.complete or (status is not None and status not in ENDED):
            raise GoesOnError
        if status in _CANCELED or info.reason == CANCELED:
            return MapCanceledError(f"the map {self.id} was cancelled with {info.done} of {info.items} items done")
        latest = self.latest_result()
        why = info.reason or (latest.exc_string if latest else "") or (_NO_JOB if status is None else _NO_REASON)
        return MapFailedError(f"the map {self.id} failed with {info.done} of {info.items} items done: {why}")

    def _check_whole(self, info: MapInfo) -> None:
        """See that a map which says that it is complete has all items of which this object knows."""

    def _first_failure(self, info: MapInfo) -> ItemFailure | None:
        """What the map fails with, if an item has failed for good.

        Raises:
            GoesOnError: If it is tried again, and its errors are forgotten.
        """
        if info.enough:
            return None
        with self._undisturbed(info, GoesOnError()):
            return self.store.first_failure(info)

    @contextmanager
    def _undisturbed(self, then: MapInfo, changed: Exception) -> Iterator[None]:
        """Tell damage that the body meets from what is none: the map has changed since the body began.

        Args:
            then: What its hash said when it had ended.
            changed: What to raise if it says something else: the server came back as it was some moments before,
                or the map is tried again.

        Raises:
            ResultsGoneError, ReplacedError: If it was deleted or pushed again.
        """
        try:
            yield
        except DamagedError as error:
            if _outcome(self.store.info()) != _outcome(then):
                raise changed from error
            raise

    def _named(self, info: MapInfo) -> str:
        return f"the map {self.id} ({escaped(info.name)})"

    @cached_property
    def _doubts(self) -> Doubts:
        return Doubts(self)


def _outcome(info: MapInfo) -> tuple[object, ...]:
    """What tells one end of a map from another one."""
    return info.complete, info.done, info.failed, info.ended


def _bare(_index: int, value: Any) -> Any:
    return value


def _pair(index: int, value: Any) -> tuple[int, Any]:
    return index, value
