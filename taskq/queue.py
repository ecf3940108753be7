"""The producer's end: RQ's queue, plus ``map``, ``starmap`` and result lists."""

from __future__ import annotations

import difflib
import gc
import inspect
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any

import rq
from rq.exceptions import NoSuchJobError
from rq.job import Job

from taskq.dictionary import Dict
from taskq.errors import DamagedError, OptionError
from taskq.event import Event
from taskq.fifo import Fifo
from taskq.lock import Lock
from taskq.maps.job import MapJob
from taskq.maps.mapper import Mapper
from taskq.payload import codec, proxies, signing
from taskq.payload.function import CALLBACKS, Function, check_callbacks, for_rq
from taskq.payload.signed_job import signing_class
from taskq.redis import clients, exposure, ids, keys, once, replicas
from taskq.redis.connection import connect
from taskq.redis.kinds import MAP, kind_of
from taskq.redis.patience import no_cluster
from taskq.redis.replicas import Replicas
from taskq.result_list import ResultList
from taskq.value import Value
from taskq.views import short_ids, tracing

_OBJECTS = (
    ("retry", "max", "Retry(max=3)"),
    ("repeat", "times", "Repeat(times=3)"),
    ("rate_limit", "concurrency", "RateLimit('name', concurrency=2)"),
)  # option, what RQ takes from it, how one is made


_CHECKED = (*(name for name, _attribute, _example in _OBJECTS), *CALLBACKS)

_AS_USUAL = nullcontext()  # what is pickled is for workers that may not have this program's key

_OWN = ("connection", "url", "payload_limit", "patience", "min_replicas")
_RQS = set(inspect.signature(rq.Queue.__init__).parameters) - {"self", "kwargs"}


