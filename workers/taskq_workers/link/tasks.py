"""What travels between a service and its pool processes: plain data, so that it always unpickles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from taskq.maps.source import Source
from taskq.payload.ranges import Range
from taskq.redis.limits import Limits


@dataclass(frozen=True)
class BlobFile:
    """A large object that a map refers to (``taskq/payload/large.py``).

    Args:
        path: Of the file with it, which can be mapped.
        data: Its bytes, on the way to another host, where the path is of no use.
    """

    digest: str
    size: int
    path: str
    data: bytes = b""


@dataclass(frozen=True)
class Introduction:
    """What a pool process must know of a map, and keeps.

    Args:
        incarnation: Of the map.
        function: The pickled ``Function``; b"" for a large one.
        fields: The RQ job's hash as in Redis, for ``get_current_job()``.
        path: Of the file with a large one.
        size: Bytes of it, and of the large objects.
        blobs: Those.
        source: The map whose results its items are, if they are any's.
    """

    job_id: str
    incarnation: str
    function: bytes
    fields: dict[bytes, bytes]
    path: str
    size: int
    blobs: tuple[BlobFile, ...] = ()
    source: Source | None = None


class ChunkTask(NamedTuple):
    """Run a chunk of a map.

    Args:
        job_id: The map; with ``range`` and ``worker`` for the log records of user code.
        range: The items that are to be run.
        key: Of the map in the pool process's memory; no two executions share one.
        introduction: None if this pool process has got it before.
        body: What the range needs: see ``maps/body.py``.
    """

    job_id: str
    range: Range
    worker: str
    key: str
    introduction: Introduction | None
    star: bool
    body: bytes
    limit: int
    item_timeout: float = 0.0  # seconds; 0.0: none
    adapt: bool = False  # the chunk may be cut
    server: Limits | None = None  # of the server; None: those of one as it comes
    exact: bool = False  # note each item that begins: something has died of one of them
    stretch: float = 1.0  # of the time after which it may be cut
    discards: bool = False  # results are only counted
    enough: int = 0  # so many results are wanted; 0: all
    retries: int = 0  # of items that fail
    tried: int = 0  # how often these items have been tried
    single: bool = False  # one item of it only
    bears: float = math.inf  # so many items may fail; with one more the map has


class JobTask(NamedTuple):
    """Run a plain RQ job, callbacks included.

    Args:
        fields: Its hash as in Redis.
        execution: Id of RQ's record of this run.
    """

    job_id: str
    fields: dict[bytes, bytes]
    worker: str
    execution: str = ""


@dataclass(frozen=True)
class AbandonedTask:
    """Fail a plain job of which too many workers have died: see ``suspect.py``.

    Args:
        error: Why, as its result is to say.
        tell: Call its failure callback, and the exception handlers.
    """

    job_id: str
    fields: dict[bytes, bytes]
    worker: str
    error: str
    tell: bool


@dataclass(frozen=True)
class BatchTask:
    """Run several plain jobs, one after the other.

    Args:
        number: Of the batch, for the marker; that of its first job.
        jobs: Each with its own number.
        seconds: After so many no further job is begun.
    """

    number: int
    jobs: tuple[tuple[int, JobTask], ...]
    seconds: float


@dataclass(frozen=True)
class CallbackTask:
    """Run the success or failure callback of a map; hooks around it have the time of an item."""

    job_id: str
    fields: dict[bytes, bytes]
    worker: str
    value: Any = None
    error: str | None = None  # None: the map succeeded
    item_timeout: float = 0.0  # seconds; 0.0: none


@dataclass(frozen=True)
class StoppedTask:
    """Run the callback of a job that was stopped; ``began``: Unix time."""

    job_id: str
    fields: dict[bytes, bytes]  # as they were before it began
    worker: str
    began: float


@dataclass(frozen=True)
class KilledTask:
    """Tell the user's handler that a plain job's process has died; ``status``: what ``os.waitpid`` would say."""

    job_id: str
    fields: dict[bytes, bytes]
    worker: str
    began: float
    pid: int
    status: int


@dataclass(frozen=True)
class WebhookTask:
    """Call the URLs that want to know how a job ended."""

    job_id: str
    fields: dict[bytes, bytes]
    worker: str
    status: str
    error: str | None
    ended: float  # Unix time


@dataclass(frozen=True)
class MaintenanceTask:
    """Clean RQ's registries of these queues; ``interval``: seconds until the next time."""

    queues: tuple[str, ...]
    worker: str
    interval: int


class JobOutcome(NamedTuple):
    """How a plain job, or a callback, ended.

    Args:
        value: The pickled return value; None if it returned None, or failed.
        error: The traceback's text; None: it succeeded.
        retry: ``(max, intervals, at front)`` if the job returned an ``rq.Retry``, whose pickle is ``value``.
        stopped: Somebody has stopped it; ``error`` says so.
        ran: When the function began and ended, on the monotonic clock, which all processes of a host share.
        changes: Attributes of the RQ job that its own code has changed; ``meta`` is pickled.
        name: Of the function, for a job with webhooks.
        refusal: See ``refusals.of``; empty if it was no matter of security.
    """

    value: bytes | None = None
    error: str | None = None
    retry: tuple[int, list[int], bool] | None = None
    refusal: str = ""
    stopped: bool = False
    ran: tuple[float, float] | None = None
    changes: dict[str, Any] | None = None
    name: str = ""


NOT_RUN = JobOutcome(error="not run")
"""How a job of a batch ended that has not even begun; it is to be run again."""

ErrandTask = StoppedTask | KilledTask | WebhookTask | MaintenanceTask
Task = ChunkTask | JobTask | AbandonedTask | CallbackTask | ErrandTask
