"""The producer's end: RQ's queue, plus ``map``, ``starmap`` and result lists."""

from __future__ import annotations

import difflib
import gc
import inspect
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import rq
from rq.exceptions import NoSuchJobError
from rq.job import Job

from taskq.errors import DamagedError, OptionError
from taskq.maps.chunk import check_chunksize
from taskq.maps.items import Items, check_iterable
from taskq.maps.job import MapJob
from taskq.maps.lazy import Flow, Lazy
from taskq.maps.open_map import OpenMap
from taskq.maps.options import MapOptions
from taskq.maps.producer import open_map, push_map
from taskq.maps.terms import Orphan, Terms
from taskq.payload import codec, signing
from taskq.payload.function import Function, check_callbacks, for_rq
from taskq.payload.ranges import COUNTABLE
from taskq.payload.signed_job import signing_class
from taskq.redis import clients, exposure, ids, keys, once
from taskq.redis.connection import connect
from taskq.redis.kinds import MAP, kind_of
from taskq.redis.patience import clear_errors, no_cluster
from taskq.result_list import ResultList
from taskq.views import short_ids, tracing

_NAME = re.compile(r"[A-Za-z0-9_.:-]+")


_OBJECTS = (
    ("retry", "max", "Retry(max=3)"),
    ("repeat", "times", "Repeat(times=3)"),
    ("rate_limit", "concurrency", "RateLimit('name', concurrency=2)"),
)  # option, what RQ takes from it, how one is made


_LAZY = {"item_timeout", "weight", "max_failures", "meta", "description", "at_front"}  # options of ``imap``


_RQS = set(inspect.signature(rq.Queue.__init__).parameters) - {"self", "kwargs"}


