"""taskq: ``multiprocessing.Pool.map`` made durable.

    >>> from taskq import Queue
    >>> job = Queue().map(compute, range(8))
    >>> job.get()

The items wait in Redis, supervised workers (``taskq worker``) run them on all cores, and the results are
collected in a Redis list. See README.md.
"""

from taskq import as_program as _as_program  # noqa: F401 - before all others: see there

# isort: split
from taskq.errors import (
    DamagedError,
    DuplicateJobError,
    FunctionError,
    ImportRefusedError,
    ItemCanceledError,
    ItemError,
    ItemTimeoutError,
    MapCanceledError,
    MapError,
    MapFailedError,
    NestedWaitError,
    OptionError,
    PayloadError,
    PickleError,
    ReplacedError,
    ResultsGoneError,
    ServerError,
    SignatureError,
    TaskqError,
    TooLargeError,
    UsageError,
    VersionError,
    WaitTimeoutError,
    WorkerLostError,
)
from taskq.local import local
from taskq.maps.item_retry import Retry
from taskq.maps.job import MapJob
from taskq.maps.open_map import OpenMap
from taskq.payload.outcome import ItemFailure
from taskq.payload.rq_defaults import guard as _guard_rq
from taskq.queue import Queue
from taskq.result_list import ResultList
from taskq.views.progress import Progress
from taskq.worker import Worker

_guard_rq()  # where there is a key, RQ, too, reads nothing unsigned

__version__ = "0.1.0"

__all__ = [
    "DamagedError",
    "DuplicateJobError",
    "FunctionError",
    "ImportRefusedError",
    "ItemCanceledError",
    "ItemError",
    "ItemFailure",
    "ItemTimeoutError",
    "MapCanceledError",
    "MapError",
    "MapFailedError",
    "MapJob",
    "NestedWaitError",
    "OpenMap",
    "OptionError",
    "PayloadError",
    "PickleError",
    "Progress",
    "Queue",
    "ReplacedError",
    "ResultList",
    "ResultsGoneError",
    "Retry",
    "ServerError",
    "SignatureError",
    "TaskqError",
    "TooLargeError",
    "UsageError",
    "VersionError",
    "WaitTimeoutError",
    "Worker",
    "WorkerLostError",
    "local",
]
