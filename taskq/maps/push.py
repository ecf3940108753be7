"""A map that is about to be pushed: its id is taken, then all that is told of it becomes visible at once (I5)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

from redis.exceptions import RedisError, WatchError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import JobStatus

from taskq.errors import DuplicateJobError, ReplacedError
from taskq.maps import existing, shared
from taskq.maps.controlled import ENDED
from taskq.maps.draft import Draft
from taskq.maps.job import MapJob
from taskq.maps.options import MapOptions, MapQueue
from taskq.maps.store import MapStore, function_codec
from taskq.maps.terms import Terms
from taskq.maps.terms import read as terms_of
from taskq.payload import large, signing
from taskq.payload.function import Function
from taskq.payload.prepared import PreparedFunction
from taskq.redis import schema, services
from taskq.redis.keys import WRITING_TTL, MapField
from taskq.redis.once import Receipt

J = TypeVar("J", bound=MapJob[Any])

_TERMS = (MapField.TERMS, MapField.MAX_RUNNING, MapField.RATE)
"""Fields of a map that a service must know."""

_written: deque[bytes] = deque(maxlen=1000)
"""Incarnations that this process has written, or has begun to: by nobody are they being written any more.

A server that came back as it was before says that they are, and so does one that was away when one was given up.
"""


@dataclass(frozen=True)
class Push(Generic[J]):
    """One map, and how it is to be run.

    Args:
        queue: Where.
        job: Its RQ job, of which nothing is in Redis yet.
        function: To be called, in the form in which it travels.
        chunksize: As the user has said.
        options: As the user has said.
        star: Whether an item is a tuple of arguments.
    """

    queue: MapQueue
    job: J
    function: Function
    chunksize: int | None
    options: MapOptions
    star: bool

    @property
    def cores(self) -> int:
        """That are there for the queue's maps."""
        return services.cores(self.queue.connection, self.queue.name) or own_cores()

    def terms(self, named: Terms) -> Terms:
        """What it is told, in its options and beside."""
        first = self.function.initializer.name if isinstance(self.function, PreparedFunction) else ""
        return self.options.terms(named, first)

    def fields(self, terms: Terms, context: str | None) -> dict[str, Any]:
        """Of its hash, those that maps of all kinds have; ``context``: of the trace, if there is one."""
        options = self.options
        fields = {
            MapField.NAME: self.function.name,
            MapField.STAR: int(self.star),
            MapField.LIMIT: self.queue.payload_limit,
            MapField.ADAPT: int(self.chunksize is None),
        }
        if told := terms.to_json():
            fields[MapField.TERMS] = told
        if options.item_retry is not None:
            fields[MapField.RETRIES] = 1
        if options.speculate:
            fields[MapField.SPECULATE] = 1
        if options.caps.max_running:
            fields[MapField.MAX_RUNNING] = options.caps.max_running
        if options.caps.rate:
            fields[MapField.RATE] = options.caps.rate
        if options.item_timeout is not None:
            fields[MapField.ITEM_TIMEOUT] = float(options.item_timeout)
        if float(options.weight) != 1:
            fields[MapField.WEIGHT] = float(options.weight)
        if context:
            fields[MapField.TRACE] = context
        return fields

    @contextmanager
    def reserved(self, fields: dict[str, Any]) -> Iterator[Draft]:
        """A draft whose id is ours; what was not announced when the block ends is abandoned."""
        draft = Draft(self.job.id, self.queue.connection)
        pickled = function_codec(draft.keys, star=self.star).dumps(self.function)
        try:
            _reserve(self.job, draft, pickled, fields)
            self.job.incarnation = draft.keys.incarnation
            for blob in self.function.blobs:
                draft.keep(blob)
            yield draft
        except BaseException:  # also Ctrl-C while a generator runs: nothing half-written stays
            with suppress(
                RedisError
            ):  # without a server, it stays for WRITING_TTL, or until this process comes again
                draft.abandon()
            raise
        finally:
            _written.append(draft.keys.incarnation.encode())

    def announce(
        self,
        draft: Draft,
        fields: dict[str, Any],
        *,
        sealed: bool = True,
        beside: Callable[[Any], None] | None = None,
    ) -> None:
        """Announce it; ``beside`` queues what belongs to the same transaction.

        Raises:
            ServerError: It is announced, but ``Queue(min_replicas=...)`` replicas do not have it in time.
        """
        receipt = self._announce(draft, fields, sealed=sealed, beside=beside)
        if self.queue.is_async:
            self.queue.replicas.follow(self.queue.connection, receipt, f"the map {self.job.id}")

    def _announce(
        self, draft: Draft, fields: dict[str, Any], *, sealed: bool, beside: Callable[[Any], None] | None
    ) -> Receipt | None:
        """As ``announce``; its receipt, None if that is not there any more."""
        queue, job, options = self.queue, self.job, self.options
        receipt = Receipt()
        with queue.connection.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(job.key, draft.keys.hash)
                    if receipt.is_there(pipe):
                        return receipt  # and only the reply was lost
                    if draft.is_announced(pipe):
                        return None
                    if options.unique and pipe.exists(job.key):
                        raise DuplicateJobError(f"a job with the id {job.id!r} exists")
                    if not queue.is_async:
                        pipe.multi()
                        draft.announce(pipe, fields, job.ttl, sealed=sealed)
                        if beside:
                            beside(pipe)
                        pipe.execute()
                        queue.enqueue_job(job)
                        return None
                    queue.enqueue_job(job, pipeline=pipe, at_front=options.at_front)
                    draft.announce(pipe, fields, job.ttl, sealed=sealed)
                    if beside:
                        beside(pipe)
                    receipt.write(pipe)
                    pipe.execute()
                except WatchError:  # a job that this one depends on has just changed, or no reply came: look again
                    job._status = JobStatus.QUEUED  # noqa: SLF001 - as RQ's own retry loop does
                else:
                    return receipt


