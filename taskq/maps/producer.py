"""Writes a map into Redis: items chunk by chunk, in bounded memory, then all of it visible at once (I5).

items --Chunker--> bodies --batches--> taskq:{id}:bodies, :pending        (expire if the producer dies)
                                             |
                      one transaction: map "open", keys kept, RQ job on its queue
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

from redis.exceptions import RedisError, WatchError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import JobStatus
from rq.utils import now

from taskq.errors import DuplicateJobError, OptionError, ReplacedError
from taskq.maps import existing, shared
from taskq.maps.chunk import SOFT_BYTES, Chunk, Chunker
from taskq.maps.controlled import ENDED
from taskq.maps.draft import Draft
from taskq.maps.feed import Feed
from taskq.maps.items import Items
from taskq.maps.job import MapJob
from taskq.maps.memo import Memo
from taskq.maps.open_map import OpenMap
from taskq.maps.options import MAP_RESULT_TTL, MapOptions, MapQueue
from taskq.maps.remembering import Remembering
from taskq.maps.repeats import Repeats
from taskq.maps.sameness import ItemsDigest, Wanted
from taskq.maps.source import Source
from taskq.maps.store import MapStore, function_codec
from taskq.maps.terms import NONE, Terms
from taskq.maps.terms import read as terms_of
from taskq.payload import large, proxies
from taskq.payload.function import Function
from taskq.payload.outcome import summary
from taskq.payload.prepared import PreparedFunction
from taskq.redis import clock, once, schema, services
from taskq.redis.keys import WRITING_TTL, MapField
from taskq.redis.lua import Operation
from taskq.redis.once import Receipt
from taskq.views import tracing
from taskq.views.counted import counted

J = TypeVar("J", bound=MapJob[Any])

_TERMS = (MapField.TERMS, MapField.MAX_RUNNING, MapField.RATE)
"""Fields of a map that a service must know."""

_BATCH_CHUNKS = 128  # chunks written in one round trip, unless they reach SOFT_BYTES before

_TRIES = 20  # to attach to a map or to replace it, while others do so, too

_written: deque[bytes] = deque(maxlen=1000)
"""Incarnations that this process has written, or has begun to: by nobody are they being written any more.

