"""``Queue.imap``: results while the items are still being read, a bounded number of both at any moment.

    iterable ──reader──> a few items ──sender──> open maps ──workers──> results ──caller──> next(...)
                 ^                                                                  |
                 └────────────── waits while too many are not taken ────────────────┘

Results stay on the server as long as their map does. So what is endless is a row of open maps, of some thousand
items each, and a map is deleted when its results are taken.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from redis.exceptions import RedisError
from rq.exceptions import InvalidJobOperation

from taskq.errors import PayloadError, TaskqError
from taskq.maps.arrivals import Arrival, Arrivals
from taskq.maps.doubts import Doubts
from taskq.maps.open_map import OpenMap
from taskq.maps.proof import prove
from taskq.maps.waiting import Events
from taskq.payload.results import value_of
from taskq.redis.patience import clear_errors

R = TypeVar("R")

ITEMS = 4000  # of one map, before the next one is opened; or four times the buffer, if that is more
_FIRST = 2  # items for each core: one to begin with, and one behind it
_PACE = 0.002  # seconds to let pass after a commit, so that there are fewer looks


class Lazy(Iterator[R]):
    """An iterator over the results; a context manager, too, which ends it.

    Args:
        flow: What it is the end of, also when it is collected as garbage.
        connection: Anything redis-py compatible.
    """

    def __init__(self, flow: Flow, connection: Any) -> None:
        self._flow = flow  # threads know that, and not this: so it can be garbage while they run
        self.connection = connection

    def __next__(self) -> R:
        there, value = self._take()
        if not there:
            raise value
        return cast("R", value)

    @clear_errors
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


class Flow:
    """Items on their way out, results on their way in.

    Args:
        opens: Makes the next open map.
        iterable: Read in a thread of its own.
        buffersize: Items that may have been read, and whose results are not taken yet.
        in_order: Of the items; else as completed.
    """

    def __init__(
        self, opens: Callable[[], OpenMap], iterable: Iterable[Any], buffersize: int, *, in_order: bool
    ) -> None:
        self._opens, self._buffersize, self._in_order = opens, buffersize, in_order
        self._change = threading.Condition()  # of all that follows
        self._items: list[Any] = []  # read, and not sent
        self._read = self._taken = 0
        self._alone = 0  # items that were sent each by itself
        self._whole = False  # all were read
        self._sent = False  # and sent
        self._stopped = False
        self._error: BaseException | None = None  # to be raised after the results of what came before
        self._trouble: BaseException | None = None  # to be raised at once
        self._maps: deque[OpenMap] = deque()
        self._ready: deque[Arrival] = deque()  # results of the first of them
        self._reading: Iterator[list[Arrival]] | None = None
        for run, what in ((lambda: self._read_all(iterable), "reads"), (self._send_all, "sends")):
            threading.Thread(target=run, name=f"taskq imap {what}", daemon=True).start()

    # -- in threads --------------------------------------------------------------------------------------

    def _read_all(self, iterable: Iterable[Any]) -> None:
        try:
            for item in iterable:
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
            while self._send_some():
                pass
        except PayloadError as error:
            with self._change:
                self._error, self._whole, self._stopped = error, True, True  # the reader need not go on
                self._change.notify_all()
            with suppress(TaskqError, RedisError):
                self._maps[-1].seal()
        except BaseException as error:  # noqa: BLE001 - as above
            with self._change:
                self._trouble = None if self._stopped else error  # else it is what ``close`` has done
        with self._change:
            self._sent = True
            self._change.notify_all()

    def _send_some(self) -> bool:
        """Feed one map, as much as goes into one; whether there may be more."""
        if not (items := self._next_items()):
            return False
        job = self._opens()
        with self._change:
            self._maps.append(job)
            stopped = self._stopped
            self._change.notify_all()
        if stopped:
            _remove(job)
            return False
        sent = 0
        while items:
            self._put(job, items)
            sent += len(items)
            items = self._next_items() if sent < max(ITEMS, 4 * self._buffersize) else []
        job.seal()
        return True

    def _put(self, job: OpenMap, items: list[Any]) -> None:
        """Add items; the very first ones each by itself, if taskq picks the size of chunks.

        The first result is there when one item has ended, then, and not when a chunk has.
        """
        few = min(len(items), _FIRST * job.feed.cores - self._alone) if job.feed.picks_size else 0
        if few > 0:
            job.feed.put(items[:few], 1)
            self._alone += few
            items = items[few:]
        if items:
            job.put_many(items)

    def _next_items(self) -> list[Any]:
        """All that was read meanwhile, at least one; none, if no more will come."""
        with self._change:
            self._change.wait_for(lambda: self._items or self._whole or self._stopped)
            items, self._items = self._items, []
            return [] if self._stopped else items

    # -- for the caller ------------------------------------------------------------------------------------

    def take(self) -> tuple[bool, Any]:
        """The next result, once it is there; or what its item has raised, or the iterable, or StopIteration."""
        while not self._ready:
            if self._trouble is not None:
                self._fail(self._trouble)
            if self._reading is None and not self._begin():
                error, self._error = self._error, None
                return False, StopIteration() if error is None else error
            arrivals = next(self._reading or iter(()), None)
            if arrivals is None:
                self._reading = None
            else:
                self._ready.extend(arrivals)
        arrival = self._ready.popleft()
        with self._change:
            self._taken += 1
            self._change.notify_all()
        job = self._maps[0]
        if arrival.failure is not None:
            return False, arrival.failure.to_raise(f"the map {job.id}", (StopIteration,))
        return True, value_of(job.store.place, arrival.index, arrival.data)

    def _begin(self) -> bool:
        """Begin with the next map; False if there is none, and nothing is wrong."""
        with self._change:
            self._change.wait_for(lambda: self._maps or self._sent or self._trouble)
        if self._maps:
            self._reading = self._results_of(self._maps[0])
        return bool(self._maps) or self._trouble is not None

    def _results_of(self, job: OpenMap) -> Iterator[list[Arrival]]:
        reading, doubts = Arrivals(job.store, in_order=self._in_order), Doubts(job)
        with Events(job.connection, job.store.keys) as events:
            while True:
                ended = job.ready()  # asked before reading: nothing is added after the end
                failures = bool(job.store.glance().failed)
                if arrivals := list(reading.new(failures=failures, ended=ended)):
                    yield arrivals
                elif ended:
                    break
                elif self._trouble is None:
                    events.next(pace=_PACE, on_quiet=doubts.look)
                else:
                    return
        info = job.store.info()
        if not info.complete:
            self._fail(job.early_end(info))
        reading.check()
        prove(job.store)
        self._maps.popleft()
        _remove(job)

    def _fail(self, error: BaseException) -> None:
        self.close()
        raise error

    def close(self) -> None:
        """As ``Lazy.close``."""
        with self._change:
            self._stopped = self._sent = True
            self._error, self._trouble = None, None
            self._items, maps = [], list(self._maps)
            self._maps.clear()
            self._ready.clear()
            self._change.notify_all()
        self._reading = None
        for job in maps:
            _remove(job)


def _remove(job: OpenMap) -> None:
    with suppress(InvalidJobOperation, TaskqError):
        if not job.ready():
            job.cancel()
    with suppress(InvalidJobOperation, TaskqError):
        job.give_up()
        job.delete()
