"""Writes a map into Redis: items chunk by chunk, in bounded memory, then all of it visible at once (I5).

items --Chunker--> bodies --batches--> taskq:{id}:bodies, :pending        (expire if the producer dies)
                                             |
                      one transaction: map "open", keys kept, RQ job on its queue
"""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import Any

from rq.utils import now

from taskq.errors import DuplicateJobError
from taskq.maps import existing
from taskq.maps.chunk import SOFT_BYTES, Chunk, Chunker
from taskq.maps.draft import Draft
from taskq.maps.items import Items, is_inert
from taskq.maps.job import MapJob
from taskq.maps.memo import Memo
from taskq.maps.options import MAP_RESULT_TTL, MapOptions, MapQueue
from taskq.maps.push import Push, is_mine, tell_terms
from taskq.maps.remembering import Remembering
from taskq.maps.repeats import Repeats
from taskq.maps.sameness import ItemsDigest, Wanted
from taskq.maps.terms import NONE, Terms
from taskq.payload import large, proxies
from taskq.payload.outcome import summary
from taskq.redis import once
from taskq.redis.keys import WRITING_TTL, MapField
from taskq.views import tracing
from taskq.views.counted import counted

_BATCH_CHUNKS = 128  # chunks written in one round trip, unless they reach SOFT_BYTES before

_TRIES = 20  # to attach to a map or to replace it, while others do so, too


def push_map(queue: MapQueue, target: Any, items: Items, chunksize: int | None, options: MapOptions) -> MapJob:
    """Write a map and put its RQ job on the queue. See ``Queue.map`` for what may be raised."""
    with large.noting(), proxies.reaching(queue.own_workers):
        return _push_map(queue, target, items, chunksize, options)


def _push_map(queue: MapQueue, target: Any, items: Items, chunksize: int | None, options: MapOptions) -> MapJob:
    function = options.prepared(target)
    job = options.job(queue, function.name, MapJob)
    push = Push(queue, job, function, chunksize, options, items.star)
    needs_code = options.if_exists == "attach" or options.memo is not None
    code = options.code_of(target) if needs_code else ""
    attach = options.if_exists == "attach"
    named = replace(NONE, code_digest=code if attach or options.joins else "", memo=options.memo or "")
    terms = push.terms(named)
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
            with memo.pushed() if memo is not None else nullcontext():
                return _push_new(push, items, told, memo)
        except DuplicateJobError:
            if options.if_exists == "raise" or job.incarnation or not left:
                raise
    raise AssertionError("the last try returns or raises")


def _push_new(push: Push[MapJob], items: Items, terms: Terms, memo: Memo | None) -> MapJob:
    """Push it; returns it, or one that goes on and is the same.

    If it raises and the job has no incarnation, another one has the id, and no item was read.
    """
    queue = push.queue
    with tracing.pushing(push.function.name, push.job.id, queue.name) as context:
        fields = push.fields(terms, context)
        if push.options.job_id is not None:  # who comes again with it need not wait until what is written expires
            fields[MapField.WRITER] = existing.LEASE
        return _push(push, items, fields, terms, memo)


def _push(push: Push[MapJob], items: Items, fields: dict[str, Any], terms: Terms, memo: Memo | None) -> MapJob:
    job, options = push.job, push.options
    with ExitStack() as stack:
        draft = stack.enter_context(push.reserved(fields))
        if MapField.WRITER in fields:
            stack.enter_context(existing.lease(draft))
        digest = ItemsDigest() if terms.code_digest else None
        chunker = Chunker(
            draft.keys, options.size(push.chunksize), push.cores, push.queue.payload_limit,
            seen=digest.update if digest else None,
            repeats=Repeats(draft.keep, held=is_inert(items.source)) if options.shares else None,
        )  # fmt: skip
        if memo is None:
            _write(draft, items, chunker)
        else:
            Remembering(draft, chunker, memo, options.memo_seconds, options.key).write(items)
        total = draft.total
        if digest:
            fields[MapField.TERMS] = replace(terms, items_digest=digest.text()).to_json()
        tell_terms(job, draft, fields)
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
        push.announce(draft, fields)
        return job


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
        # In the same step: if this process dies then, services take care of the map's keys, and nobody of RQ's.
        job.cleanup(ttl or WRITING_TTL, pipeline=pipe)

    once.transaction(job.connection, act, job.key, draft.keys.hash)
    job.store.close()
    if ttl == 0:
        job.cleanup(ttl)
    job.store.expire(ttl)
