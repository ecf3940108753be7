"""Runs the items of one chunk, one after the other, and turns every outcome into plain bytes.

Runs inside a pool process, or in the work horse of a stock RQ worker. Whatever user code does, exit or
raise something that can't be pickled, becomes the outcome of that item alone: an exception that reached
``multiprocessing.Pool`` itself could hang it (sys.exit) or kill its result thread (one that doesn't unpickle).
"""

from __future__ import annotations

import base64
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from taskq.errors import PickleError, TooLargeError
from taskq.maps import chunk, forks
from taskq.maps.time_limit import Expired, limited
from taskq.payload import codec, results
from taskq.payload.function import Function
from taskq.payload.outcome import MAX_TEXT, ChunkOutcome, ChunkRefused, ItemFailure
from taskq.redis import refusals
from taskq.redis.keys import MapKeys

SLICE = 0.1  # seconds after which a chunk whose size taskq has picked is cut
HELD = 3 << 20  # bytes of results with which it is, too
_GLOBAL = b"\x93"  # pickle's opcode for a class or function by name
_REST = 0.5  # of what a chunk may take: less than this left is not worth another journey
_PART = 0.9  # of the same: what each part of the rest takes, if its items are like those before
_GLANCE = 0.001  # seconds between two looks at whether the chunk is to stop, while its items are shorter
_NEVER = float("inf")


class Watch(Protocol):
    """Who looks on while a chunk runs."""

    def begins(self, index: int) -> bool:
        """Called before an item; returns whether the chunk is to stop instead."""


def run_chunk(
    function: Function,
    keys: MapKeys,
    star: bool,
    payload: bytes,
    limit: int,
    *,
    item_timeout: float = 0.0,
    adapt: bool = False,
    watch: Watch | None = None,
    passing: tuple[type[BaseException], ...] = (),
) -> ChunkOutcome | ChunkRefused:
    """Call the function for each item that is to be done.

    Args:
        function: What to call.
        keys: Of the map.
        star: Whether each item is a tuple of arguments.
        payload: As ``chunk.Chunker`` made it.
        limit: Bytes a pickled result may have; a larger one fails its item.
        item_timeout: Seconds an item may run; 0: no limit.
        adapt: Whether a chunk that turns out to run long may be cut: then it ends after ``SLICE`` seconds, or
            with ``HELD`` bytes of results, and the rest is part of the outcome, in chunks of about that size.
        watch: Who is told of the items and may stop the chunk; the rest is then part of the outcome.
        passing: Exceptions that are meant for the caller.

    Raises nothing but those, whatever user code does.
    """
    try:
        call = function.load()
        header = chunk.read_header(payload)
        items = chunk.read_items(keys.id, payload)
    except BaseException as error:  # noqa: BLE001 - loading imports user modules, which may do anything
        return refused(error)
    if item_timeout:
        call = limited(call, item_timeout)
    pace = _Pace(watch, item_timeout, adapt, len(header.offsets))
    return _run(call, star, header, items, limit, pace, passing, keys)


class _Pace:
    """Decides before an item whether the chunk stops there; asked as seldom as it may be."""

    def __init__(self, watch: Watch | None, item_timeout: float, adapt: bool, count: int) -> None:
        self.item_timeout = item_timeout
        self.began = time.perf_counter()
        self.next_look = self.began if watch or adapt else _NEVER
        self.size: int | None = None  # items of each part of the rest
        self._watch = watch
        self._glance = 0.0 if item_timeout else _GLANCE
        self.held = 0  # bytes of results
        self.most = HELD if adapt else _NEVER
        self._slice = SLICE if adapt else _NEVER
        self._count = count

    def stops(self, index: int, position: int, now: float) -> bool:
        """Whether to stop before the item with this index, at this position of what is to be done."""
        self.next_look = now + self._glance
        if self._watch and self._watch.begins(index):
            return True
        share = max((now - self.began) / self._slice, self.held / self.most)  # of what a chunk may take
        if share < 1 or not position:
            return False
        each = share / position
        if (self._count - position) * each < _REST:
            return False
        self.size = max(1, int(_PART / each))
        return True


