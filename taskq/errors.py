"""Every error that taskq raises.

TaskqError
├── UsageError            what was asked for can't be done; nothing was written
│   ├── OptionError       an unknown option or a value out of its range    (also ValueError)
│   ├── DuplicateJobError a job with that id is waiting or running
│   ├── VersionError      another version of taskq works on this server
│   └── PayloadError      an item, a function or an argument can't travel
│       ├── PickleError       it can't be pickled                           (also pickle.PicklingError)
│       │   └── UnsendableError   an argument of a job, or of a Pool's call      (also TypeError)
│       └── TooLargeError     it is over the size limit
├── MapError              a map ended without all of its results
│   ├── MapFailedError    it failed as a whole: function not loadable, job timeout, ...
│   ├── MapCanceledError  it was cancelled or stopped
│   ├── EnoughError       it has all results that it wants (``first=``), and takes no more items
│   ├── ReplacedError     its id was pushed again; what there is now belongs to the new map
│   └── ResultsGoneError  its keys have expired or were deleted
├── ItemError             an item failed and its own exception could not travel
│   ├── ItemTimeoutError  it ran longer than ``item_timeout``              (also TimeoutError)
│   ├── ItemCanceledError it was cancelled before it had begun
│   ├── SourceFailedError it was to be a result of another map, which has failed
│   └── WorkerLostError   the item's process died each time it was tried
├── JobFailedError        a plain job that was awaited (taskq.aio) failed, or was stopped or cancelled
├── FunctionError         a shipped function can't be loaded where it arrived
│   └── ImportRefusedError it is not among those which the worker may import
├── DamagedError          what stands in Redis is not what taskq wrote there
│   └── SignatureError    it is not signed, or not by one of our keys, or was signed for another place
├── ServerError           no server could be reached or started
├── BrokenFrontError      a Pool or an Executor can do no more                (also BrokenExecutor)
├── LockLostError         a lock is not held, or was lost while it was           (also RuntimeError)
├── NestedWaitError       what waits holds what it waits for: a process, the end of a map
└── WaitTimeoutError      the time given to a wait is over              (also TimeoutError)
"""

from __future__ import annotations

import concurrent.futures
import pickle


class TaskqError(Exception):
    """Root of all of taskq's own errors."""


class UsageError(TaskqError):
    """What was asked for can't be done as asked; nothing was written to Redis."""


class OptionError(UsageError, ValueError):
    """An option is unknown, or its value is out of range."""


class DuplicateJobError(UsageError):
    """A job with the requested id is still waiting or running."""


class VersionError(UsageError):
    """Another version of taskq works on this server, with which this one can't work side by side."""


class PayloadError(UsageError):
    """Something can't be sent to the workers."""


class PickleError(PayloadError, pickle.PicklingError):
    """Neither pickle nor cloudpickle can serialize it."""


class UnsendableError(PickleError, TypeError):
    """An argument of a job, or of a call of a front, can't be pickled; the message says where in which."""


class TooLargeError(PayloadError):
    """It is larger than the limit of one chunk or one result."""


class MapError(TaskqError):
    """A map ended without all of its results."""


class MapFailedError(MapError):
    """The map failed as a whole; the message holds the worker's account."""


class MapCanceledError(MapError):
    """The map was cancelled or stopped before it was complete."""


class EnoughError(MapError):
    """An open map has all results that it wants (``first=``), and takes no more items."""


class ReplacedError(MapError):
    """The map's id was pushed again: what there is now is another map, and this one's results are gone."""


class ResultsGoneError(MapError):
    """The map's keys no longer exist: they expired (``result_ttl``) or were deleted."""


class ItemError(TaskqError):
    """An item failed with an exception that could not be brought here itself."""

    def with_cause(self, cause: BaseException) -> ItemError:
        """This error, with a cause."""
        self.__cause__ = cause
        return self


class ItemTimeoutError(ItemError, TimeoutError):
    """The item ran longer than ``item_timeout``."""


class ItemCanceledError(ItemError):
    """The item was cancelled before it had begun: see ``MapJob.cancel_item``."""


class SourceFailedError(ItemError):
    """The item was to be a result of another map, and that has none for it: see ``MapJob.map``."""


class WorkerLostError(ItemError):
    """The process that ran the item died, every time the item was tried."""


class JobFailedError(TaskqError):
    """A plain job that was awaited has no result: it failed, was stopped or cancelled, or is not known any more.

    RQ keeps the text of what a job has raised, and not the error: it is the cause of this one.
    """


class FunctionError(TaskqError):
    """A shipped function can't be loaded in the process that should run it."""


class ImportRefusedError(FunctionError):
    """The worker was told which functions may be called by name (``--allow-import``), and it is none of them."""


class DamagedError(TaskqError):
    """What was read from Redis is not what taskq writes there: garbage, or of another program."""


class SignatureError(DamagedError):
    """What was read from Redis has no signature that is right for its place; it was not unpickled."""


class ServerError(TaskqError):
    """No Redis server could be reached, or the embedded one could not be started."""

    away = False
    """Whether it may be there again in a while."""

    reason = ""
    """What has happened, in redis-py's words; "" if it is not the one who says so."""


class BrokenFrontError(TaskqError, concurrent.futures.BrokenExecutor):
    """A ``Pool`` or an ``Executor`` can do no more: its server stays away, or its map was ended by others.

    What its calls have returned so far, and which are still to run, stands on the server.
    """


class LockLostError(TaskqError, RuntimeError):
    """A lock was to be released that is not held, or was lost while it was held; see ``taskq.Lock``."""


class NestedWaitError(TaskqError):
    """What waits might hold the very thing that it waits for.

    An item, or a job, waits for a map on its own server, and might hold the process which that needs. Or a program
    waits for the end of a map that it has opened itself, when all that was put has ended, and no other thread
    could put more, or say that this was all.

    Not raised in a plain job that a stock RQ worker runs, where nobody looks: it waits until others run the map.
    """


class WaitTimeoutError(TaskqError, TimeoutError):
    """The time given to a wait is over; whether the job goes on is in its text."""


class RemoteTraceback(Exception):  # noqa: N818 - the name multiprocessing gives to the same thing
    """Carries the text of a traceback from a pool process, as the cause of the error raised here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'
