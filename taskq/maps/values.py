"""A map's results one after the other, as they come: what ``in_order`` and ``as_completed`` of a job return."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar, cast

from taskq.errors import ItemError, NestedWaitError, OptionError, ResultsGoneError, ServerError, TaskqError
from taskq.maps.arrivals import Arrival, Arrivals
from taskq.maps.doubts import Doubts
from taskq.maps.info import MapInfo
from taskq.maps.outage import rides_out
from taskq.maps.reader import discarded
from taskq.maps.terms import NONE
from taskq.maps.turn import Turn
from taskq.maps.waited import Waited
from taskq.maps.waiting import Events
from taskq.payload import results
from taskq.payload.outcome import add_note
from taskq.payload.ranges import COUNTABLE
from taskq.redis.patience import clear_errors

V = TypeVar("V")
Errors = Literal["raise", "return"]
Ready = tuple[bool, Any, int]
"""Whether it is a value; that, or what to raise; and the position behind it."""

_PACE = 0.002  # seconds to let pass after a commit, so that there are fewer looks


class Followed(Waited, Protocol):
    """A map's job."""

    retries_left: Any
    """RQ's."""


class Values(Iterator[V]):
    """An iterator over results. It holds none of them, and no connection while nothing is waited for.

    Several threads may share it: each result is given to one of them.

    What an item has raised is raised in its place, and the next ``next`` goes on behind it; so it does after a
    ``ServerError``. What else is raised ends it: see ``MapJob.in_order``.

    Args:
        job: The map's.
        reading: Its results, none of which was read.
        errors: Whether what items have raised is raised, or returned in place of their results.
        shape: Makes what is given of an item's index and result.
        name: Names the map, for people.
        end: Says how it ends, when nothing more comes.
    """

    def __init__(
        self, job: Followed, reading: Arrivals, errors: Errors, shape: Callable[[int, Any], V], *,
        name: Callable[[MapInfo], str], end: Callable[[], BaseException],
    ) -> None:  # fmt: skip
        self._job, self._reading, self._errors, self._shape = job, reading, errors, shape
        self._named, self._how = name, end
        self._doubts = Doubts(job)
        self._turn = Turn()  # several threads may take what comes, each something else
        self._map, self._terms = "", NONE  # for people, and what it was told; as soon as something is read
        self._new: Iterator[Arrival] = iter(())  # what has come
        self._ended = False  # before that was read: there is no more
        self._over = False  # nothing more is given

    @property
    def position(self) -> int:
        """What to give as ``start``, for an iterator that is to go on behind what this one has given."""
        return self._reading.next

    @property
    def connection(self) -> Any:
        """The job's."""
        return self._job.connection

    @clear_errors
    @rides_out
    def __len__(self) -> int:
        """How many it may still give, for progress bars: of a map in which items fail it is fewer in the end.

        Raises:
            TypeError: If the map still gets items, so that nobody knows.
            ResultsGoneError, ReplacedError, ServerError: As ``next``.
        """
        if self._over:
            return 0
        info = self._job.store.info()
        if not info.sealed:
            raise TypeError(f"the map {self._job.id} still gets items: how many it will have is not known")
        return max(0, (info.terms.first or info.total) - self.position)

    def __bool__(self) -> bool:
        """True, as any iterator."""
        return True

    def __next__(self) -> V:
        with self._turn:
            if self._over:
                raise StopIteration
            there, value = self._take()
        if not there:
            raise value
        return cast("V", value)

    @property
    def over(self) -> bool:
        """Whether nothing more is given."""
        return self._over

    def ready(self, most: int) -> list[Ready]:
        """What has come since, without waiting, for who waits otherwise.

        At the end the last one is a StopIteration, or why it has ended early.

        Args:
            most: So many of them.

        Raises:
            As ``next``, and redis-py's errors, after which it can be called again. What came before an error is
            told first.
        """
        told: list[Ready] = []
        while len(told) < most and not self._over:
            try:
                arrival = self._next()
                if arrival is None and not self._ended:
                    break
                one = self._end() if arrival is None else self._told(arrival)
                told.append((*one, self.position))
            except BaseException as error:
                over = self._left_by(error)
                if not told:
                    raise
                if over:  # it is not met again
                    told.append((False, error, self.position))
                break
        return told

    @clear_errors
    @rides_out
    def _take(self) -> tuple[bool, Any]:
        """The next one; or what to raise: an item's own error may look like one of the server's, and is none."""
        try:
            arrival = self._next() or self._wait()
            return self._end() if arrival is None else self._told(arrival)
        except BaseException as error:  # also Ctrl-C
            self._left_by(error)
            raise

    def _left_by(self, error: BaseException) -> bool:
        """Note that this was raised; whether it is the end."""
        # A generator that was left by an error is at its end; what it has not told, a new one tells.
        self._new, self._ended = iter(()), False
        self._over = isinstance(error, TaskqError) and not isinstance(error, ServerError | NestedWaitError)
        return self._over

    def _next(self) -> Arrival | None:
        """The next of what has come; None: nothing has."""
        arrival = next(self._new, None)
        if arrival is None and not self._ended:
            if not self._map:  # now: between what comes and what is told of it nothing may be asked
                self._map = self._begun()
            self._ended = bool(self._job.ready())  # asked before it is read: nothing is added after the end
            info = self._job.store.glance()
            enough = self._terms.enough(info.done)
            # As long as a map may have enough without what has failed, or has, that is no failure of the map.
            lasting = self._ended and not enough if self._terms.first else final(self._job, ended=self._ended)
            failures = bool(info.failed) and lasting
            # In order, what never ran is passed over where enough was wanted. Else it is the end.
            passes = self._ended and (enough or not self._reading.in_order)
            self._new = self._reading.new(failures=failures, ended=passes)
            arrival = next(self._new, None)
        return arrival

    def _begun(self) -> str:
        info = self._job.store.info()
        if info.terms.discards:
            raise discarded(self._job.store.keys.id)
        self._terms = info.terms
        return self._named(info)

    def _wait(self) -> Arrival | None:
        """The next that comes; None if the map has ended before."""
        if self._ended:
            return None
        watch = self._doubts.begin(for_ever=True)
        with Events(self.connection, self._job.store.keys) as events:
            while (arrival := self._next()) is None and not self._ended:
                events.next(pace=_PACE, on_quiet=watch.look)
        return arrival

    def _told(self, arrival: Arrival) -> tuple[bool, Any]:
        index, failure = arrival.index, arrival.failure
        if failure is None:
            try:
                return True, self._shape(index, results.read(self._read, index, arrival.data))
            except ItemError as error:  # it can't be unpickled here
                add_note(error, f"of {self._map}")
                return (True, self._shape(index, error)) if self._errors == "return" else (False, error)
        if self._errors == "return":
            return True, self._shape(index, failure.exception(self._map))
        return False, failure.to_raise(self._map, (StopIteration,))

    @cached_property
    def _read(self) -> Callable[[bytes, int], Any]:
        return results.reader(self._job.store.place)

    def _end(self) -> tuple[bool, BaseException]:
        """Nothing more comes."""
        how = self._how()
        self._over = True
        return False, how


def check_errors(errors: str) -> None:
    """See that it is one of ``Errors``.

    Raises:
        OptionError: If not.
    """
    if errors not in ("raise", "return"):
        raise OptionError(f'errors must be "raise" or "return", not {errors!r}')


def check_start(start: int) -> int:
    """A position, checked.

    Raises:
        OptionError: If it is none.
    """
    if isinstance(start, bool) or not isinstance(start, int) or not 0 <= start < COUNTABLE:
        raise OptionError(f"start must be a whole number from 0 on, not {start!r}")
    return start


def final(job: Followed, *, ended: bool) -> bool:
    """Whether nothing replaces a failure of this map any more: no retry comes by itself.

    Args:
        job: The map's.
        ended: Whether the map had ended before that which is told was read.
    """
    return ended or not (job.retries_left or _waits_for_another_try(job))


def _waits_for_another_try(job: Followed) -> bool:
    """Whether it was closed, and has not ended: then a retry is what comes next, its own or one by hand."""
    try:
        return job.store.glance().state == "closed"
    except ResultsGoneError:  # the next look at its status says what became of it
        return False
