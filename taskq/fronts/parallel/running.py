"""One ``Parallel`` at work: its session, which begins with the first call, and its large arguments."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError

from taskq.errors import MapCanceledError, MapError, ServerError, TaskqError, TooLargeError, UnsendableError
from taskq.fronts import baggage
from taskq.fronts.asked import Callbacks
from taskq.fronts.awaited import Load
from taskq.fronts.call import Record
from taskq.fronts.outage import Outage
from taskq.fronts.parallel import item
from taskq.fronts.parallel.arguments import Arguments
from taskq.fronts.parallel.batch import Batch, Call, error_of
from taskq.fronts.parallel.resumed import Held, Resumed
from taskq.fronts.place import Place
from taskq.fronts.session import Session
from taskq.fronts.terms import PATIENCE, Terms
from taskq.payload import codec

KIND = "Parallel"


@dataclass(frozen=True)
class Told:
    """What a ``Parallel`` is told, beyond where it runs.

    Args:
        shares: Whether large arguments travel once.
        initializer: As of ``Terms``.
        initargs: As of ``Terms``.
        patience: As of ``Terms``.
        options: As of ``Terms``.
        resume: Name under which what it has run is known to later runs; None: nothing is.
    """

    shares: bool = True
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    patience: float | None = PATIENCE
    options: dict[str, Any] = field(default_factory=dict)
    resume: str | None = None


class Running:
    """Runs the batches of one ``Parallel``, until it is closed.

    Args:
        place: Where; it is closed with it.
        told: What it is told.
    """

    def __init__(self, place: Place, told: Told) -> None:
        self._place, self._told = place, told
        queue = place.queue
        self._arguments = Arguments(
            queue.connection, queue.payload_limit, shares=told.shares, own_workers=queue.own_workers
        )
        self._callbacks = Callbacks("taskq Parallel callbacks")
        self._over = threading.Event()
        self._outage = Outage(place.queue.connection, told.patience, self._over)
        self._resumed: Resumed | None = None
        if told.resume is not None:
            self._resumed = self._outage.through(lambda: Resumed(told.resume, place.queue))
        self._held: dict[str, Held] = {}
        self._session: Session | None = None

    def submit(
        self, calls: list[Call], nested: tuple[Any, Any], callback: Callable[[Batch], object] | None
    ) -> Batch:
        """Have a batch of calls run. Nothing is raised: what goes wrong here is what the batch raises.

        Args:
            calls: Each is an item.
            nested: Backend and number of jobs for a ``Parallel`` in a call.
            callback: Called with the batch when it is over.
        """
        batch, around = Batch(calls, callback, self._callbacks), codec.dumps(nested)
        try:
            if self._resumed is None:
                self._put(batch, calls, around, 0)
            else:
                self._resume(batch, calls, around, self._resumed)
        except Exception as error:  # noqa: BLE001 - what is submitted may raise anything when it is pickled
            batch.fail(error)
        return batch

    def _put(self, batch: Batch, calls: list[Call], around: bytes, first: int, wanted: Sequence[str] = ()) -> None:
        """Put calls that follow one another in a batch into the map."""
        load = Load([(*self._packed(one), around) for one in calls], batch, first, len(calls))
        load.wanted = wanted
        self._opened().submit(load)

    def _resume(self, batch: Batch, calls: list[Call], around: bytes, resumed: Resumed) -> None:
        wanted = resumed.keys(calls)
        missing = self._look(batch, wanted, range(len(calls)), resumed)
        if missing and self._session is None:
            self._packed(calls[missing[0]])  # so that what is large of the first call is announced with the map
            self._opened()  # and what has ended before it was looked at may be in the memo by now
            missing = self._look(batch, wanted, missing, resumed)
        for position in missing:
            if held := self._held.pop(wanted[position], None):
                held.tell(batch, position)
            else:
                self._put(batch, [calls[position]], around, position, [wanted[position]])

    def _look(self, batch: Batch, wanted: list[str], positions: Sequence[int], resumed: Resumed) -> list[int]:
        """Tell the batch what is in the memo; returns the positions of what is not."""
        asked, missing = [wanted[one] for one in positions], []
        found = self._outage.through(lambda: list(resumed.find(asked)))
        for position, (known, value) in zip(positions, found, strict=True):
            if known:
                batch.ended(position, value, None)
            else:
                missing.append(position)
        return missing

    def _packed(self, one: Call) -> tuple[Record, bytes]:
        function, args, kwargs = one
        target = function if baggage.is_plain(function) else item.apply
        passed = args if target is function else (function, *args)
        try:
            sent = self._outage.through(lambda: self._arguments.packed(function, passed, kwargs))
            return baggage.packed(target), sent
        except (ServerError, MapError, RedisError, OSError, TooLargeError):
            raise
        except Exception as error:  # whatever classes of the user's raise when they are pickled
            raise UnsendableError(f"the task to send can't be pickled: {error or type(error).__name__}") from error

    def _opened(self) -> Session:
        if self._session is None:
            terms = self._terms()
            if self._resumed is None:
                self._session = Session(self._place, terms, error_of)
            else:
                resumed = self._resumed
                job, expected, self._held = self._outage.through(lambda: resumed.opened(terms))
                self._session = Session(self._place, terms, error_of, job, expected)
        return self._session

    def _terms(self) -> Terms:
        """Of the session: they name the large arguments that there are so far, for ``item.ready``."""
        told, handles = self._told, self._arguments.handles
        first, initargs = told.initializer, told.initargs
        if handles:
            first, initargs = item.ready, (handles, first, initargs)
        waits = self._resumed is not None  # the end of the program, for what has ended to be on record
        return Terms(KIND, told.resume, told.patience, first, initargs, told.options, at_exit=waits, runs=item.run)

    def close(self) -> None:
        """All has ended."""
        if self._session is None:
            self._place.close()
        else:
            self._session.close()
        self._end(keeps=False)

    def abort(self) -> None:
        """Nobody wants the results any more: what runs is killed; if it can be resumed, only what waits ends."""
        if self._session is None:
            self._place.close()
        else:
            end = self._session.terminate if self._resumed is None else self._session.leave
            end(MapCanceledError("the Parallel has ended early"))
        self._end(keeps=self._resumed is not None)

    def _end(self, *, keeps: bool) -> None:
        self._over.set()
        self._callbacks.close()
        if keeps:  # what runs may be tried again, and wants its arguments then; they expire
            return
        with suppress(RedisError, OSError, TaskqError):  # it expires
            self._arguments.close()
