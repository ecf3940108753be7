"""Writes a map into Redis: items chunk by chunk, in bounded memory, then all of it visible at once (I5).

items --Chunker--> bodies --batches--> taskq:{id}:bodies, :pending        (expire if the producer dies)
                                             |
                      one transaction: map "open", keys kept, RQ job on its queue
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from redis.exceptions import RedisError, WatchError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import JobStatus
from rq.utils import now

from taskq.errors import DuplicateJobError, OptionError, ReplacedError
from taskq.maps.chunk import SOFT_BYTES, Chunk, Chunker
from taskq.maps.controlled import ENDED
from taskq.maps.draft import Draft
from taskq.maps.feed import Feed
from taskq.maps.items import Items
from taskq.maps.job import MapJob
from taskq.maps.open_map import OpenMap
from taskq.maps.options import MAP_RESULT_TTL, MapOptions, MapQueue
from taskq.maps.store import MapStore, function_codec
from taskq.maps.terms import NONE, Terms
from taskq.payload.function import Function
from taskq.payload.outcome import summary
from taskq.redis import once, schema, services
from taskq.redis.keys import WRITING_TTL, MapField
from taskq.redis.once import Receipt
from taskq.views import tracing
from taskq.views.counted import counted

_TERMS = (MapField.TERMS, MapField.MAX_RUNNING, MapField.RATE)
"""Fields of a map that a service must know."""

_BATCH_CHUNKS = 128  # chunks written in one round trip, unless they reach SOFT_BYTES before

_written: deque[bytes] = deque(maxlen=1000)
"""Incarnations that this process has written, or has begun to: by nobody are they being written any more.

A server that came back as it was before says that they are, and so does one that was away when one was given up.
"""


def push_map(queue: MapQueue, target: Any, items: Items, chunksize: int | None, options: MapOptions) -> MapJob:
    """Write a map and put its RQ job on the queue. See ``Queue.map`` for what may be raised."""
    function = Function.of(target)
    job = options.job(queue, function.name, MapJob)
    function = _with_kinds(function, options)
    with tracing.pushing(function.name, job.id, queue.name) as context:
        fields = _fields(queue, function, chunksize, options, star=items.star)
        if not fields.keys().isdisjoint(_TERMS):
            job.schema = schema.TERMS  # who does not know them keeps away
        if context:
            fields[MapField.TRACE] = context
        _push(queue, job, function, items, chunksize, options, fields)
    return job


def _push(
    queue: MapQueue, job: MapJob, function: Function, items: Items, chunksize: int | None, options: MapOptions,
    fields: dict[str, Any],
) -> None:  # fmt: skip
    with _reserved(queue, job, function, fields, star=items.star) as draft:
        total = _write(queue, draft, items, 1 if options.rate and chunksize is None else chunksize)
        if options.description is None:
            job.description = f"map {fields[MapField.NAME]} over {counted(total, 'item')}"
        if total == 0 and not options.unique and _may_finish_at_once(job):
            _finish_empty(job, draft, fields)
        else:
            _announce(queue, job, draft, options, fields)


@contextmanager
def _reserved(
    queue: MapQueue, job: MapJob, function: Function, fields: dict[str, Any], *, star: bool
) -> Iterator[Draft]:
    """A draft whose id is ours; what was not announced when the block ends is abandoned."""
    draft = Draft(job.id, queue.connection)
    pickled = function_codec(draft.keys, star=star).dumps(function)
    try:
        _reserve(job, draft, pickled, fields)
        job.incarnation = draft.keys.incarnation
        yield draft
    except BaseException:  # also Ctrl-C while a generator runs: nothing half-written stays
        with suppress(RedisError):  # without a server, it stays for WRITING_TTL, or until this process comes again
            draft.abandon()
        raise
    finally:
        _written.append(draft.keys.incarnation.encode())


def open_map(
    queue: MapQueue, target: Any, chunksize: int | None, terms: Terms, options: MapOptions, *, star: bool
) -> OpenMap:
    """Announce a map without items, to which they are added. See ``Queue.open_map`` for what may be raised."""
    if not queue.is_async:
        raise OptionError("an open map is run by workers while it is fed: not on a queue with is_async=False")
    function, feeder = Function.of(target), os.urandom(12).hex()
    job = options.job(queue, function.name, OpenMap)
    function = _with_kinds(function, options)
    with tracing.pushing(function.name, job.id, queue.name) as context:
        fields = _fields(queue, function, chunksize, options, terms, star=star)
        fields |= {MapField.FEEDER: feeder, MapField.LEASE: 0}
        if context:
            fields[MapField.TRACE] = context
        with _reserved(queue, job, function, fields, star=star) as draft:
            _announce(queue, job, draft, options, fields, sealed=False)
    cores = services.cores(queue.connection, queue.name) or own_cores()
    size = 1 if options.rate and chunksize is None else chunksize
    chunker = Chunker(draft.keys, size, cores, queue.payload_limit)
    job.fed_by(Feed(job.store, draft.announced(fields, sealed=False), feeder, chunker, job.takes_no_more))
    return job


def _fields(
    queue: MapQueue,
    function: Function,
    chunksize: int | None,
    options: MapOptions,
    terms: Terms = NONE,
    *,
    star: bool,
) -> dict[str, Any]:
    fields = {
        MapField.NAME: function.name,
        MapField.STAR: int(star),
        MapField.LIMIT: queue.payload_limit,
        MapField.ADAPT: int(chunksize is None),
    }
    if told := options.terms(terms).to_json():
        fields[MapField.TERMS] = told
    if options.item_retry is not None:
        fields[MapField.RETRIES] = 1
    if options.caps.max_running:
        fields[MapField.MAX_RUNNING] = options.caps.max_running
    if options.caps.rate:
        fields[MapField.RATE] = options.caps.rate
    if options.item_timeout is not None:
        fields[MapField.ITEM_TIMEOUT] = float(options.item_timeout)
    if float(options.weight) != 1:
        fields[MapField.WEIGHT] = float(options.weight)
    return fields


def _with_kinds(function: Function, options: MapOptions) -> Function:
    return function if options.item_retry is None else function.with_kinds(options.item_retry.kinds)


def _reserve(job: MapJob, draft: Draft, function: bytes, fields: dict[str, Any]) -> None:
    """Make the id ours. A map that ended may be replaced, as RQ replaces a job with the same id."""
    if draft.begin(function, fields):
        return
    there: list[Any] = job.connection.hmget(draft.keys.hash, MapField.INCARNATION, MapField.STATE)
    incarnation, state = there
    status = job.status_now()  # asked last: job and map are announced together
    if status is None and (state != b"writing" or incarnation in _written):
        if incarnation:  # an RQ tool has deleted the job, and knows nothing of our keys; or see ``_written``
            MapStore(job.id, job.connection, incarnation=incarnation.decode("ascii", "replace")).expire(0)
        if draft.begin(function, fields):
            return
    if status not in ENDED:
        by_another = f"being written by another producer, or was in the last {WRITING_TTL} s"
        doing = status.value if status else by_another
        raise DuplicateJobError(f"a map with the id {job.id!r} exists and is {doing}; fetch it, or use another id")
    with suppress(NoSuchJobError, InvalidJobOperation, ReplacedError):  # another producer was quicker
        cast("MapJob", MapJob.fetch(job.id, connection=job.connection, serializer=job.serializer)).make_way()
    if not draft.begin(function, fields):
        raise DuplicateJobError(f"another producer has just pushed a map with the id {job.id!r}")


def _write(queue: MapQueue, draft: Draft, items: Items, chunksize: int | None) -> int:
    """Write all chunks; returns how many items there were."""
    cores = services.cores(queue.connection, queue.name) or own_cores()
    chunker = Chunker(draft.keys, chunksize, cores, queue.payload_limit)
    size = 0
    batch: list[Chunk] = []
    for chunk in chunker.chunks(items.source):
        size += len(chunk.body)
        batch.append(chunk)
        if size >= SOFT_BYTES or len(batch) >= _BATCH_CHUNKS:
            draft.write(batch)
            batch, size = [], 0
    if batch:
        draft.write(batch)
    return draft.total


def own_cores() -> int:
    """What to reckon with while no worker is registered: this machine's cores."""
    return os.cpu_count() or 1


