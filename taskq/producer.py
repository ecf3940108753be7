"""Writes a map into Redis: items chunk by chunk, in bounded memory, then all of it visible at once (I5).

items --Chunker--> payloads --batches--> taskq:{id}:chunks, :pending      (expire if the producer dies)
                                             |
                      one transaction: map "open", keys kept, RQ job on its queue
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, WatchError
from rq.defaults import DEFAULT_FAILURE_TTL
from rq.exceptions import TimeoutFormatError
from rq.job import JobStatus
from rq.utils import now, parse_timeout

from taskq import services, tracing
from taskq.chunk import SOFT_BYTES, Chunker
from taskq.errors import DuplicateJobError, MapError, OptionError
from taskq.function import Function
from taskq.keys import WRITING_TTL, MapField
from taskq.map_job import ENDED, MapJob
from taskq.map_store import function_codec
from taskq.outcome import summary
from taskq.rq_jobs import MAP_PATH

if TYPE_CHECKING:
    from taskq.queue import Queue

MAP_RESULT_TTL = 7 * 24 * 3600  # seconds: who starts a long map may come back for it after the weekend
NO_TIMEOUT = -1  # RQ's word for it; RQ's default of 180 s is meant for one call, not for a million
_REFUSALS = (TypeError, ValueError, AttributeError, ArithmeticError, AssertionError, TimeoutFormatError)
"""What RQ raises at values it can't use."""

_BATCH_CHUNKS = 128  # chunks written in one round trip, unless they reach SOFT_BYTES before


@dataclass(frozen=True)
class MapOptions:
    """The options that ``map`` and ``starmap`` take: ``item_timeout``, and RQ's own, as documented there."""

    job_timeout: Any = NO_TIMEOUT
    item_timeout: Any = None
    result_ttl: Any = MAP_RESULT_TTL
    failure_ttl: Any = DEFAULT_FAILURE_TTL
    ttl: Any = None
    retry: Any = None
    depends_on: Any = None
    at_front: bool = False
    meta: dict[str, Any] | None = None
    description: str | None = None
    on_success: Any = None
    on_failure: Any = None
    on_stopped: Any = None
    webhooks: Any = None
    job_id: str | None = None
    unique: bool = False
    names: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def read(cls, options: dict[str, Any]) -> MapOptions:
        """Check the names of what the caller gave.

        Raises:
            OptionError: If one is unknown; lists those there are.
        """
        known = [name for name in cls.__dataclass_fields__ if name != "names"]
        if unknown := sorted(set(options) - set(known)):
            raise OptionError(
                f"unknown option {', '.join(unknown)}; a map takes chunksize, {', '.join(known)}. "
                "Arguments for the function itself: functools.partial(fn, ...)."
            )
        return cls(**options, names=frozenset(options))

    def job(self, queue: Queue, name: str) -> MapJob:
        """The RQ job, not yet saved.

        Raises:
            OptionError: If RQ refuses one of the values.
        """
        try:
            timeout, ttl = parse_timeout(self.job_timeout), parse_timeout(self.ttl)
            if timeout == 0 or (timeout is not None and timeout < NO_TIMEOUT):
                raise ValueError("job_timeout must be above 0, or -1 for none")
            if ttl is not None and ttl <= 0:
                raise ValueError("ttl must be above 0")
            if self.item_timeout is not None and not 0 < float(self.item_timeout) < float("inf"):
                raise ValueError("item_timeout must be a number of seconds above 0")
            if self.unique and not self.job_id:
                raise ValueError("unique=True needs a job_id")
            job = MapJob.create(
                MAP_PATH,
                connection=queue.connection,
                timeout=NO_TIMEOUT if timeout is None else timeout,
                result_ttl=parse_timeout(self.result_ttl),
                failure_ttl=parse_timeout(self.failure_ttl),
                ttl=ttl,
                retry=self.retry,
                # RQ looks for a job's id in any iterable it gets.
                depends_on=[self.depends_on] if isinstance(self.depends_on, MapJob) else self.depends_on,
                meta=self.meta,
                description=self.description or f"map {name}",
                on_success=self.on_success,
                on_failure=self.on_failure,
                on_stopped=self.on_stopped,
                webhooks=self.webhooks,
                id=self.job_id,
                origin=queue.name,
                status=JobStatus.QUEUED,
                serializer=queue.serializer,
            )
        except _REFUSALS as error:
            raise OptionError(f"a map can't be made with these options: {error}") from error
        job.to_dict()  # pickles meta, now that nothing is written yet
        assert isinstance(job, MapJob)
        return job


@dataclass(frozen=True)
class Items:
    """What is to be mapped: one iterable of items, its length where it has one."""

    source: Iterable[Any]
    star: bool

    @classmethod
    def of(cls, iterables: tuple[Any, ...]) -> Items:
        """The items of ``map(fn, *iterables)``.

        Raises:
            OptionError: If there is none, or one is not iterable.
        """
        if not iterables:
            raise OptionError("map needs at least one iterable: map(fn, items)")
        for number, iterable in enumerate(iterables, 1):
            check_iterable(iterable, f"argument {number} of map")
        if len(iterables) == 1:
            return cls(iterables[0], star=False)
        return cls(_Zip(iterables), star=True)


class _Zip:
    """``zip`` that knows its length where all parts do; for the chunk size."""

    def __new__(cls, parts: tuple[Any, ...]) -> Any:
        return super().__new__(_SizedZip if all(isinstance(part, Sized) for part in parts) else cls)

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts

    def __iter__(self) -> Iterator[Any]:
        return zip(*self.parts, strict=False)


class _SizedZip(_Zip):
    def __len__(self) -> int:
        return min(map(len, self.parts))


def check_iterable(value: Any, what: str) -> None:
    try:
        iter(value)
    except TypeError as error:
        raise OptionError(f"{what} must be iterable, not {type(value).__name__}: {value!r:.80}") from error


def push_map(queue: Queue, target: Any, items: Items, chunksize: int | None, options: MapOptions) -> MapJob:
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
    queue: Queue, job: MapJob, items: Items, chunksize: int | None, options: MapOptions, fields: dict[str, Any]
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
    queue: Queue, job_id: str, function: Function, items: Items, chunksize: int | None, options: MapOptions
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


def _write(queue: Queue, job: MapJob, items: Items, chunksize: int | None) -> tuple[int, int]:
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


def _announce(queue: Queue, job: MapJob, total: int, chunks: int, options: MapOptions) -> None:
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
