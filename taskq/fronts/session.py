"""One session of a front: an open map, a thread that sends what is submitted, a thread that reads what has ended.

submit ──> Outbox ──put──> map ──events──> reader ──> Returns ──> tickets (futures, a pool's results)
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from redis.exceptions import RedisError
from rq.exceptions import InvalidJobOperation

from taskq.errors import BrokenFrontError, MapCanceledError, MapError, OptionError, TaskqError
from taskq.fronts.awaited import Awaited, Load, Ticket
from taskq.fronts.outage import Outage
from taskq.fronts.outbox import Outbox
from taskq.fronts.place import Place
from taskq.fronts.returns import Returns
from taskq.fronts.terms import Terms
from taskq.maps.arrivals import Arrival
from taskq.maps.doubts import Doubts
from taskq.maps.open_map import OpenMap
from taskq.maps.waiting import Events
from taskq.payload import results
from taskq.payload.outcome import ItemFailure

log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds between two looks at whether anybody has begun what is left, at a shutdown

_live: weakref.WeakSet[Session] = weakref.WeakSet()


class Session:
    """Runs calls on one open map.

    Args:
        place: Where; it is closed with the session.
        terms: What it is told.
        error_of: Makes of a failure what is raised for it.
        job: Its map, if that is open already.
        expected: Tickets of items that this map has already, by their index.

    Raises:
        OptionError, PickleError, DuplicateJobError, ServerError, VersionError: As ``Queue.open_map``.
    """

    def __init__(
        self, place: Place, terms: Terms, error_of: Callable[[ItemFailure, str], BaseException],
        job: OpenMap[Any] | None = None, expected: Mapping[int, Ticket] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.place, self.terms, self._error_of = place, terms, error_of
        terms.check_patience()
        self.job: OpenMap[Any] = job if job is not None else terms.opened(place)
        self.pid = os.getpid()
        self._over = threading.Event()  # nothing is waited for any more
        self.ended = threading.Event()
        self.broken: BrokenFrontError | None = None
        self._terminated: BaseException | None = None
        self.awaited = Awaited()
        for index, ticket in expected.items():
            self.awaited.expect(index, ticket)
        self._returns = Returns(self.job.store)
        self._doubts = Doubts(self.job)
        self._outage = Outage(self.job.connection, terms.patience, self._over)
        self.outbox = Outbox(self.job.feed, self.awaited, self._outage, self._break, self._seal)
        self._dropped: Callable[[Any, int], None] | None = None  # told of what nobody has begun
        self._rest = False  # there is something that will not run
        _live.add(self)
        self.outbox.begin(f"taskq {terms.kind} sends")
        self._reader = threading.Thread(target=self._run, name=f"taskq {terms.kind} reads", daemon=True)
        self._reader.start()

    # -- for the front -------------------------------------------------------------------------------------

    def submit(self, load: Load) -> None:
        """Have these items run.

        Raises:
            BrokenFrontError: If it can do no more.
            MapCanceledError: If it was terminated.
            RuntimeError: In a fork of the process that has made it.
        """
        self.check()
        self.outbox.add(load)
        if why := self.broken or self._terminated:  # maybe since a moment ago, when those who waited were told
            self._withdraw_all(why)
            self._tell_all(why)

    def check(self) -> None:
        """See that it can run something; raises as ``submit``."""
        if self._is_fork():
            raise RuntimeError(
                f"this {self.terms.kind} belongs to the process that has made it, and not to a fork"
            )
        if self.broken:
            raise BrokenFrontError(str(self.broken)) from self.broken
        if self._terminated:
            raise MapCanceledError(str(self._terminated)) from self._terminated

    def _is_fork(self) -> bool:
        """Whether this process is a fork of the one that has made it, whose it stays."""
        return os.getpid() != self.pid

    def close(self, *, at_once: bool = False) -> None:
        """Nothing more is submitted: it ends when all has ended.

        Args:
            at_once: Also of what is submitted in the background, as the items of ``imap`` are.
        """
        if not self._is_fork():
            self.outbox.close(at_once=at_once)

    def wait(self) -> None:
        """Until it has ended; not at all in a fork, which has none of its threads."""
        if not self._is_fork():
            self.ended.wait()

    def withdraw(self, load: Load) -> bool:
        """Cancel a load of one item; whether that was done, and nobody has begun it.

        Raises:
            ServerError: If the server is away.
        """
        if self.outbox.withdraw(load):
            return True
        index = load.index
        if index is None or not self._cancel_item(index):
            return False
        self.awaited.take(index)
        self.awaited.some.set()
        return True

    def _cancel_item(self, index: int) -> bool:
        try:
            return self.job.cancel_item(index)
        except OptionError:  # the server that came back as it was, and has not been told of it again
            return False

    def begun(self, load: Load) -> bool:
        """Whether a worker holds, or has held, the only item of this load, as the server says now."""
        if load.index is None:
            return False
        held = self.job.connection.hexists(self.job.store.keys.claims, f"{load.index}:1")
        return bool(held)

    def drop(self, dropped: Callable[[Any, int], None]) -> None:
        """Close it, and cancel all that nobody has begun.

        Args:
            dropped: Told of each such item: its ticket, and the position there.
        """
        if self._is_fork():
            return
        for load in self.outbox.withdraw_all():
            self._rest = True
            for position in range(len(load.items)):
                dropped(load.ticket, load.first + position)
        self._dropped = dropped
        self.close(at_once=True)
        with suppress(MapError):  # it has ended
            self._outage.through(self.job.pause)  # of which the reader hears
        self.awaited.some.set()

    def terminate(self, error: BaseException) -> None:
        """End it at once; what runs is killed, and all who wait get this error."""
        if self._is_fork():
            return
        self._terminated = error
        self._over.set()
        self._withdraw_all(error)
        self.close(at_once=True)
        self.awaited.some.set()
        with suppress(InvalidJobOperation, TaskqError, RedisError, OSError):  # its lease ends, if it can't be said
            self.job.cancel(kill=True)
        self._tell_all(error)

    def leave(self, error: BaseException) -> None:
        """End it without what nobody has begun; what runs goes on, and all who wait get this error.

        Its map has a name, and ends by itself when that has ended.
        """
        if self._is_fork():
            return
        self._terminated = error
        self._withdraw_all(error)
        with suppress(TaskqError, RedisError, OSError):  # its lease ends, and what was put runs
            for index in self.awaited.indexes():
                self.job.cancel_item(index)
            self.job.seal()
        self._over.set()
        self.close(at_once=True)
        self.awaited.some.set()
        self._tell_all(error)

    # -- in the reader's thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._outage.through(self._listen)
            self._finish()
        except BaseException as error:  # noqa: BLE001 - all who wait are told
            self._break(error)
        finally:
            with suppress(Exception):  # a server that is away: the lease of the map's producer ends
                self._remove()
            self.job.give_up()
            try:
                self.place.close()
            finally:
                self.ended.set()

    def _listen(self) -> None:
        looked = False  # since the last message
        added = 0  # as last seen
        with Events(self.job.connection, self.job.store.keys) as events:
            while not self._over.is_set():
                if not self.awaited:
                    events.rest()
                    if self.outbox.ended:
                        return
                    self.awaited.some.wait()
                    self.awaited.some.clear()
                    continue
                if self._dropped is not None:
                    self._drop_pending(self._dropped)
                elif not looked:  # what was submitted since has not ended before there is a message
                    self._look()
                looked = True
                if self.awaited:
                    if added != self.awaited.added:
                        added = self.awaited.added
                        events.renew()
                    events.next(look_again=_LOOK, on_quiet=self._doubt)
                    looked = False

    def _doubt(self) -> None:
        """Nothing was heard: a server that came back as it was before may have others in the places of results.

        Then fewer items are unfinished there than are waited for here, and all is read again.
        """
        if self._returns.items == self.job.accepted and self._returns.unfinished < len(self.awaited):
            self._returns.again()
        self._doubts.look()

    def _look(self) -> None:
        for returned in self._returns.new(self.awaited.indexes):
            self._tell(returned)
        if not self._returns.open and self.awaited and not self._over.is_set():
            info = self.job.store.info()
            if info.state != "open" and not info.complete and self.job.ready():  # and so its reason is on record
                raise self.job.early_end(info)

    def _tell(self, returned: Arrival) -> None:
        if found := self.awaited.take(returned.index):
            ticket, position = found
            ticket.ended(position, *self._outcome(returned))

    def _outcome(self, returned: Arrival) -> tuple[Any, BaseException | None]:
        if returned.failure is not None:
            return None, self._error_of(returned.failure, f"the {self.terms.kind} {self.job.id}")
        try:
            return results.value_of(self.job.store.place, returned.index, returned.data), None
        except TaskqError as error:
            return None, error

    def _drop_pending(self, dropped: Callable[[Any, int], None]) -> None:
        """The map is paused: what neither is held by a worker nor has ended never runs, and who waits is told."""
        waited = self.awaited.indexes()
        held = [claim.range for claim in self.job.store.claims()]
        self._look()
        for index in waited:
            if not any(one.start <= index < one.end for one in held) and (found := self.awaited.take(index)):
                self._rest = True
                dropped(*found)

    # -- the end -------------------------------------------------------------------------------------------

    def _seal(self) -> None:
        """All was sent: a map that has a name ends by itself from now on, whatever becomes of this program."""
        if self.terms.name and not self._over.is_set() and self._dropped is None:
            self.job.seal()

    def _finish(self) -> None:
        if not self.terms.name or self._over.is_set() or self._rest:
            return
        if self._dropped is not None:  # and there was nothing to drop
            self._outage.through(self.job.resume)
            self._outage.through(self.job.seal)
        self.job.wait()

    def _remove(self) -> None:
        """Nothing is left of a map without a name; one that was to drop what was left is cancelled."""
        if self.terms.name and not self._rest:
            return
        with suppress(InvalidJobOperation, TaskqError):
            if not self.job.ready():
                self.job.cancel()
        if not self.terms.name:
            with suppress(InvalidJobOperation, TaskqError):
                self.job.delete()

    def _break(self, error: BaseException) -> None:
        """It can do no more: all who wait are told why."""
        if self._over.is_set():
            return
        reason = BrokenFrontError(f"the {self.terms.kind} {self.job.id} can do no more: {error}")
        reason.__cause__ = error
        self.broken = reason
        self._over.set()
        self.close(at_once=True)
        self._withdraw_all(reason)
        self._tell_all(reason)
        self.awaited.some.set()

    def _withdraw_all(self, error: BaseException) -> None:
        """What was not sent is not; who waits for it gets this error."""
        for load in self.outbox.withdraw_all():
            for position in range(len(load.items)):
                load.ticket.ended(load.first + position, None, error)

    def _tell_all(self, error: BaseException) -> None:
        for ticket, position in self.awaited.take_all():
            ticket.ended(position, None, error)


@atexit.register
def _at_exit() -> None:
    """As for the executors of ``concurrent.futures``, the program waits for what was submitted."""
    sessions = [session for session in _live if session.pid == os.getpid()]
    for session in sessions:
        if session.terms.at_exit or session.ended.is_set():
            session.close(at_once=True)
        else:
            session.terminate(MapCanceledError("the program has ended"))
    for session in sessions:
        session.ended.wait()