def tell_terms(job: MapJob, draft: Draft, fields: dict[str, Any]) -> None:
    """Say in the map's terms which large objects it refers to, and keep away who does not know terms.

    Raises:
        ResultsGoneError: If one that maps share is gone.
    """
    used = large.noted()
    if blobs := [*draft.kept, *used]:
        shared.renew(job.connection, used)
        terms = terms_of(str(fields.get(MapField.TERMS, "")))
        fields[MapField.TERMS] = replace(terms, blobs=" ".join(map(str, blobs))).to_json()
    # Where the weight is signed, services of schema 5 would find a signature that is none.
    if not fields.keys().isdisjoint(_TERMS) or (MapField.WEIGHT in fields and signing.keyring()):
        job.schema = schema.TERMS


def is_mine(incarnation: bytes) -> bool:
    """Whether this process has written, or has begun to write, the map of this incarnation."""
    return incarnation in _written


def own_cores() -> int:
    """What to reckon with while no worker is registered: this machine's cores."""
    return os.cpu_count() or 1


def _reserve(job: MapJob, draft: Draft, function: bytes, fields: dict[str, Any]) -> None:
    """Make the id ours. A map that ended may be replaced, as RQ replaces a job with the same id."""
    if draft.begin(function, fields):
        return
    there: list[Any] = job.connection.hmget(draft.keys.hash, MapField.INCARNATION, MapField.STATE)
    incarnation, state = there
    status = job.status_there(job.connection.hget(job.key, "status"))  # last: job and map are announced together
    if status is None and (state != b"writing" or incarnation in _written):
        if incarnation:  # an RQ tool has deleted the job, and knows nothing of our keys; or see ``_written``
            MapStore(job.id, job.connection, incarnation=incarnation.decode("ascii", "replace")).expire(
                0, alone=True
            )
        if draft.begin(function, fields):
            return
    elif (
        status is None and existing.has_died(job.id, incarnation, job.connection) and draft.begin(function, fields)
    ):
        return
    if status not in ENDED:
        by_another = f"being written by another producer, or was in the last {WRITING_TTL} s"
        doing = status.value if status else by_another
        raise DuplicateJobError(f"a map with the id {job.id!r} exists and is {doing}; fetch it, or use another id")
    with suppress(NoSuchJobError, InvalidJobOperation, ReplacedError):  # another producer was quicker
        cast("MapJob", MapJob.fetch(job.id, connection=job.connection, serializer=job.serializer)).make_way()
    if not draft.begin(function, fields):
        raise DuplicateJobError(f"another producer has just pushed a map with the id {job.id!r}")
