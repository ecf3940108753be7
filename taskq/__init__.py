"""taskq: ``multiprocessing.Pool.map`` made durable.

    >>> from taskq import Queue
    >>> job = Queue().map(compute, range(8))
    >>> job.get()

The items wait in Redis, supervised workers (``taskq worker``) run them on all cores, and the results are
collected in a Redis list. See README.md.
"""

from taskq import as_program as _as_program  # noqa: F401 - before all others: see there

# isort: split
from typing import TYPE_CHECKING as _TYPE_CHECKING

from taskq.dictionary import Dict
from taskq.errors import (
    BrokenFrontError,
    DamagedError,
    DuplicateJobError,
    EnoughError,
    FunctionError,
    ImportRefusedError,
    ItemCanceledError,
    ItemError,
    ItemTimeoutError,
    JobFailedError,
    LockLostError,
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
    SourceFailedError,
    TaskqError,
    TooLargeError,
    UnsendableError,
    UsageError,
    VersionError,
    WaitTimeoutError,
    WorkerLostError,
)
from taskq.event import Event
from taskq.fifo import Fifo
from taskq.local import local
from taskq.lock import Lock
from taskq.maps.item_retry import Retry
from taskq.maps.job import MapJob
from taskq.maps.open_map import OpenMap
from taskq.maps.remembered import state
from taskq.maps.shared import Shared, share
from taskq.payload.outcome import ItemFailure
from taskq.payload.rq_defaults import guard as _guard_rq
from taskq.queue import Queue
from taskq.result_list import ResultList
from taskq.value import Value
from taskq.views.progress import Progress
from taskq.worker import Worker

if _TYPE_CHECKING:
    from taskq import aio
    from taskq.fronts.executor import Executor
    from taskq.fronts.pool import Pool
    from taskq.manager import Manager

_guard_rq()  # where there is a key, RQ, too, reads nothing unsigned

__version__ = "0.1.0"

__all__ = [
    "BrokenFrontError",
    "DamagedError",
    "Dict",
    "DuplicateJobError",
    "EnoughError",
    "Event",
    "Executor",
    "Fifo",
    "FunctionError",
    "ImportRefusedError",
    "ItemCanceledError",
    "ItemError",
    "ItemFailure",
    "ItemTimeoutError",
    "JobFailedError",
    "Lock",
    "LockLostError",
    "Manager",
    "MapCanceledError",
    "MapError",
    "MapFailedError",
    "MapJob",
    "NestedWaitError",
    "OpenMap",
    "OptionError",
    "PayloadError",
    "PickleError",
    "Pool",
    "Progress",
    "Queue",
    "ReplacedError",
    "ResultList",
    "ResultsGoneError",
    "Retry",
    "ServerError",
    "Shared",
    "SignatureError",
    "SourceFailedError",
    "TaskqError",
    "TooLargeError",
    "UnsendableError",
    "UsageError",
    "Value",
    "VersionError",
    "WaitTimeoutError",
    "Worker",
    "WorkerLostError",
    "aio",
    "local",
    "share",
    "state",
]

_LATE = {
    "Executor": "taskq.fronts.executor",
    "Manager": "taskq.manager",
    "Pool": "taskq.fronts.pool",
    "aio": "taskq.aio",
}
"""What few programs need: name -> module that is it, or has it; imported when it is asked for."""


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module as _import_module

    module = _import_module(_LATE[name])
    return module if _LATE[name] == f"{__name__}.{name}" else getattr(module, name)
