"""The systems that are compared, and what an adapter of one offers.

Each adapter is a module of this package with a context manager that starts two worker processes, one job at a time
each, and yields a ``Session``. It is imported only in the process which measures it, so that a system that is not
installed is missed by nobody but itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

PROCESSES = 2
RQ_VERSIONS = ("rq", "redis", "hiredis")


class Session(Protocol):
    """A system that is ready for work."""

    def one(self) -> None:
        """One no-op job, to its result."""

    def jobs(self, count: int) -> None:
        """As many independent no-op jobs, until all are known to be done."""

    def map(self, function: Callable[[Any], Any], items: Sequence[Any], *, alone: bool) -> Sequence[Any]:
        """The results of these items, in order; ``alone``: each is worth a job of its own."""


@dataclass(frozen=True, eq=False)
class System:
    """What is known of a system without importing it."""

    name: str  # as on the command line
    title: str
    start: str  # module, and the context manager in it
    packages: tuple[str, ...]  # whose versions are printed
    configured: str
    cannot: str = ""
    unable: Mapping[str, str] = field(default_factory=dict)  # work -> why it is not even tried
    start_tiny: str = ""  # as ``start``, where it is set up otherwise for jobs of no length


def session(start: str, url: str) -> AbstractContextManager[Session]:
    """Start a system, on the server at this URL; ``start`` is the field of ``System``."""
    module, function = start.split(":")
    return getattr(import_module(module, __name__), function)(url)


_RQ = (
    "`enqueue_many`, all jobs awaited by the length of the finished registry; results by `latest_result`. "
    "Quiet logs; NumPy is imported before the fork, as RQ's performance notes advise"
)
_RQ_CANNOT = "no map: one job for each item"

SYSTEMS = (
    System(
        "taskq", "taskq", ".taskq:start", ("taskq", *RQ_VERSIONS),
        "`taskq worker --services 1 --processes 2`; `Queue.map(...).get()`, `enqueue_many` for jobs, awaited as "
        "for RQ; no chunk sizes given",
    ),
    System(
        "pool", "multiprocessing.Pool", ".pool:start", (),
        "`Pool(2)`: `map`, with `chunksize=1` for items of a second; `apply_async` for jobs",
        "no queue: nothing outlives the caller, no other host can help, and a killed process hangs `map` for ever",
    ),
    System(
        "rq", "RQ Worker", ".rq:worker", RQ_VERSIONS,
        f"two `rq worker`, one fork for each job; {_RQ}", _RQ_CANNOT,
    ),
    System(
        "rq-simple", "RQ SimpleWorker", ".rq:simple_worker", RQ_VERSIONS,
        f"two `rq worker -w rq.worker.SimpleWorker`, no fork; {_RQ}",
        f"{_RQ_CANNOT}; a job that dies takes its worker with it",
    ),
    System(
        "rq-pool", "RQ worker-pool", ".rq:worker_pool", RQ_VERSIONS, f"`rq worker-pool -n 2`; {_RQ}", _RQ_CANNOT,
    ),
    System(
        "celery", "Celery prefork", ".celery:start", ("celery", "kombu", "redis"),
        "Redis as broker and backend, `--pool prefork --concurrency 2`, no gossip, mingle or heartbeat, "
        "`worker_prefetch_multiplier=64` for the jobs; map of tiny items: `task.chunks`, 1,000 a chunk; "
        "else a `group`",
        "tasks must be known to the worker by name",
    ),
    System(
        "dramatiq", "Dramatiq", ".dramatiq:start", ("dramatiq", "redis"),
        "`--processes 2 --threads 1`, for no-op jobs, map and latency 8 threads each, which is faster; "
        "RedisBroker, results in Redis, pickled; `group(...).run().get_results`",
        "no map: one message for each item; actors must be known to the worker by name",
        start_tiny=".dramatiq:start_tiny",
    ),
    System(
        "huey", "Huey", ".huey:start", ("huey", "redis"),
        "RedisHuey with `notify_result`, `-k process -w 2`, no periodic tasks; "
        "`task.map(items).get(blocking=True)`",
        "its map is one task for each item; tasks must be known to the worker by name",
    ),
    System(
        "saq", "SAQ", ".saq:start", ("saq", "redis", "hiredis"),
        "`--workers 2`, concurrency 1, pickle as `dump` and `load`; `Queue.map` and `apply`, whose "
        "`poll_interval` of 0.5 s is set to 1 ms for the latency, to 20 ms else",
        "its map is one job for each item; a function that blocks blocks its whole worker",
    ),
    System(
        "taskiq", "taskiq", ".taskiq:start", ("taskiq", "taskiq-redis", "redis"),
        "ListQueueBroker (its fastest for Redis: without acknowledgements) and RedisAsyncResultBackend, "
        "`--workers 2 --max-async-tasks 1`; `kiq`, then `wait_result` every 1 ms for the latency, "
        "`gather` every 20 ms else",
        "no map: one task for each item",
        {"arrays": "its results must be what pydantic can write as JSON, NumPy arrays are not"},
    ),
    System(
        "dask", "Dask distributed", ".dask:start", ("distributed",),
        "LocalCluster of 2 workers with 1 thread each, TCP on loopback, no dashboard; `Client.map`, for tiny "
        "items `dask.bag` of 8 partitions; `submit` for jobs",
        "nothing is kept on disk or in Redis: jobs and results are gone with the scheduler",
    ),
    System(
        "ray", "Ray Pool", ".ray:start", ("ray",),
        "`ray.init(num_cpus=2)`, `ray.util.multiprocessing.Pool(2)`: `map`, with `chunksize=1` for items of a "
        "second; `apply_async` for jobs",
        "jobs and results are gone with the driver",
    ),
)  # fmt: skip
