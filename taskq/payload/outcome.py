"""What comes out of running items: plain data that crosses from the pool process to Redis to the caller."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from taskq.errors import (
    DamagedError,
    ItemCanceledError,
    ItemError,
    ItemTimeoutError,
    RemoteTraceback,
    SourceFailedError,
    TooLargeError,
    WorkerLostError,
)
from taskq.payload import codec
from taskq.payload.ranges import Range

MAX_TEXT = 16_384  # characters kept of a traceback or a message
MAX_PICKLE = 5 << 18
"""Bytes of an exception that travels as it is: one with a MiB of text does."""

_SIGNALS = (
    SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, concurrent.futures.CancelledError,
)  # fmt: skip
"""What would do something to a program that asks for results: to end it silently, for one."""

Kinds = tuple[type[BaseException], ...]

_OWN: dict[str, type[ItemError]] = {
    error.__name__: error for error in (ItemCanceledError, ItemTimeoutError, SourceFailedError, WorkerLostError)
}


@dataclass(frozen=True)
class ItemFailure:
    """Why one item has no result; its JSON is the error record in Redis."""

    index: int
    type: str
    message: str
    traceback: str = field(default="", repr=False)
    pickled: str = field(default="", repr=False)  # base64 of the exception; empty if it doesn't survive pickling
    attempts: int = 1
    host: str = ""  # where it ran

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")

    @classmethod
    def from_json(cls, data: bytes) -> ItemFailure:
        """The record.

        Raises:
            DamagedError: If it is none.
        """
        try:
            record = cls(**json.loads(data))
        except (TypeError, ValueError, RecursionError) as error:
            raise DamagedError(f"{data[:80]!r} is no error record") from error
        kinds = {"index": int, "attempts": int}
        if not all(isinstance(value, kinds.get(name, str)) for name, value in vars(record).items()):
            raise DamagedError(f"{data[:80]!r} is no error record")
        return record

    @classmethod
    def lost(cls, index: int, cause: str, deaths: int, host: str = "", services: int = 0) -> ItemFailure:
        """The record of an item that is given up.

        Args:
            index: The item's.
            cause: What died the last time, for people; it names the host.
            deaths: How often its process, or the whole service, died while it ran.
            host: Where it is given up.
            services: How many of these were whole services.
        """
        what = "the service" if services == deaths else "the process or the service" if services else "the process"
        message = f"item {index} was given up: {what} that ran it died {deaths} times, last by {cause}"
        return cls(index, "WorkerLostError", message, attempts=deaths, host=host)

    @classmethod
    def canceled(cls, index: int) -> ItemFailure:
        """The record of an item that is not to run."""
        return cls(index, "ItemCanceledError", f"item {index} was cancelled before it had begun", attempts=0)

    @classmethod
    def of_source(cls, index: int, source: str, failure: ItemFailure) -> ItemFailure:
        """The record of an item that has no value, since that was to be a result of another map.

        Args:
            index: The item's.
            source: Id of that map.
            failure: The record there.
        """
        why = f"{failure.type}: {failure.message}"[:MAX_TEXT]
        message = f"item {index} has no value: item {failure.index} of the map {source} failed with {why}"
        return cls(index, "SourceFailedError", message, failure.traceback, attempts=0, host=failure.host)

    @classmethod
    def not_stored(cls, index: int, why: str, host: str = "") -> ItemFailure:
        """The record of an item whose result the server would not take."""
        message = f"the result of item {index} can't be stored: {why}. Store it elsewhere, and return where"
        pickled = base64.b64encode(codec.dumps(TooLargeError(message))).decode()
        return cls(index, "TooLargeError", message, pickled=pickled, host=host)

    @classmethod
    def timeout(cls, index: int, seconds: float, traceback: str = "", host: str = "") -> ItemFailure:
        """The record of an item that ran longer than its time limit."""
        message = f"item {index} ran longer than item_timeout, {seconds:g} s"
        return cls(index, "ItemTimeoutError", message, traceback, host=host)

    def exception(self, of: str = "") -> BaseException:
        """The exception of the item: its own where it could travel, with its traceback as cause.

        Args:
            of: Names the map, in a note that the exception gets.
        """
        error = self._original() or self._stand_in()
        if self.traceback:
            _set(error, "__cause__", RemoteTraceback(self.traceback))
        add_note(error, self._where(of))
        return error

    def to_raise(self, of: str = "", wrapped: Kinds = ()) -> BaseException:
        """The exception to raise for it.

        One that means something to Python, as the ``SystemExit`` of ``sys.exit()``, is the cause of an
        ``ItemError``: raised itself it would end the program that asks for results, or look like a Ctrl-C.

        Args:
            of: As for ``exception``.
            wrapped: What else would mean something where it is to be raised.
        """
        error = self.exception(of)
        if not (_is_signal(error) or isinstance(error, wrapped)):
            return error
        outer = ItemError(self._text).with_cause(error)
        add_note(outer, self._where(of))
        return outer

    def _where(self, of: str) -> str:
        """Of which item it is, and where that ran."""
        return " ".join(
            [f"item {self.index}", *(["of", of] if of else []), *(["on", self.host] if self.host else [])]
        )

    def _original(self) -> BaseException | None:
        if not self.pickled:
            return None
        try:
            error = codec.loads(base64.b64decode(self.pickled))
        except Exception:  # noqa: BLE001 - its class may not exist here; the stand-in says what it was
            return None
        return error if isinstance(error, BaseException) else None

    def _stand_in(self) -> ItemError:
        own = _OWN.get(self.type)
        return own(self.message) if own else ItemError(self._text)

    @property
    def _text(self) -> str:
        return f"item {self.index} failed with {self.type}: {self.message}"

    def __str__(self) -> str:
        return f"item {self.index}: {self.type}: {self.message}"


def _is_signal(error: BaseException) -> bool:
    group = isinstance(error, BaseExceptionGroup) and not isinstance(error, Exception)  # there is one in it
    return group or isinstance(error, _SIGNALS)


def add_note(error: BaseException, note: str) -> None:
    """As ``error.add_note``, also for a class that lets nobody set an attribute."""
    _set(error, "__notes__", [*getattr(error, "__notes__", ()), note])


def _set(error: BaseException, name: str, value: object) -> None:
    object.__setattr__(error, name, value)


@dataclass(frozen=True)
class Part:
    """A part of a chunk that is still to be done, or to be done again.

    Args:
        range: Its items are in it; with others which are done, if its body says so.
        body: A body of its own; empty: it still needs the one that the chunk has.
    """

    range: Range
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class ChunkOutcome:
    """What became of the items of one chunk, in the order in which they ran.

    Args:
        values: The pickled results.
        spans: ``(start, count)`` for each run of consecutive items among ``values``.
        failures: For the items that have none.
        started: Unix time in seconds; on its way from a pool process, on the monotonic clock.
        seconds: How long the chunk ran.
        rest: Parts of the chunk that did not run; they become chunks of their own.
        left: The parts whose items failed, for a retry.
        discarded: ``values`` is empty, for the map keeps none.
        remembers: The process keeps something of the map until it is over: see ``maps/remembered.py``.
        again: The parts whose items failed, and are to be tried again after a pause; they have no error record.
    """

    values: list[bytes | memoryview]
    spans: list[tuple[int, int]]
    failures: list[ItemFailure]
    started: float
    seconds: float
    rest: list[Part] = field(default_factory=list)
    left: list[Part] = field(default_factory=list)
    again: list[Part] = field(default_factory=list)
    discarded: bool = False
    remembers: bool = False

    @property
    def succeeded(self) -> int:
        """How many items have a result."""
        return sum(count for _start, count in self.spans) if self.discarded else len(self.values)


@dataclass(frozen=True)
class ChunkRefused:
    """The chunk could not be started at all: its function or its items can't be loaded here, or may not be.

    Args:
        reason: For people.
        refusal: See ``refusals.of``; empty if it was no matter of security.
        local: Whether another worker may well be able to run it.
    """

    reason: str
    refusal: str = ""
    local: bool = False


@dataclass(frozen=True)
class Totals:
    """Where a map stands after a commit."""

    committed: bool  # False: the chunk was no longer ours, nothing was stored
    done: int = 0
    failed: int = 0
    total: int = 0
    pending: int = 0  # chunks that nobody holds
    room: int = 0  # nothing was stored, for there are more results than are wanted: so many are
    followers: str = ""  # the maps whose items are its results, as ``source.followers`` reads it

    @property
    def complete(self) -> bool:
        return self.done + self.failed >= self.total


def summary(done: int, failed: int, total: int, seconds: float) -> dict[str, Any]:
    """What RQ's ``job.return_value()`` says of a map."""
    return {"items": total, "done": done, "failed": failed, "seconds": round(seconds, 3)}
