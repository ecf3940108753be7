"""Writes a map into Redis: items chunk by chunk, in bounded memory, then all of it visible at once (I5).

items --Chunker--> payloads --batches--> taskq:{id}:chunks, :pending      (expire if the producer dies)
                                             |
                      one transaction: map "open", keys kept, RQ job on its queue
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError, WatchError
from rq.job import JobStatus
from rq.utils import now

from taskq.errors import DuplicateJobError, MapError
from taskq.maps.chunk import SOFT_BYTES, Chunker
from taskq.maps.items import Items
from taskq.maps.job import ENDED, MapJob
from taskq.maps.options import MAP_RESULT_TTL, MapOptions, MapQueue
from taskq.maps.store import function_codec
from taskq.payload.function import Function
from taskq.payload.outcome import summary
from taskq.redis import services
from taskq.redis.keys import WRITING_TTL, MapField
from taskq.views import tracing

_BATCH_CHUNKS = 128  # chunks written in one round trip, unless they reach SOFT_BYTES before


def push_map(queue: MapQueue, target: Any, items: Items, chunksize: int | None, options: MapOptions) -> MapJob:
    """Write a map and put its RQ job on the queue. See ``Queue.map`` for what may be raised."""
    function = Function.of(target)
    job = options.job(queue, function.name)
    with tracing.pushing(function.name, job.id, queue.name) as context:
        fields = _fields(queue, job.id, function, items, chunksize, options)
        if context:
            fields[MapField.TRACE] = context
        _push(queue, job, items, chunksize, options, fields)
    return job


def _push(
    queue: MapQueue, job: MapJob, items: Items, chunksize: int | None, options: MapOptions, fields: dict[str, Any]
) -> None:
    _reserve(job, fields)
    try:
        total, chunks = _write(queue, job, items, chunksize)
        if options.description is None:
            job.description = f"map {fields[MapField.NAME]} over {total:,} items"
        if total == 0 and not options.unique and _may_finish_at_once(job):
            _finish_empty(job)
        else:
            _announce(queue, job, total, chunks, options)
    except BaseException:  # also Ctrl-C while a generator runs: nothing half-written stays
        with suppress(RedisError):  # without a server, it stays for WRITING_TTL
            job.store.abandon()
        raise


def _fields(
    queue: MapQueue, job_id: str, function: Function, items: Items, chunksize: int | None, options: MapOptions
) -> dict[str, Any]:
    fields = {
        MapField.NAME: function.name,
        MapField.FUNCTION: function_codec(job_id, star=items.star).dumps(function),
        MapField.STAR: int(items.star),
        MapField.LIMIT: queue.payload_limit,
        MapField.ADAPT: int(chunksize is None),
    }
    if options.item_timeout is not None:
        fields[MapField.ITEM_TIMEOUT] = float(options.item_timeout)
    return fields


def _reserve(job: MapJob, fields: dict[str, Any]) -> None:
    """Make the id ours. A map that ended may be replaced, as RQ replaces a job with the same id."""
    if job.store.begin(fields):
        return
    status = job._status_now()  # noqa: SLF001 - one noun, two files
    if status is None and job.store.info().state != "writing":
        job.store.expire(0)  # an RQ tool has deleted the job, and knows nothing of our keys
        if job.store.begin(fields):
            return
    if status not in ENDED:
        state = status.value if status else "being written by another producer"
        raise DuplicateJobError(f"a map with the id {job.id!r} exists and is {state}; fetch it, or use another id")
    MapJob.fetch(job.id, connection=job.connection, serializer=job.serializer).delete()
    if not job.store.begin(fields):
        raise DuplicateJobError(f"another producer has just pushed a map with the id {job.id!r}")


def _write(queue: MapQueue, job: MapJob, items: Items, chunksize: int | None) -> tuple[int, int]:
    """Write all chunks; returns how many items and how many chunks there were."""
    cores = services.cores(queue.connection, queue.name) or own_cores()
    chunker = Chunker(job.id, chunksize, cores, queue.payload_limit)
    total = chunks = size = 0
    batch: list[bytes] = []
    for count, payload in chunker.payloads(items.source):
        total += count
        size += len(payload)
        batch.append(payload)
        if size >= SOFT_BYTES or len(batch) >= _BATCH_CHUNKS:
            _write_batch(job, chunks, batch)
            chunks += len(batch)
            batch, size = [], 0
    if batch:
        _write_batch(job, chunks, batch)
        chunks += len(batch)
    return total, chunks


def _write_batch(job: MapJob, first: int, batch: list[bytes]) -> None:
    if not job.store.write(first, batch):
        raise _too_slow(job)


def _too_slow(job: MapJob) -> MapError:
    return MapError(
        f"the items of the map {job.id} came too slowly: nothing was written for {WRITING_TTL} s, so what there "
        "was has expired. Collect them in a list first."
    )


def own_cores() -> int:
    """What to reckon with while no worker is registered: this machine's cores."""
    import os

    return os.cpu_count() or 1


def _announce(queue: MapQueue, job: MapJob, total: int, chunks: int, options: MapOptions) -> None:
    store = job.store
    with queue.connection.pipeline() as pipe:
        while True:
            try:
                pipe.watch(job.key, store.keys.hash)
                if (writing := store.writing(pipe)) is None:
                    return  # it was announced, and only the reply was lost
                if not writing:
                    raise _too_slow(job)
                if options.unique and pipe.exists(job.key):
                    raise DuplicateJobError(f"a job with the id {job.id!r} exists")
                if not queue.is_async:
                    pipe.multi()
                    store.announce(pipe, total, chunks, job.ttl)
                    pipe.execute()
                    queue.enqueue_job(job)
                    return
                queue.enqueue_job(job, pipeline=pipe, at_front=options.at_front)
                store.announce(pipe, total, chunks, job.ttl)
                pipe.execute()
            except WatchError:  # a job that this one depends on has just changed, or no reply came: look again
                job._status = JobStatus.QUEUED  # noqa: SLF001 - as RQ's own retry loop does
            else:
                return


def _may_finish_at_once(job: MapJob) -> bool:
    """Whether nobody waits for the run of an empty map: no callback, no dependency."""
    named = (job._success_callback_name, job._dependency_ids, job.webhooks)  # noqa: SLF001 - RQ has no accessor
    return not any(named)


def _finish_empty(job: MapJob) -> None:
    """Leave what a worker would leave of a map without items."""
    ttl = job.get_result_ttl(MAP_RESULT_TTL)
    job.enqueued_at = job.started_at = job.ended_at = now()
    job._result = summary(0, 0, 0, 0.0)  # noqa: SLF001 - where RQ's own run_job puts it
    with job.connection.pipeline() as pipe:
        job.store.announce(pipe, 0, 0, None)
        job.save(pipeline=pipe, include_result=False)
        job._handle_success(ttl, pipeline=pipe)  # noqa: SLF001 - what RQ calls for a job run in place
        pipe.execute()
    job.store.close()
    job.cleanup(ttl)
    job.store.expire(ttl)
