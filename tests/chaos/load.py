"""Pushes the orders of a schedule, a few at a time, through whatever happens to Redis; and sees them end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from redis.exceptions import RedisError
from rq import Retry
from rq.exceptions import InvalidJobOperation
from rq.job import Dependency

from taskq import Queue
from taskq.errors import DuplicateJobError, MapError, ServerError
from taskq.maps.chunk import Chunk
from taskq.maps.draft import Draft
from taskq.payload.ranges import Range
from tests.chaos import works
from tests.chaos.schedule import Order
from tests.chaos.site import QUEUES

_OUTSTANDING = 9  # jobs that have not ended, at most
_PAUSE = 0.05  # seconds between looks at which have
_RETRIES = 30  # of a plain job whose process is killed
_AWAY = (RedisError, ServerError)  # what a producer hears then
_ENDED = frozenset({b"finished", b"failed", b"stopped", b"canceled"})


@dataclass
class Pushed:
    """A job that was pushed, or (not ``sure``) may have been: its push was not answered."""

    order: Order
    id: str
    at: float  # Unix time
    sure: bool = False
    answered: float = 0.0  # when its last push was
    ended: float = 0.0
    cancelled: bool = False
    labels: list[str] = field(default_factory=list)  # what each map of this id makes its values of

    def __post_init__(self) -> None:
        self.labels.append(self.id)

    @property
    def was_replaced(self) -> bool:
        return len(self.labels) > 1

    @property
    def is_map(self) -> bool:
        return self.order.size > 0


class Load(threading.Thread):
    """Keeps some jobs outstanding until ``stop``; then waits for those that are.

    Args:
        url: Of Redis.
        ledger: The folder for the workers' ledger.
        orders: Without end.
        rollbacks: Whoever has the server go back adds the Unix time since which what was written is gone.
    """

    def __init__(self, url: str, ledger: str, orders: Iterator[Order], rollbacks: Sequence[float] = ()) -> None:
        super().__init__(name="load", daemon=True)
        self.pushed: list[Pushed] = []
        self.abandoned = "abandoned-by-its-producer"
        self.error: BaseException | None = None
        self.enough = threading.Event()
        self.finished = threading.Event()
        self._ledger = ledger
        self._orders = orders
        self._rollbacks = rollbacks
        self._known_rollbacks = 0
        self._queues = {name: Queue(name, url=url) for name in QUEUES}
        self._connection = self._queues["default"].connection

    def run(self) -> None:
        try:
            while not self.enough.is_set():
                if len(self.outstanding) < _OUTSTANDING:
                    self._order(next(self._orders))
                self._look()
                time.sleep(_PAUSE)
            self._abandon()
            while self.outstanding:
                self._look()
                time.sleep(_PAUSE)
        except BaseException as error:  # noqa: BLE001 - for the report: a thread has nobody else to tell
            self.error = error
        finally:
            self.finished.set()

    @property
    def items(self) -> int:
        """How many have ended, of all jobs that nobody has cancelled."""
        return sum(max(1, one.order.size) for one in self.pushed if one.ended and not one.cancelled)

    @property
    def outstanding(self) -> list[Pushed]:
        return [one for one in self.pushed if not one.ended]

    def _order(self, order: Order) -> None:
        """Push until it is answered, each time under a new id: the last one may be there, and be announced."""
        before = self.pushed[-1] if self.pushed else None
        for attempt in range(1_000):
            one = Pushed(order, f"{order.number}-{order.kind}-{attempt}", time.time())
            self.pushed.append(one)
            try:
                self._push(one, before if order.after and before and not before.order.cancel else None)
            except (*_AWAY, MapError):
                time.sleep(_PAUSE)
            else:
                one.sure, one.answered = True, time.time()
                return
        raise AssertionError(f"{order} could not be pushed")

    def _push(self, one: Pushed, before: Pushed | None) -> None:
        order, queue = one.order, self._queues[one.order.queue]
        options: dict[str, Any] = {"job_id": one.id}
        if before and before.sure:
            options["depends_on"] = Dependency(jobs=[before.id], allow_failure=True)
        function = partial(getattr(works, order.kind), self._ledger, one.labels[-1])
        if one.is_map:
            retry = Retry(max=3) if order.kind == "flaky" else None
            queue.map(function, range(order.size), chunksize=order.chunksize, retry=retry, **options)
        else:
            retry = None if order.kind == "broken" else Retry(max=_RETRIES)
            # The audit comes later than RQ's 500 s; and a failed job's record has no end of its own in RQ.
            queue.enqueue(function, 0, retry=retry, result_ttl=86400, failure_ttl=86400, **options)

    def _look(self) -> None:
        """See which have ended; those that were not announced after all have, too."""
        self._forget_what_was_lost()
        waiting = self.outstanding
        try:
            with self._connection.pipeline(transaction=False) as pipe:
                for one in waiting:
                    pipe.hget(f"rq:job:{one.id}", "status")
                statuses = pipe.execute()
            for one, status in zip(waiting, statuses, strict=True):
                if status in _ENDED or (status is None and not one.sure):
                    one.ended = time.time()
                elif one.order.cancel and status == b"started":
                    self._cancel(one)
                elif one.order.replaced and not one.was_replaced and status == b"started":
                    self._replace(one)
        except _AWAY:
            return

    def _forget_what_was_lost(self) -> None:
        """The server came back as it was: what it has answered since, and what had ended since, may be no more."""
        for since in self._rollbacks[self._known_rollbacks :]:
            self._known_rollbacks += 1
            for one in self.pushed:
                if one.answered >= since:
                    one.sure = False
                if one.ended >= since:
                    one.ended = 0.0

    def _replace(self, one: Pushed) -> None:
        """Cancel it and push another map of its id, until that is answered."""
        for attempt in range(1_000):
            one.labels.append(f"{one.id}-again-{attempt}")
            try:
                job = self._queues[one.order.queue].fetch_job(one.id)
                if job is not None:
                    with suppress(InvalidJobOperation):
                        job.cancel()
                self._push(one, None)
            except (*_AWAY, MapError, DuplicateJobError):
                time.sleep(_PAUSE)
            else:
                one.answered = time.time()
                return
        raise AssertionError(f"{one.id} could not be replaced")

    def _cancel(self, one: Pushed) -> None:
        """Cancel until it is answered: a call that hears no reply may have done the first half of it."""
        for _ in range(1_000):
            try:
                job = self._queues[one.order.queue].fetch_job(one.id)
                if job is not None:
                    one.cancelled = True
                    job.cancel()
            except InvalidJobOperation:
                return
            except _AWAY:
                time.sleep(_PAUSE)
            else:
                return
        raise AssertionError(f"{one.id} could not be cancelled")

    def _abandon(self) -> None:
        """What a producer leaves that is killed in mid-map."""
        while True:
            with suppress(*_AWAY):
                draft = Draft(self.abandoned, self._connection)
                draft.begin(b"function", {"name": "abandoned", "limit": 1})
                draft.write([Chunk(Range(0, 1), b"p 0 1 \nx")])
                return
            time.sleep(_PAUSE)