class Queue(rq.Queue):
    """An RQ queue whose jobs may be maps, and whose functions need not be importable by the workers.

    All of ``rq.Queue`` works as RQ documents it. Functions of ``__main__`` (a shell, a script), lambdas
    and closures travel by value; for them producer and workers must run the same minor version of Python.

    If ``TASKQ_SECRET_KEY`` is set, everything that is pickled is signed, and only what is signed is unpickled.

    Args:
        name: The queue's name.
        connection: A redis-py connection.
        url: Instead of a connection, ``redis://``, ``rediss://``, ``unix://`` or ``redis+sentinel://``
            (docs/redis.md says what may stand in one); default: the environment variable ``TASKQ_URL``, else ``redis://localhost:6379/0``.
        payload_limit: Bytes a chunk of items, or one result, may have; 64 MiB by default.
        patience: Seconds for which everything asked of the server is tried again while it can't be reached, has
            no memory left or is a read-only replica; None: for ever. Default 0: a lost connection is tried again
            three times, within a tenth of a second. Only without a ``connection`` of your own.
        options: RQ's: ``default_timeout``, ``is_async``, ``job_class``, ``serializer``, ...

    Raises:
        OptionError: If there is no such option; if connection and URL are both given, or one is unusable (also a
            client that decodes what it reads, one of asyncio or of a cluster, or with a pool of one connection),
            or a key in ``TASKQ_SECRET_KEY`` is too short. The server is not contacted.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        connection: Any = None,
        url: str | None = None,
        payload_limit: int = codec.DEFAULT_LIMIT,
        patience: float | None = 0.0,
        **options: Any,
    ) -> None:
        if connection is not None and (url is not None or patience != 0):
            raise OptionError("give either a connection, or url and patience for a new one, not both")
        if patience is not None and not patience >= 0:
            raise OptionError(f"patience must be seconds from 0 on, or None for ever, not {patience!r}")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise OptionError(f"a queue's name may hold letters, digits and _.:- only, not {name!r}")
        if payload_limit < 1:
            raise OptionError(f"payload_limit must be at least 1 byte, not {payload_limit!r}")
        _check_known(options)
        self.payload_limit = payload_limit
        options["serializer"] = options.get("serializer") or codec.Serializer
        if connection is not None:
            clients.check(connection)
        super().__init__(name, connection=connection or connect(url, patience=patience), **options)
        exposure.warn(self.connection, signed=bool(signing.keyring()), variable=signing.VARIABLE)
        if signing.keyring():
            self.job_class = signing_class(self.job_class)

    # -- maps ----------------------------------------------------------------------------------------

    @clear_errors
    def map(self, fn: Any, *iterables: Iterable[Any], chunksize: int | None = None, **options: Any) -> MapJob:
        """Push ``fn(item)`` for every item, and return at once.

        Args:
            fn: Any callable, or a dotted path which the workers can import. What an ``async def`` returns is run
                to its end, one item after the other, on an event loop that the process has for all items.
            iterables: As for the built-in ``map``: with several, ``fn`` gets one item of each, and the
                shortest ends. Generators are written as they come, in bounded memory; nothing runs before
                the last item is there.
            chunksize: Items that are reserved, run and committed together; at least 1. None: each core of
                the live workers gets about 11 chunks, of at most 4096 items and 1 MiB each, the last ones smaller
                than the first; those that turn out to run longer than 0.1 s, or to have more than 3 MiB of
                results, are cut into chunks of about that size. Of a chunk whose size is given, a worker holds
                all results until the last is there; it is cut all the same from 256 MiB of results on (less, where
                the server takes less in one command), or 262,144 items.
            options: ``item_timeout`` (seconds for each item, also inside C code; default: none; an item over it
                fails alone), ``weight`` (its share of its queue's process time beside other maps there, and beside
                the queue's plain jobs, which have 1 together; default: 1, from 0.001 to 1000), ``max_failures``
                (the map fails once more items have failed: so many or, below 1, such a share of all; nothing new
                starts then; 0: with the first; default: all are tried), and RQ's own job
                options: ``job_timeout`` (seconds for the whole map; default: none),
                ``result_ttl`` (seconds the results are kept; default: 7 days), ``failure_ttl`` (the same of a
                failed map; default: RQ's, a year), ``ttl``, ``retry`` (runs only the failed items again),
                ``depends_on``, ``at_front``, ``meta``, ``description``, ``on_success``, ``on_failure``,
                ``on_stopped``, ``webhooks``, ``job_id``, ``unique``.

        Returns:
            The map's job; ``job.get()`` waits for the results. A map without items has ended already.

        Raises:
            OptionError: If an option is unknown or unusable, or something is not iterable.
            PickleError: If the function or an item can't be pickled; names the item's index.
            TooLargeError: If a chunk is over the limit; names the item's index.
            DuplicateJobError: If a map with this ``job_id`` is waiting or running.
            VersionError: If workers are alive whose version of taskq can't work side by side with this one.
            ServerError: If the server can't be reached, or refuses; says why, and what to do.

        Whenever it raises, also an error of the iterable itself, nothing is left in Redis. An item may run
        more than once (if a process dies after its side effects), its result is stored once.
        """
        return push_map(self, fn, Items.of(iterables), check_chunksize(chunksize), MapOptions.read(options))

    @clear_errors
    def starmap(
        self, fn: Any, iterable: Iterable[Iterable[Any]], chunksize: int | None = None, **options: Any
    ) -> MapJob:
        """As ``map``, with ``fn(*item)`` for every item; see there for all else."""
        check_iterable(iterable, "the second argument of starmap")
        items = Items(iterable, star=True)
        return push_map(self, fn, items, check_chunksize(chunksize), MapOptions.read(options))

    @clear_errors
    def open_map(
        self,
        fn: Any,
        *,
        job_id: str | None = None,
        buffersize: int | None = None,
        orphan: Orphan = "finish",
        chunksize: int | None = None,
        star: bool = False,
        **options: Any,
    ) -> OpenMap:
        """Begin a map whose items come while it runs.

            with queue.open_map(compute) as job:
                for item in source:
                    job.put(item)                # a free process has it at once
            job.get()

        It has ended when it is sealed and all its items have ended. Until then its producer, this program,
        renews a lease of 30 seconds, by the server's clock, in a thread of its own.

        Args:
            fn: As for ``map``.
            job_id: As for ``map``.
            buffersize: Items that may be unfinished, from 1 on: ``put`` waits while there are more. So producer
                and server hold a bounded number of them, however many come. None: any number.
            orphan: What becomes of the map when its producer is gone without having sealed it: ``"finish"``: it
                is sealed, and ends with the items that were put; or ``"cancel"``. A worker sees to it some 35
                seconds after the producer was last heard.
            chunksize: As for ``map``, of what is put with one ``put_many``; items that are put one by one run so.
            star: Whether ``fn`` is called as ``fn(*item)``.
            options: As for ``map``.

        Returns:
            The map's job, with ``put``, ``put_many``, ``seal``; a context manager, which seals it, or cancels it
            if the block raises.

        Raises:
            As ``map``.
        """
        if isinstance(buffersize, bool) or not (buffersize is None or _is_count(buffersize)):
            raise OptionError(f"buffersize must be a whole number from 1 on, or None, not {buffersize!r}")
        if orphan not in ("finish", "cancel"):
            raise OptionError(f'orphan must be "finish" or "cancel", not {orphan!r}')
        terms = Terms(orphan=orphan, buffersize=buffersize or 0)
        read = MapOptions.read({"job_id": job_id, **options})
        return open_map(self, fn, check_chunksize(chunksize), terms, read, star=bool(star))

    def imap(
        self,
        fn: Any,
        iterable: Iterable[Any],
        *,
        buffersize: int = 1000,
        chunksize: int | None = None,
        star: bool = False,
        **options: Any,
    ) -> Lazy:
        """As ``Pool.imap``: an iterator over the results in the order of the items, which are read meanwhile.

            for value in queue.imap(compute, endless()):
                ...

        The iterable is read in a thread, and may be endless. An item that fails raises its error in its place; the
        next ``next`` goes on behind it. What the iterable itself raises comes after the results of what it gave.

        Args:
            fn: As for ``map``.
            iterable: The items.
            buffersize: Items that may have been read, and whose results are not taken yet; from 1 on.
            chunksize: As for ``map``. None: taskq picks it, of what has come together.
            star: Whether ``fn`` is called as ``fn(*item)``.
            options: ``item_timeout``, ``weight``, ``meta``, ``description``, ``at_front`` and ``max_failures`` (of
                each of the maps behind it) as for ``map``.

        Returns:
            The iterator. It is a context manager, and has ``close()``: nothing is left on the server then, nor
            when it is at its end, or collected as garbage. If this program dies, a worker cancels what is left.

        Raises:
            OptionError: If an option is unknown or unusable, or something is not iterable.
        """
        return self._lazy(fn, iterable, buffersize, chunksize, options, star=star, in_order=True)

    def imap_unordered(
        self,
        fn: Any,
        iterable: Iterable[Any],
        *,
        buffersize: int = 1000,
        chunksize: int | None = None,
        star: bool = False,
        **options: Any,
    ) -> Lazy:
        """As ``imap``, with the results as they come."""
        return self._lazy(fn, iterable, buffersize, chunksize, options, star=star, in_order=False)

    def _lazy(
        self, fn: Any, iterable: Iterable[Any], buffersize: int, chunksize: int | None, options: dict[str, Any], *,
        star: bool, in_order: bool,
    ) -> Lazy:  # fmt: skip
        check_iterable(iterable, "the second argument of imap")
        if isinstance(buffersize, bool) or not _is_count(buffersize):
            raise OptionError(f"buffersize must be a whole number from 1 on, not {buffersize!r}")
        if unusable := sorted(set(options) - _LAZY):
            raise OptionError(f"imap has no option {unusable[0]}; there are {', '.join(sorted(_LAZY))}")
        function = Function.of(fn)
        MapOptions.read(options).job(self, function.name, OpenMap)  # only to see that it can be made
        size = check_chunksize(chunksize)

        def opens() -> OpenMap:
            return self.open_map(fn, orphan="cancel", chunksize=size, star=star, **options)

        return Lazy(Flow(opens, iterable, buffersize, in_order=in_order), self.connection)

    def result_list(self, name: str) -> ResultList:
        """A free-standing list in Redis, which may be passed to jobs and appended to by them.

        It exists from the first append on, and until it is cleared.

        Raises:
            OptionError: If the name has other characters than letters, digits and ``_.:-``.
        """
        if not _NAME.fullmatch(name):
            raise OptionError(f"a result list's name may hold letters, digits and _.:- only, not {name!r}")
        return ResultList(keys.free_list(name), self.connection)

    # -- RQ's own, for functions of any kind -----------------------------------------------------------

    def fetch_job(self, job_id: str) -> Any:
        """The job with this id: a ``MapJob`` if it is a map; None if this queue has no such job.

        Args:
            job_id: Also the first 8 or more characters of an id that RQ or taskq has drawn, as tables show them;
                it is looked for among the newest 1,000 jobs of each status. An id of your own means itself.

        Raises:
            UsageError: If several jobs of this queue may be meant.
            DamagedError: If what stands in its place is not what RQ writes.
        """
        job_id = short_ids.whole(self.connection, job_id, self.name, short_ids.SHOWN)
        job = fetch(job_id, self.connection, self.serializer, self.job_class)
        if job is None:
            self.remove(job_id)
            return None
        return job if job.origin == self.name else None

    def enqueue(self, f: Any, *args: Any, **kwargs: Any) -> Job:
        """RQ's ``enqueue``, also for functions that workers can't import.

        Raises:
            PickleError: If the function or an argument can't be pickled; nothing was written.
        """
        # RQ would refuse what is of __main__; all others are seen to by create_job.
        if getattr(f, "__module__", None) == "__main__":
            f = for_rq(f)
        return super().enqueue(f, *args, **_named(f, kwargs))

    def enqueue_at(self, datetime: datetime, f: Any, *args: Any, **kwargs: Any) -> Job:
        """RQ's ``enqueue_at``, also for functions that workers can't import."""
        f = for_rq(f)
        job: Job = super().enqueue_at(datetime, f, *args, **_named(f, kwargs))
        return job

    @no_cluster
    def enqueue_job(self, job: Job, pipeline: Any = None, at_front: bool = False, unique: bool = False) -> Job:
        """RQ's ``enqueue_job``; a simple job goes in one transaction, so in one round trip instead of two."""
        if not isinstance(job, MapJob) and tracing.active():
            return self._enqueue_traced(job, pipeline, at_front=at_front, unique=unique)
        return self._enqueue(job, pipeline, at_front=at_front, unique=unique)

    def _enqueue_traced(self, job: Job, pipeline: Any, *, at_front: bool, unique: bool) -> Job:
        with tracing.pushing(job.func_name or "job", job.id, self.name) as context:
            if pipeline is not None and context:
                pipeline.hset(job.key, keys.JOB_TRACE, context)
            elif context and not unique:  # RQ would take the hash for a job with this id
                self.connection.hset(job.key, keys.JOB_TRACE, context)
            return self._enqueue(job, pipeline, at_front=at_front, unique=unique)

    def _enqueue(self, job: Job, pipeline: Any, *, at_front: bool, unique: bool) -> Job:
        simple = self.is_async and not (unique or job.has_rate_limit or job._dependency_ids)  # noqa: SLF001 - RQ has no accessor
        if pipeline is not None or not simple:
            return super().enqueue_job(job, pipeline=pipeline, at_front=at_front, unique=unique)
        with self.connection.pipeline() as pipe:
            super().enqueue_job(job, pipeline=pipe, at_front=at_front)
            once.execute(pipe)
        return job

    def _enqueue_job(self, job: Job, pipeline: Any = None, at_front: bool = False, unique: bool = False) -> Job:
        """As RQ's, by which go jobs whose dependencies have ended, and those that are tried again."""
        if pipeline is not None or unique or not self.is_async:
            return super()._enqueue_job(job, pipeline=pipeline, at_front=at_front, unique=unique)
        with self.connection.pipeline() as pipe:
            super()._enqueue_job(job, pipeline=pipe, at_front=at_front)
            once.execute(pipe)
        return job

    @no_cluster
    def schedule_job(self, job: Job, datetime: datetime, pipeline: Any = None, unique: bool = False) -> Job:
        """As RQ's, by which go ``enqueue_at`` and ``enqueue_in``."""
        if pipeline is not None or unique:
            return super().schedule_job(job, datetime, pipeline=pipeline, unique=unique)
        with self.connection.pipeline() as pipe:
            super().schedule_job(job, datetime, pipeline=pipe)
            once.execute(pipe)
        return job

    @no_cluster
    def enqueue_many(
        self, job_datas: Iterable[Any], pipeline: Any = None, group_id: str | None = None
    ) -> list[Job]:
        """RQ's ``enqueue_many``, also for functions that workers can't import.

        Python's garbage collector rests while independent jobs are made, but not while they are sent.

        Raises:
            PickleError: If a function or an argument can't be pickled; nothing was written.
        """
        datas = list(job_datas)
        if not self.is_async or any(data.depends_on for data in datas):
            return super().enqueue_many(datas, pipeline, group_id)  # runs them, or asks the server meanwhile
        with self.connection.pipeline() as own:
            with _uncollected():
                jobs: list[Job] = super().enqueue_many(datas, own if pipeline is None else pipeline, group_id)
            if jobs and pipeline is None:
                once.execute(own)
        return jobs

    def create_job(self, func: Any, *args: Any, **kwargs: Any) -> Job:
        """RQ's ``create_job``; all other ways of enqueuing lead through here.

        Raises:
            OptionError: If the job id has other characters than letters, digits, ``_`` and ``-``; if a callback is
                one that no worker can import; if ``retry``, ``repeat`` or ``rate_limit`` is a number, say, and not
                RQ's object.
            PickleError: If the function or an argument can't be pickled.
        """
        if isinstance(kwargs.get("depends_on"), MapJob):
            kwargs["depends_on"] = [kwargs["depends_on"]]
        _check_objects(kwargs)
        check_callbacks(kwargs)
        try:
            func = for_rq(func)
            job = self._create(func, *args, **_named(func, kwargs))
        except ValueError as error:
            if "Job ID" in str(error):
                raise OptionError(f"{error}: {kwargs.get('job_id')!r}") from error
            raise
        _ = job.data  # pickled here, while nothing is written yet
        return job

    def _create(self, *args: Any, **kwargs: Any) -> Job:
        if self.job_class is not Job:
            return super().create_job(*args, **kwargs)
        # Whatever is given to a job's constructor, RQ looks each time whether it is a serializer: a fifth of
        # the time that ``enqueue_many`` takes.
        bare = object.__new__(type(self))
        bare.__dict__ = self.__dict__ | {"serializer": None}
        job = super(Queue, bare).create_job(*args, **kwargs)
        job.serializer = self.serializer
        return job


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 1 <= value < COUNTABLE


@contextmanager
def _uncollected() -> Iterator[None]:
    # Whatever is made meanwhile stays, and to look through it again and again would take a fifth of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _check_known(options: Iterable[str]) -> None:
    """See that a queue has such options; RQ's takes whatever there is, and a misspelled one has no effect.

    Raises:
        OptionError: If there is another.
    """
    for name in sorted(set(options) - _RQS):
        near = difflib.get_close_matches(name, ["connection", "url", "payload_limit", "patience", *_RQS], 1)
        raise OptionError(f"a queue has no option {name}" + (f", did you mean {near[0]}?" if near else ""))


def _check_objects(options: dict[str, Any]) -> None:
    """See that options which RQ has objects for are such objects; RQ itself would fail with an AttributeError.

    Raises:
        OptionError: If one is not.
    """
    for name, attribute, example in _OBJECTS:
        given = options.get(name)
        if given and not hasattr(given, attribute):
            kind = example.partition("(")[0]
            raise OptionError(f"{name} must be RQ's {kind}, such as rq.{example}, not {given!r}")


def _named(target: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The options with a description that names a function sent by value; RQ would call it ``__call__``."""
    if options.get("description") or not isinstance(target, Function):
        return options
    return {**options, "description": f"{target.name}(...)"}


def fetch(job_id: str, connection: Any, serializer: Any, job_class: type[Job] = Job) -> Job | None:
    """The job with this id from any queue, a ``MapJob`` if it is a map; None if there is none.

    Raises:
        DamagedError: If what stands there is not what RQ writes.
    """
    fields = connection.hgetall(Job.key_for(job_id)) if ids.read(job_id) else {}
    if not fields:
        return None
    cls = MapJob if kind_of(fields)[0] == MAP else signing_class(job_class)
    job = cls(job_id, connection=connection, serializer=serializer)
    try:
        job.restore(fields)
    except NoSuchJobError:
        return None
    except Exception as error:
        raise DamagedError(
            f"the hash of the job {job_id} can't be read: {type(error).__name__}: {error}"
        ) from error
    return job