def _run(
    call: Callable[..., Any],
    star: bool,
    header: chunk.Header,
    items: Any,
    limit: int,
    pace: _Pace,
    passing: tuple[type[BaseException], ...],
    keys: MapKeys,
) -> ChunkOutcome:
    started, clock, here = time.time(), time.perf_counter, forks.count
    rest: list[bytes] = []
    values: list[bytes] = []
    failures: list[ItemFailure] = []
    held, most = 0, pace.most
    for position, (offset, item) in enumerate(_to_do(header, items)):
        index = header.start + offset
        if (now := clock()) >= pace.next_look and pace.stops(index, position, now):
            rest = chunk.cut(keys.id, header, items, position, pace.size)
            break
        try:
            value = call(*item) if star else call(item)
            if forks.count != here:
                forks.leave()
            data = _pickled_result(value, index, limit)
        except BaseException as error:  # SystemExit and KeyboardInterrupt, too, cost only this item
            if forks.count != here:
                forks.leave(error)
            if isinstance(error, passing):
                raise
            failures.append(failure_of(error, index, pace.item_timeout))
            continue
        values.append(data)
        held += len(data)
        if held >= most:
            pace.held, pace.next_look = held, 0.0
    spans = _spans(header, len(values) + len(failures), {failure.index for failure in failures})
    sealed = results.sealed(keys.results, values, spans)
    return ChunkOutcome([*sealed], spans, failures, started, clock() - pace.began, rest)


def _spans(header: chunk.Header, count: int, failed: set[int]) -> list[tuple[int, int]]:
    """``(start, count)`` for each run of consecutive items with a result, among the first ``count`` to be done."""
    if not failed and not header.only:
        return [(header.start, count)] if count else []
    spans: list[tuple[int, int]] = []
    for offset in header.offsets[:count]:
        index = header.start + offset
        if index in failed:
            continue
        if spans and sum(spans[-1]) == index:
            spans[-1] = spans[-1][0], spans[-1][1] + 1
        else:
            spans.append((index, 1))
    return spans


def _pickled_result(value: Any, index: int, limit: int) -> bytes:
    """The result's pickle. One which nobody could read is this item's error, here and now."""
    data = codec.dumps(value, "the result")
    if len(data) > limit:
        raise TooLargeError(
            f"the result of item {index} is {len(data):,} bytes, over the limit of {limit:,}. "
            "Store it elsewhere and return where, or raise the limit: Queue(payload_limit=...)."
        )
    if _GLOBAL in data and not codec.is_array(value):  # else only plain values are in it, which any reader knows
        try:
            codec.loads(data)
        except Exception as error:
            raise PickleError(
                f"the result of item {index} ({type(value).__name__}) can be pickled, but not unpickled: "
                f"{type(error).__name__}: {error}"
            ) from error
    return data


def _to_do(header: chunk.Header, items: Any) -> Any:
    return ((offset, items[offset]) for offset in header.only) if header.only else enumerate(items)


def failure_of(error: BaseException, index: int, item_timeout: float = 0.0) -> ItemFailure:
    """The record of an exception that an item raised; ``item_timeout``: see ``run_chunk``. Never raises."""
    if isinstance(error, Expired):
        return ItemFailure.timeout(index, item_timeout, traceback_of(error))
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, (PickleError, TooLargeError)):
        name = kind.__name__
    return ItemFailure(index, name, _text(error), traceback_of(error), _pickled(error))


def traceback_of(error: BaseException) -> str:
    """The traceback's text without taskq's own frames."""
    try:
        tb = error.__traceback__
        text = "".join(traceback.format_exception(type(error), error, tb.tb_next if tb else None))
    except BaseException as broken:  # noqa: BLE001 - a __str__ of user code may do anything
        return f"{type(error).__name__} (its traceback can't be shown: {type(broken).__name__})"
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT // 2]}\n...\n{text[-MAX_TEXT // 2 :]}"


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except BaseException as broken:  # noqa: BLE001 - as above
        return f"(its message can't be shown: {type(broken).__name__})"


def _pickled(error: BaseException) -> str:
    """The exception as base64, if it survives the journey; tried out here, where a failure harms nobody."""
    try:
        data = codec.dumps(error)
        if len(data) > MAX_TEXT or not isinstance(codec.loads(data), type(error)):
            return ""
    except BaseException:  # noqa: BLE001 - __reduce__ and __setstate__ are user code
        return ""
    return base64.b64encode(data).decode()


def refused(error: BaseException, what: str = "") -> ChunkRefused:
    """The outcome of a chunk that could not be started because of this error."""
    return ChunkRefused(f"{what}{type(error).__name__}: {_text(error)}", refusals.of(error))
