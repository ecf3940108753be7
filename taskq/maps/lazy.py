"""``Queue.imap``: results while the items are still being read, a bounded number of both at any moment.

    iterable ──reader──> a few items ──sender──> open maps ──workers──> results ──caller──> next(...)
                 ^                                                                  |
                 └────────────── waits while too many are not taken ────────────────┘

Results stay on the server as long as their map does. So what is endless is a row of open maps, of some thousand
items each, and a map is deleted when its results are taken.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from rq.exceptions import InvalidJobOperation

from taskq.errors import MapError, NestedWaitError, PayloadError, ServerError, TaskqError
from taskq.maps.arrivals import Arrival, Arrivals
from taskq.maps.doubts import Doubts
from taskq.maps.job import MapJob
from taskq.maps.open_map import OpenMap
from taskq.maps.outage import rides_out, through_outages
from taskq.maps.proof import prove
from taskq.maps.settled import settled
from taskq.maps.turn import Turn
from taskq.maps.waiting import Events
from taskq.payload.results import value_of
from taskq.redis.patience import clear_errors

R = TypeVar("R")
T = TypeVar("T")

ITEMS = 4000  # of one map, before the next one is opened; or four times the buffer, if that is more
_FIRST = 2  # items for each core: one to begin with, and one behind it
_PACE = 0.002  # seconds to let pass after a commit, so that there are fewer looks


class Lazy(Iterator[R]):
    """An iterator over the results; a context manager, too, which ends it. Several threads may share it.

    Args:
        flow: What it is the end of, also when it is collected as garbage.
        connection: Anything redis-py compatible.
    """

    def __init__(self, flow: Flow, connection: Any) -> None:
        self._flow = flow  # threads know that, and not this: so it can be garbage while they run
        self._turn = Turn()  # several threads may take what comes, each something else
        self.connection = connection

    def __next__(self) -> R:
        with self._turn:
            there, value = self._take()
        if not there:
            raise value
        return cast("R", value)

    @clear_errors
    @rides_out
    def _take(self) -> tuple[bool, Any]:
        """A result; or what to raise: an error of the user's may look like one of the server's, and is none."""
        return self._flow.take()

    @clear_errors
    def close(self) -> None:
        """Read nothing more, cancel what runs, and delete all there is of it."""
        self._flow.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(Exception):  # the interpreter may be ending, or the server be away: then its lease ends
            self._flow.close()


class _FailedError(Exception):
    """Nothing more comes. What says why may look like something after which it goes on.

    Args:
        error: Says why.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class Flow:
    """Items on their way out, results on their way in.

    Args:
        opens: Makes the next open map.
        connection: Its server's.
        iterable: Read in a thread of its own.
        buffersize: Items that may have been read, and whose results are not taken yet.
        in_order: Of the items; else as completed.
    """

    def __init__(
        self, opens: Callable[[], OpenMap], connection: Any, iterable: Iterable[Any], buffersize: int, *,
        in_order: bool,
    ) -> None:  # fmt: skip
        self._opens, self._connection = opens, connection
        self._buffersize, self._in_order = buffersize, in_order
        self._change = threading.Condition()  # of all that follows
        self._items: list[Any] = []  # read, and not sent
        self._read = self._taken = 0
        self._alone = _FIRST  # items for each core that the next map gets each by itself
        self._whole = False  # all were read
        self._sent = False  # and sent
        self._stopped = self._closed = False
        self._error: BaseException | None = None  # to be raised after the results of what came before
        self._trouble: BaseException | None = None  # to be raised at once
        self._maps: deque[OpenMap] = deque()
        # Of the first of them; kept from one call to the next, so that what ends a call loses and repeats nothing.
        self._reading: Arrivals | None = None  # knows what was told
        self._doubts: Doubts | None = None
        self._new: Iterator[Arrival] = iter(())  # what has come; when an error has ended it, another one goes on
        self._ended = False  # there is no more
        self._own = os.getpid()
        for run, what in ((lambda: self._read_all(iterable), "reads"), (self._send_all, "sends")):
            threading.Thread(target=run, name=f"taskq imap {what}", daemon=True).start()

    def _check_process(self) -> None:
        if os.getpid() != self._own:
            raise MapError("results of imap are taken by the process that has called it, and not by a fork")

    # -- in threads --------------------------------------------------------------------------------------

    def _read_all(self, iterable: Iterable[Any]) -> None:
        try:
            for item in settled(iterable):
                with self._change:
                    self._items.append(item)
                    self._read += 1
                    self._change.notify_all()
                    self._change.wait_for(lambda: self._stopped or self._read - self._taken < self._buffersize)
                    if self._stopped:
                        return
        except BaseException as error:  # noqa: BLE001 - raised again where the results are taken
            self._error = error
        with self._change:
            self._whole = True
            self._change.notify_all()

    def _send_all(self) -> None:
        try:
            with self._ends_at_what_cannot_be_sent():
                while self._send_some():
                    pass
        except BaseException as error:  # noqa: BLE001 - as above
            with self._change:
                self._trouble = None if self._closed else error  # else it is what ``close`` has done
        with self._change:
            self._sent = True
            self._change.notify_all()

    @contextmanager
    def _ends_at_what_cannot_be_sent(self) -> Iterator[None]:
        try:
            yield
        except PayloadError as error:
            with self._change:
                self._error, self._whole, self._stopped = error, True, True  # the reader need not go on
                self._change.notify_all()
            self._riding_out(self._maps[-1].seal)

    def _send_some(self) -> bool:
        """Feed one map, as much as goes into one; whether there may be more."""
        if not (items := self._next_items()):
            return False
        job = self._riding_out(self._opens)
        with self._change:
            self._maps.append(job)
            stopped = self._stopped
            self._change.notify_all()
        if stopped:
            remove(job)
            return False
        alone, self._alone = self._alone * job.feed.cores, 0
        sent = 0
        while items:
            sent += len(items)
            self._riding_out(partial(_put, job, items, sent, alone))
            items = self._next_items() if sent < max(ITEMS, 4 * self._buffersize) else []
        self._riding_out(job.seal)
        return True

    def _riding_out(self, act: Callable[[], T]) -> T:
        return through_outages(self._connection, None, lambda _left: act())

    def _next_items(self) -> list[Any]:
        """All that was read meanwhile, at least one; none, if no more will come."""
        with self._change:
            self._change.wait_for(lambda: self._items or self._whole or self._stopped)
            items, self._items = self._items, []
            return [] if self._stopped else items

    # -- for the caller ------------------------------------------------------------------------------------

    def take(self) -> tuple[bool, Any]:
        """The next result, once it is there; or what its item has raised, or the iterable, or StopIteration.

        It may be called again after whatever it has raised, Ctrl-C too: what was told is not told twice.
        """
        self._check_process()
        try:
            while (job := self._current()) is not None:
                if (arrival := self._next(job) or self._wait(job)) is not None:
                    return self._told(job, arrival)
                self._leave(job)
        except (_FailedError, TaskqError) as failed:
            if self._closed:  # meanwhile, by another thread
                return False, StopIteration()
            if isinstance(failed, ServerError | NestedWaitError):
                raise  # and the next call goes on
            self.close()
            return False, failed.error if isinstance(failed, _FailedError) else failed
        error, self._error = self._error, None
        return False, StopIteration() if error is None else error

    def _told(self, job: OpenMap, arrival: Arrival) -> tuple[bool, Any]:
        with self._change:
            self._taken += 1
            self._change.notify_all()
        if arrival.failure is not None:
            return False, arrival.failure.to_raise(f"the map {job.id}", (StopIteration,))
        try:
            return True, value_of(job.store.place, arrival.index, arrival.data)
        except TaskqError as error:
            return False, error

    def _current(self) -> OpenMap | None:
        """The map whose results are to be taken; None if there is none, and none will come."""
        with self._change:
            self._change.wait_for(lambda: self._maps or self._sent or self._trouble)
        if self._trouble is not None:
            raise _FailedError(self._trouble)
        return self._maps[0] if self._maps else None

    def _next(self, job: OpenMap) -> Arrival | None:
        """The next of what has come of this map; None: nothing has."""
        arrival = next(self._new, None)
        if arrival is None and not self._ended:
            if self._reading is None:
                self._reading, self._doubts = Arrivals(job.store, in_order=self._in_order), Doubts(job)
            ended = job.ready()  # asked before reading: nothing is added after the end
            failures = bool(job.store.glance().failed)
            # Of one that ended early (``max_failures``) nothing is passed over, as by ``in_order``.
            whole = ended and (not self._in_order or job.store.info().complete)
            self._new = self._reading.new(failures=failures, ended=whole)
            arrival = next(self._new, None)
            self._ended = ended and arrival is None
        return arrival

    def _wait(self, job: OpenMap) -> Arrival | None:
        """The next that comes; None if the map has ended before."""
        if self._ended:
            return None
        assert self._doubts is not None
        watch = self._doubts.begin()
        with Events(job.connection, job.store.keys) as events:
            while (arrival := self._next(job)) is None and not self._ended:
                if self._trouble is not None:
                    raise _FailedError(self._trouble)
                events.next(pace=_PACE, on_quiet=watch.look)
        return arrival

    def _leave(self, job: OpenMap) -> None:
        """All of this map was taken: see that it was all, or go on with it, and have nothing left of it."""
        if self._reading is not None:
            info = job.store.info()
            if not info.complete:
                raise _FailedError(job.early_end(info))
            if not self._reading.check():
                self._ended = False
                return
            prove(job.store)
            self._reading = None  # what follows may be done again
        remove(job)
        with self._change:
            if not self._closed:
                self._maps.popleft()
        self._new, self._ended = iter(()), False

    def close(self) -> None:
        """As ``Lazy.close``; of a fork nothing is closed, for it is not its own."""
        if os.getpid() != self._own:
            return
        with self._change:
            self._stopped = self._closed = self._sent = True
            self._error, self._trouble = None, None
            self._items, maps = [], list(self._maps)
            self._maps.clear()
            self._change.notify_all()
        self._reading, self._new, self._ended = None, iter(()), False
        for job in maps:
            remove(job)


def _put(job: OpenMap, items: list[Any], until: int, alone: int) -> None:
    """Put what the map has not accepted of these, which are to be its last ones up to so many.

    If taskq picks the size of chunks, so many of the map's first items are put each by itself: the first result is
    there when one item has ended, then, and not when a chunk has.
    """
    left = items[len(items) - (until - job.accepted) :]
    few = min(len(left), alone - job.accepted) if job.feed.picks_size else 0
    if few > 0:
        job.feed.put(left[:few], 1)
        left = left[few:]
    job.put_many(left) if left else job.feed.flush()


def remove(job: MapJob[Any]) -> None:
    """Have nothing left of a map; one that has not ended is cancelled, with what runs of it."""
    with suppress(InvalidJobOperation, TaskqError):
        if not job.ready():
            job.cancel(kill=True)
    with suppress(InvalidJobOperation, TaskqError):
        if isinstance(job, OpenMap):
            job.give_up()
        job.delete()