class Queue(Mapper):
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
        min_replicas: How many replicas of the server must have what is pushed before a push returns; see
            docs/redis.md for what that covers. They are waited for as long as ``patience`` says, and 5 s at least;
            then it is a ``ServerError``, though what was pushed stays. Default 0: none is asked for.
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
        min_replicas: int = 0,
        **options: Any,
    ) -> None:
        if connection is not None and (url is not None or patience != 0):
            raise OptionError("give either a connection, or url and patience for a new one, not both")
        if patience is not None and not (isinstance(patience, int | float) and patience >= 0):
            raise OptionError(f"patience must be seconds from 0 on, or None for ever, not {patience!r}")
        if isinstance(min_replicas, bool) or not isinstance(min_replicas, int) or min_replicas < 0:
            raise OptionError(f"min_replicas must be a whole number from 0 on, not {min_replicas!r}")
        if not ids.is_name(name):
            raise OptionError(f"a queue's name may hold letters, digits and _.:- only, not {name!r}")
        if payload_limit < 1:
            raise OptionError(f"payload_limit must be at least 1 byte, not {payload_limit!r}")
        _check_known(options)
        self.payload_limit = payload_limit
        self.replicas = Replicas(min_replicas, math.inf if patience is None else max(patience, replicas.USUAL))
        options["serializer"] = options.get("serializer") or codec.Serializer
        if connection is not None:
            clients.check(connection)
        super().__init__(name, connection=connection or connect(url, patience=patience), **options)
        exposure.warn(self.connection, signed=bool(signing.keyring()), variable=signing.VARIABLE)
        if signing.keyring():
            self.job_class = signing_class(self.job_class)

    def result_list(self, name: str) -> ResultList:
        """A free-standing list in Redis, which may be passed to jobs and appended to by them.

        It exists from the first append on, and until it is cleared.

        Raises:
            OptionError: If the name has other characters than letters, digits and ``_.:-``.
        """
        return ResultList(_key("list", name, "a result list"), self.connection)

    def lock(self, name: str) -> Lock:
        """A lock that all programs and jobs of this server share by its name: see ``taskq.Lock``.

        Raises:
            OptionError: If the name has other characters than letters, digits and ``_.:-``.
        """
        return Lock(_key("lock", name, "a lock"), self.connection)

    def value(self, name: str, initial: Any = 0) -> Value:
        """A value that all programs and jobs of this server share by its name: see ``taskq.Value``.

        Args:
            name: Of it.
            initial: What it is as long as nobody has set it.

        Raises:
            OptionError: If the name has other characters than letters, digits and ``_.:-``.
        """
        return Value(_key("value", name, "a value"), self.connection, initial)

    def dict(self, name: str) -> Dict:
        """A dictionary that all programs and jobs of this server share by its name: see ``taskq.Dict``.

        Raises:
            OptionError: If the name has other characters than letters, digits and ``_.:-``.
        """
        return Dict(_key("dict", name, "a dictionary"), self.connection)

    def queue(self, name: str, maxsize: int = 0) -> Fifo:
        """A queue of items that all programs and jobs of this server share by its name: see ``taskq.Fifo``.

        Args:
            name: Of it.
            maxsize: Items that there may be when one is put by this object; 0: any number.

        Raises:
            OptionError: If the name has other characters than letters, digits and ``_.:-``.
        """
        return Fifo(_key("queue", name, "a queue of items"), self.connection, maxsize)

    def event(self, name: str) -> Event:
        """An event that all programs and jobs of this server share by its name: see ``taskq.Event``.

        Raises:
            OptionError: If the name has other characters than letters, digits and ``_.:-``.
        """
        return Event(_key("event", name, "an event"), self.connection)

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
        if pipeline is not None:
            return super().enqueue_job(job, pipeline=pipeline, at_front=at_front, unique=unique)
        if not simple:
            pushed = super().enqueue_job(job, at_front=at_front, unique=unique)
            self._follow(None, pushed)
            return pushed
        with self.connection.pipeline() as pipe:
            super().enqueue_job(job, pipeline=pipe, at_front=at_front)
            self._follow(once.execute(pipe), job)
        return job

    def _follow(self, receipt: once.Receipt | None, *jobs: Job) -> None:
        """Have replicas have what was pushed, as many as are to."""
        if self.is_async and self.replicas.least and jobs:
            first = f"the job {jobs[0].id}"
            self.replicas.follow(
                self.connection, receipt, first if len(jobs) == 1 else f"{first}, one of {len(jobs)},"
            )

    def _enqueue_job(self, job: Job, pipeline: Any = None, at_front: bool = False, unique: bool = False) -> Job:
        """As RQ's, by which go jobs whose dependencies have ended, and those that are tried again."""
        if pipeline is not None or unique or not self.is_async:
            return super()._enqueue_job(job, pipeline=pipeline, at_front=at_front, unique=unique)
        with self.connection.pipeline() as pipe:
            super()._enqueue_job(job, pipeline=pipe, at_front=at_front)
            self._follow(once.execute(pipe), job)
        return job

    @no_cluster
    def schedule_job(self, job: Job, datetime: datetime, pipeline: Any = None, unique: bool = False) -> Job:
        """As RQ's, by which go ``enqueue_at`` and ``enqueue_in``."""
        if pipeline is not None:
            return super().schedule_job(job, datetime, pipeline=pipeline, unique=unique)
        if unique:
            pushed = super().schedule_job(job, datetime, unique=unique)
            self._follow(None, pushed)
            return pushed
        with self.connection.pipeline() as pipe:
            super().schedule_job(job, datetime, pipeline=pipe)
            self._follow(once.execute(pipe), job)
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
            made: list[Job] = super().enqueue_many(datas, pipeline, group_id)  # runs them, or asks meanwhile
            self._follow(None, *(made if pipeline is None else ()))
            return made
        with self.connection.pipeline() as own:
            with _uncollected():
                jobs: list[Job] = super().enqueue_many(datas, own if pipeline is None else pipeline, group_id)
            if jobs and pipeline is None:
                self._follow(once.execute(own), *jobs)
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
        if any(map(kwargs.get, _CHECKED)):
            _check_objects(kwargs)
            check_callbacks(kwargs)
        try:
            func = for_rq(func)
            job = self._create(func, *args, **_named(func, kwargs))
        except ValueError as error:
            if "Job ID" in str(error):
                raise OptionError(f"{error}: {kwargs.get('job_id')!r}") from error
            raise
        with proxies.reaching(own_workers=True) if self.own_workers else _AS_USUAL:
            _ = job.data  # pickled here, while nothing is written yet
        return job

    def _create(self, *args: Any, **kwargs: Any) -> Job:
        if self.job_class is not Job:
            return super().create_job(*args, **kwargs)
        if len(args) == 1 and kwargs.get("job_id") is None:  # all but the function goes by name, as RQ does it
            kwargs["job_id"] = ids.draw()
        # Whatever is given to a job's constructor, RQ looks each time whether it is a serializer: a fifth of
        # the time that ``enqueue_many`` takes.
        bare = object.__new__(type(self))
        bare.__dict__ = self.__dict__ | {"serializer": None}
        job = super(Queue, bare).create_job(*args, **kwargs)
        job.serializer = self.serializer
        return job


def _key(kind: str, name: str, what: str) -> str:
    """Of what programs share by this name: see ``keys.NAMED``."""
    if not ids.is_name(name):
        raise OptionError(f"{what}'s name may hold letters, digits and _.:- only, not {name!r}")
    return keys.named(kind, name)


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
        near = difflib.get_close_matches(name, [*_OWN, *_RQS], 1)
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