A server that came back as it was before says that they are, and so does one that was away when one was given up.
"""


def push_map(queue: MapQueue, target: Any, items: Items, chunksize: int | None, options: MapOptions) -> MapJob:
    """Write a map and put its RQ job on the queue. See ``Queue.map`` for what may be raised."""
    with large.noting(), proxies.reaching(queue.own_workers):
        return _push_map(queue, target, items, chunksize, options)


def _push_map(queue: MapQueue, target: Any, items: Items, chunksize: int | None, options: MapOptions) -> MapJob:
    function = options.prepared(target)
    job = options.job(queue, function.name, MapJob)
    needs_code = options.if_exists == "attach" or options.memo is not None
    code = options.code_of(target) if needs_code else ""
    attach = options.if_exists == "attach"
    named = replace(NONE, code_digest=code if attach or options.joins else "", memo=options.memo or "")
    terms = options.terms(named, _first(function))
    for left in reversed(range(_TRIES)):
        if attach:
            wanted = Wanted(queue.name, function.name, code, items, float(options.item_timeout or 0), terms)
            if (found := existing.attached(job, wanted, is_mine)) is not None:
                return found
        elif options.if_exists == "replace":
            existing.make_way(job, is_mine)
        try:
            memo = options.memo_for(queue, function.name, code)
            told = replace(terms, memo_generation=memo.header.generation) if memo is not None else terms
            return _push_new(queue, job, function, items, chunksize, options, told, memo)
        except DuplicateJobError:
            if options.if_exists == "raise" or job.incarnation or not left:
                raise
    raise AssertionError("the last try returns or raises")


def _push_new(
    queue: MapQueue, job: MapJob, function: Function, items: Items, chunksize: int | None, options: MapOptions,
    terms: Terms, memo: Memo | None,
) -> MapJob:  # fmt: skip
    """Push it; returns it, or one that goes on and is the same.

    If it raises and the job has no incarnation, another one has the id, and no item was read.
    """
    with tracing.pushing(function.name, job.id, queue.name) as context:
        fields = _fields(queue, function, chunksize, options, terms, star=items.star)
        if context:
            fields[MapField.TRACE] = context
        if options.if_exists != "raise":
            fields[MapField.WRITER] = clock.ask(queue.connection) + existing.LEASE
        return _push(queue, job, function, items, chunksize, options, fields, terms, memo)


def _first(function: Function) -> str:
    """The name of what is to be called before it."""
    return function.initializer.name if isinstance(function, PreparedFunction) else ""


def is_mine(incarnation: bytes) -> bool:
    """Whether this process has written, or has begun to write, the map of this incarnation."""
    return incarnation in _written


def _push(
    queue: MapQueue, job: MapJob, function: Function, items: Items, chunksize: int | None, options: MapOptions,
    fields: dict[str, Any], terms: Terms, memo: Memo | None,
) -> MapJob:  # fmt: skip
    with ExitStack() as stack:
        draft = stack.enter_context(_reserved(queue, job, function, fields, star=items.star))
        if MapField.WRITER in fields:
            stack.enter_context(existing.lease(draft))
        digest = ItemsDigest() if terms.code_digest else None
        cores = services.cores(queue.connection, queue.name) or own_cores()
        chunker = Chunker(
            draft.keys, options.size(chunksize), cores, queue.payload_limit,
            seen=digest.update if digest else None,
            repeats=Repeats(draft.keep, unchanged=items.unchanged) if options.shares else None,
        )  # fmt: skip
        if memo is None:
            _write(draft, items, chunker)
        else:
            Remembering(draft, chunker, memo, options.memo_seconds, options.key).write(items)
        total = draft.total
        if digest:
            fields[MapField.TERMS] = replace(terms, items_digest=digest.text()).to_json()
        _tell_terms(job, draft, fields)
        if options.description is None:
            job.description = f"map {fields[MapField.NAME]} over {counted(total, 'item')}"
        if total == draft.hits and not options.unique and _may_finish_at_once(job):
            _finish_empty(job, draft, fields)
            return job
        if memo is not None and digest and options.joins:
            if found := existing.going_on(job, memo.map_of(digest.text()), draft.announced(fields)):
                draft.abandon()
                return found
            memo.note_map(digest.text(), job.id, options.memo_seconds)
        _announce(queue, job, draft, options, fields)
        return job


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
        for blob in function.blobs:
            draft.keep(blob)
        yield draft
    except BaseException:  # also Ctrl-C while a generator runs: nothing half-written stays
        with suppress(RedisError):  # without a server, it stays for WRITING_TTL, or until this process comes again
            draft.abandon()
        raise
    finally:
        _written.append(draft.keys.incarnation.encode())


def open_map(
    queue: MapQueue, target: Any, chunksize: int | None, terms: Terms, options: MapOptions, *, star: bool,
    memo: Memo | None = None,
) -> OpenMap:  # fmt: skip
    """Announce a map without items, to which they are added. See ``Queue.open_map`` for what may be raised.

    Args:
        queue: Where.
        target: The function.
        chunksize: As for ``Queue.open_map``.
        terms: Of the map, as far as they are no options.
        options: Others.
        star: As for ``Queue.open_map``.
        memo: Gets the results of items that are put with a key: see ``Feed.put``.
    """
    if not queue.is_async:
        raise OptionError("an open map is run by workers while it is fed: not on a queue with is_async=False")
    with large.noting(), proxies.reaching(queue.own_workers):
        function, feeder = options.prepared(target), os.urandom(12).hex()
        job = options.job(queue, function.name, OpenMap)
        if memo is not None:
            terms = replace(terms, memo=memo.name, memo_generation=memo.header.generation)
        with tracing.pushing(function.name, job.id, queue.name) as context:
            told = options.terms(terms, _first(function))
            fields = _fields(queue, function, chunksize, options, told, star=star)
            fields |= {MapField.FEEDER: feeder, MapField.LEASE: 0}
            if memo is not None:  # who begins again does not wait long for one that has died just here
                fields[MapField.WRITER] = clock.ask(queue.connection) + existing.LEASE
            if context:
                fields[MapField.TRACE] = context
            with _reserved(queue, job, function, fields, star=star) as draft:
                _tell_terms(job, draft, fields)
                _announce(queue, job, draft, options, fields, sealed=False)
    cores = services.cores(queue.connection, queue.name) or own_cores()
    chunker = Chunker(draft.keys, options.size(chunksize), cores, queue.payload_limit)
    announced = draft.announced(fields, sealed=False)
    feed = Feed(job.store, announced, feeder, chunker, job.takes_no_more, memo, own_workers=queue.own_workers)
    job.fed_by(feed, keep=queue.keeps_leases)
    return job


def push_follower(
    queue: MapQueue, source: Source, target: Any, chunksize: int | None, options: MapOptions, kind: type[J],
    *, star: bool,
) -> J:  # fmt: skip
    """Announce a map whose items are another's results. See ``MapJob.map`` for what may be raised."""
    with large.noting(), proxies.reaching(queue.own_workers):
        function = options.prepared(target)
        job = options.job(queue, function.name, kind)
        terms = Terms(source=str(source), together=source.together)
        with tracing.pushing(function.name, job.id, queue.name) as context:
            told = options.terms(terms, _first(function))
            fields = _fields(queue, function, chunksize, options, told, star=star)
            fields |= {MapField.SOURCE: str(source), MapField.TOGETHER: source.together, MapField.LEASE: 0}
            if size := options.size(chunksize):
                fields[MapField.CHUNK] = size
            if context:
                fields[MapField.TRACE] = context
            with _reserved(queue, job, function, fields, star=star) as draft:
                _tell_terms(job, draft, fields)
                args = [source.incarnation, f"{job.id} {draft.keys.incarnation}"]
                note = partial(Operation(queue.connection, "follow").in_full, [source.keys.hash], args)
                _announce(queue, job, draft, options, fields, sealed=False, beside=note)
    return job