def _announce(
    queue: MapQueue, job: MapJob, draft: Draft, options: MapOptions, fields: dict[str, Any], *, sealed: bool = True
) -> None:
    receipt = Receipt()
    with queue.connection.pipeline() as pipe:
        while True:
            try:
                pipe.watch(job.key, draft.keys.hash)
                if receipt.is_there(pipe) or draft.is_announced(pipe):
                    return  # and only the reply was lost
                if options.unique and pipe.exists(job.key):
                    raise DuplicateJobError(f"a job with the id {job.id!r} exists")
                if not queue.is_async:
                    pipe.multi()
                    draft.announce(pipe, fields, job.ttl)
                    pipe.execute()
                    queue.enqueue_job(job)
                    return
                queue.enqueue_job(job, pipeline=pipe, at_front=options.at_front)
                draft.announce(pipe, fields, job.ttl, sealed=sealed)
                receipt.write(pipe)
                pipe.execute()
            except WatchError:  # a job that this one depends on has just changed, or no reply came: look again
                job._status = JobStatus.QUEUED  # noqa: SLF001 - as RQ's own retry loop does
            else:
                return


def _may_finish_at_once(job: MapJob) -> bool:
    """Whether nobody waits for the run of an empty map: no callback, no dependency."""
    named = (job._success_callback_name, job._dependency_ids, job.webhooks)  # noqa: SLF001 - RQ has no accessor
    return not any(named)


def _finish_empty(job: MapJob, draft: Draft, fields: dict[str, Any]) -> None:
    """Leave what a worker would leave of a map without items."""
    ttl = job.get_result_ttl(MAP_RESULT_TTL)
    job.enqueued_at = job.started_at = job.ended_at = now()
    job._result = summary(0, 0, 0, 0.0)  # noqa: SLF001 - where RQ's own run_job puts it
    with job.connection.pipeline() as pipe:
        draft.announce(pipe, fields, None)
        job.save(pipeline=pipe, include_result=False)
        job._handle_success(ttl, pipeline=pipe)  # noqa: SLF001 - what RQ calls for a job run in place
        once.execute(pipe)
    job.store.close()
    job.cleanup(ttl)
    job.store.expire(ttl)
