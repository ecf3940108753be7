"""Proxies of multiprocessing's managers, and its locks: they belong to the processes of one program.

A proxy is pickled without the key of its manager, and can be used only where the process has that key. Workers
that ``taskq.local`` starts (so those of a ``taskq.Pool`` without a queue) have it: it travels in a file that only
their user may read. Anywhere else a proxy would raise when it is used, long after it was sent; so it is refused.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import cloudpickle

from taskq.errors import UnsendableError
from taskq.payload.parts import path_to

VARIABLE = "TASKQ_AUTHKEY"
"""Names the file with the key, for workers that a program starts for itself."""

INSTEAD = (
    "it works in processes of this program only. Shared counterparts on the server: q.lock(name), q.value(name), "
    "q.result_list(name), q.dict(name), q.queue(name), q.event(name). In processes that a taskq.Pool or "
    "taskq.local() starts itself, proxies of a Manager work"
)

_MARK = b"RebuildProxy"  # by which the pickle of a proxy is known, and of what speaks of one
_INHERITED = "through inheritance"  # what multiprocessing says of locks, queues and values that were not inherited

_OF_ONE_PROGRAM = ("multiprocessing.synchronize", "multiprocessing.sharedctypes", "multiprocessing.queues")
"""Whose objects a ``Process`` inherits, and nobody else can have."""

_reached: ContextVar[bool] = ContextVar("taskq_reached", default=False)
_in_worker: list[bool] = []  # one, once this is known to be a pool process


@contextmanager
def reaching(own_workers: bool) -> Iterator[None]:
    """What is pickled in the block goes to workers which have this program's key, or may not have it."""
    before = _reached.set(own_workers)
    try:
        yield
    finally:
        _reached.reset(before)


def use_in_worker() -> None:
    """From now on nothing is refused in this process: what it sends goes back to who has sent it."""
    _in_worker[:] = [True]


def check(value: Any, data: bytes, what: str) -> None:
    """See that a value can be used where it arrives.

    Args:
        value: What was pickled.
        data: Its pickle.
        what: What to call it.

    Raises:
        UnsendableError: If a proxy is in it that can't; says where.
    """
    managers: Any = sys.modules.get("multiprocessing.managers")
    if managers is None or _in_worker or _MARK not in data:
        return
    if any(map(_is_stray, _all(value, managers.BaseProxy))):
        raise _refused(value, what)


def of_lock(value: Any, what: str, error: Exception) -> UnsendableError | None:
    """What to raise instead of this error, if it says that a value has a lock (or the like) of multiprocessing."""
    return _refused(value, what) if isinstance(error, RuntimeError) and _INHERITED in str(error) else None


def place(value: Any) -> str | None:
    """Where in a value there is something that can't be sent, and its type; None: it is not seen."""
    found: list[Any] = []

    def wanted(part: Any) -> bool:
        if _is_stray(part):
            found.append(part)
        return bool(found)

    with suppress(Exception):  # whatever the attributes of the user's classes raise
        if (path := path_to(value, wanted)) is not None:
            kind = type(found[0])
            return f"{path} ({kind.__module__}.{kind.__qualname__})"
    return None


def _is_stray(part: Any) -> bool:
    if type(part).__module__ in _OF_ONE_PROGRAM:
        return True
    managers: Any = sys.modules.get("multiprocessing.managers")
    if managers is None or not isinstance(part, managers.BaseProxy):
        return False
    key = managers.process.current_process().authkey
    return not _reached.get() or part._authkey != key  # noqa: SLF001 - it has no other name


def _refused(value: Any, what: str) -> UnsendableError:
    path = place(value)
    where = f"{what}{path}" if path is not None else f"something of multiprocessing in {what}"
    return UnsendableError(f"{where} can't travel to these workers: {INSTEAD}")


class _Finder(cloudpickle.Pickler):
    """Pickles for nobody, and notes what it meets on the way."""

    def __init__(self, kind: type) -> None:
        super().__init__(io.BytesIO())
        self._kind = kind
        self.found: list[Any] = []

    def persistent_id(self, part: Any) -> None:
        if isinstance(part, self._kind):
            self.found.append(part)


def _all(value: Any, kind: type) -> list[Any]:
    finder = _Finder(kind)
    with suppress(Exception):  # it was pickled already, in the way that it needs
        finder.dump(value)
    return finder.found