def _fields(
    queue: MapQueue,
    function: Function,
    chunksize: int | None,
    options: MapOptions,
    terms: Terms,
    *,
    star: bool,
) -> dict[str, Any]:
    fields = {
        MapField.NAME: function.name,
        MapField.STAR: int(star),
        MapField.LIMIT: queue.payload_limit,
        MapField.ADAPT: int(chunksize is None),
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
    return fields


def _tell_terms(job: MapJob, draft: Draft, fields: dict[str, Any]) -> None:
    """Say in the map's terms which large objects it refers to, and keep away who does not know terms.

    Raises:
        ResultsGoneError: If one that maps share is gone.
    """
    used = large.noted()
    if blobs := [*draft.kept, *used]:
        shared.renew(job.connection, used)
        terms = terms_of(str(fields.get(MapField.TERMS, "")))
        fields[MapField.TERMS] = replace(terms, blobs=" ".join(map(str, blobs))).to_json()
    if not fields.keys().isdisjoint(_TERMS):
        job.schema = schema.TERMS


def _reserve(job: MapJob, draft: Draft, function: bytes, fields: dict[str, Any]) -> None:
    """Make the id ours. A map that ended may be replaced, as RQ replaces a job with the same id."""
    if draft.begin(function, fields):
        return
    there: list[Any] = job.connection.hmget(draft.keys.hash, MapField.INCARNATION, MapField.STATE)
    incarnation, state = there
    status = job.status_now()  # asked last: job and map are announced together
    if status is None and (state != b"writing" or incarnation in _written):
        if incarnation:  # an RQ tool has deleted the job, and knows nothing of our keys; or see ``_written``
            MapStore(job.id, job.connection, incarnation=incarnation.decode("ascii", "replace")).expire(
                0, alone=True
            )
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


def _write(draft: Draft, items: Items, chunker: Chunker) -> None:
    """Write all chunks."""
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


def own_cores() -> int:
    """What to reckon with while no worker is registered: this machine's cores."""
    return os.cpu_count() or 1


def _announce(
    queue: MapQueue, job: MapJob, draft: Draft, options: MapOptions, fields: dict[str, Any], *, sealed: bool =
        True,
    beside: Callable[[Any], None] | None = None,
) -> None:  # fmt: skip
    """Announce it; ``beside`` queues what belongs to the same transaction."""
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
                    draft.announce(pipe, fields, job.ttl, sealed=sealed)
                    if beside:
                        beside(pipe)
                    pipe.execute()
                    queue.enqueue_job(job)
                    return
                queue.enqueue_job(job, pipeline=pipe, at_front=options.at_front)
                draft.announce(pipe, fields, job.ttl, sealed=sealed)
                if beside:
                    beside(pipe)
                receipt.write(pipe)
                pipe.execute()
            except WatchError:  # a job that this one depends on has just changed, or no reply came: look again
                job._status = JobStatus.QUEUED  # noqa: SLF001 - as RQ's own retry loop does
            else:
                return


def _may_finish_at_once(job: MapJob) -> bool:
    """Whether nobody waits for the run of a map in which nothing is to be run: no callback, no dependency."""
    named = (job._success_callback_name, job._dependency_ids, job.webhooks)  # noqa: SLF001 - RQ has no accessor
    return not any(named)


def _finish_empty(job: MapJob, draft: Draft, fields: dict[str, Any]) -> None:
    """Leave what a worker would leave of a map without items, or whose results were all in the memo."""
    ttl = job.get_result_ttl(MAP_RESULT_TTL)
    job.enqueued_at = job.started_at = job.ended_at = now()
    job._result = summary(draft.total, 0, draft.total, 0.0)  # noqa: SLF001 - where RQ's own run_job puts it

    def act(pipe: Any) -> None:
        if draft.is_announced(pipe):  # and only the reply was lost; raises, if what was written is not all there
            return
        pipe.multi()
        draft.announce(pipe, fields, None)
        job.save(pipeline=pipe, include_result=False)
        job._handle_success(ttl, pipeline=pipe)  # noqa: SLF001 - what RQ calls for a job run in place

    once.transaction(job.connection, act, job.key, draft.keys.hash)
    job.store.close()
    job.cleanup(ttl)
    job.store.expire(ttl)
