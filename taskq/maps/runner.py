"""Runs the items of one chunk, one after the other, and turns every outcome into plain bytes.

Runs inside a pool process, or in the work horse of a stock RQ worker. Whatever user code does, exit or
raise something that can't be pickled, becomes the outcome of that item alone: an exception that reached
``multiprocessing.Pool`` itself could hang it (sys.exit) or kill its result thread (one that doesn't unpickle).
"""

from __future__ import annotations

import base64
import socket
import time
import traceback
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from taskq.errors import DamagedError, ItemTimeoutError, PickleError, TooLargeError
from taskq.maps import coroutines, forks
from taskq.maps.body import Body, read_header
from taskq.maps.item_retry import NEVER, Again, meant
from taskq.maps.time_limit import Expired, limited
from taskq.payload import codec, results
from taskq.payload.function import Function
from taskq.payload.outcome import MAX_PICKLE, MAX_TEXT, ChunkOutcome, ChunkRefused, ItemFailure, Part
from taskq.payload.ranges import Range
from taskq.redis import refusals
from taskq.redis.keys import MapKeys
from taskq.redis.limits import PARTS, USUAL, Limits

SLICE = 0.1  # seconds after which a chunk whose size taskq has picked is cut
HELD = 3 << 20  # bytes of results, and of errors, with which it is, too
_RECORD = 5 << 10  # bytes for which an error counts at least: the server writes one large one faster than many
_HOST = socket.gethostname()
_HIDDEN = "__tracebackhide__"  # a local variable by which a function says so, as pytest knows it
_GLOBAL = b"\x93"  # pickle's opcode for a class or function by name
MOST_ITEMS = PARTS // 4
"""Of any chunk: each may be two parts of the command that commits it."""
MAX_PARTS = 256  # into which a chunk is cut at a time
_REST = 0.5  # of what a chunk may take: less than this left is not worth another journey
_PART = 0.9  # of the same: what each part of the rest takes, if its items are like those before
_SMALL = (256, 32)  # bytes of a part, and of each item of it, which are always allowed
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
    part: Range,
    payload: bytes,
    limit: int,
    *,
    item_timeout: float = 0.0,
    adapt: bool = False,
    watch: Watch | None = None,
    passing: tuple[type[BaseException], ...] = (),
    server: Limits = USUAL,
    exact: bool = False,
    discards: bool = False,
    enough: int = 0,
    stretch: float = 1.0,
    inside: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
    retries: int = 0,
    tried: int = 0,
    single: bool = False,
) -> ChunkOutcome | ChunkRefused:
    """Call the function for each item that is to be done.

    Args:
        function: What to call.
        keys: Of the map.
        star: Whether each item is a tuple of arguments.
        part: The range that is to be run.
        payload: The body which it needs.
        limit: Bytes a pickled result may have; a larger one fails its item.
        item_timeout: Seconds an item may run; 0: no limit.
        adapt: Whether a chunk that turns out to run long may be cut: then it ends after ``SLICE`` seconds, or
            with ``HELD`` bytes of results, and the rest is part of the outcome, in chunks of about that size.
        watch: Who is told of the items and may stop the chunk; the rest is then part of the outcome.
        passing: Exceptions that are meant for the caller.
        exact: Tell ``watch`` of each item; else of one that begins a moment after the last of which it was told.
        discards: Results are nobody's: they are neither pickled nor kept.
        enough: So many results are wanted: with them the chunk ends; 0: all.
        stretch: How many times ``SLICE`` it may last before it is cut.
        inside: Makes of user code what is called in its place, e.g. in a context of its own; what that raises, the
            item has raised. None: it is called as it is.
        retries: How often an item that fails is tried again, if the function's ``kinds`` say so; then it is part
            of the outcome, with no error record.
        tried: How often these items have been tried before.
        single: Run one item only; the rest is part of the outcome, in chunks of one item each.
        server: What the server takes; a chunk with more items, or larger results, is cut, whatever its size.

    Raises nothing but those, whatever user code does.
    """
    inside = inside or _as_it_is
    try:
        call = forks.call(inside(function.load))
        again = Again(retries, tried, forks.call(inside(meant), function.kinds)) if retries else NEVER
    except BaseException as error:  # noqa: BLE001 - loading imports user modules, which may do anything
        return refused(error)
    try:
        body = forks.call(inside(Body.read), keys, payload)
    except BaseException as error:  # noqa: BLE001 - reading items runs user code, too
        return _unreadable(error, payload, part, again)
    if coroutines.expected(call):
        call = coroutines.awaiting(call)
    call = inside(call)
    if item_timeout:
        call = limited(call, item_timeout)
    glance = 0.0 if exact or item_timeout or enough else _GLANCE
    most = SLICE * stretch if adapt else _NEVER
    pace = _Pace(watch, glance, most, len(body.header.within(part)), server.together, enough)
    loads = body.loads and inside(body.loads)
    how = _How(call, star, loads, limit, server, passing, item_timeout, discards, again)
    return _run(how, body, part, pace, keys, single=single)


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@dataclass(frozen=True)
class _How:
    """How the items of a chunk are called, and what is taken for a result: see ``run_chunk``."""

    call: Callable[..., Any]
    star: bool
    loads: Callable[[Any], Any] | None  # reads an item; None: it is read already
    limit: int
    server: Limits
    passing: tuple[type[BaseException], ...]
    item_timeout: float
    discards: bool
    again: Again


class _Pace:
    """Decides before an item whether the chunk stops there; asked as seldom as it may be."""

    def __init__(
        self, watch: Watch | None, glance: float, seconds: float, count: int, most: int, enough: int
    ) -> None:
        self.began = time.perf_counter()
        adapt = seconds < _NEVER
        self.next_look = self.began if watch or adapt or enough else _NEVER
        self._enough, self._failed = enough, 0
        self.size: int | None = None  # items of each part of the rest
        self._watch = watch
        self._glance = glance
        self.held = 0  # bytes of results and errors
        self.most = min(HELD, most) if adapt else most
        self.room = MAX_PICKLE  # bytes which the next exception may have
        self._pickled = 0  # characters of those before
        self._slice = seconds
        self._count = count

    def note(self, failure: ItemFailure) -> int:
        """Of a chunk in which all items fail, not all exceptions may be large; returns the size of this one."""
        self._failed += 1
        self._pickled += len(failure.pickled)
        if self._pickled >= HELD:
            self.room = MAX_TEXT
        return max(_RECORD, len(failure.pickled) + len(failure.traceback))

    def stops(self, index: int, position: int, now: float) -> bool:
        """Whether to stop before the item with this index, at this position of what is to be done."""
        self.next_look = now + self._glance
        if 0 < self._enough <= position - self._failed:
            return True
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


def _run(how: _How, body: Body, part: Range, pace: _Pace, keys: MapKeys, *, single: bool = False) -> ChunkOutcome:
    started = time.time()
    values: list[bytes] = []
    failures: list[ItemFailure] = []
    indexes, at, items = body.within(part)
    whole = len(indexes)
    most = 1 if single else MOST_ITEMS
    now = min(whole, most)
    again = _call_each(how, zip(indexes[:now], items[:now], strict=True), pace, values, failures)
    ran = len(values) + len(failures) + len(again)
    # Positions in the body: of what did not run, and of what failed.
    rest = [*_cut(range(at + ran, at + now), pace.size), *_cut(range(at + now, at + whole), most)]
    bad = {failure.index for failure in failures}
    failed, later = (_positions(at, indexes[:ran], one) for one in (bad, again))
    spans = _spans(indexes, ran, bad | again)
    sealed = [] if how.discards else results.sealed((keys.results, keys.incarnation), values, spans)
    over, each = sum(map(len, rest)), _freed(body, whole)
    parts = _parts(body, rest, over * each)
    # All of these in bodies of their own, or none: one of them may take the place of the body that another needs.
    bad_parts = _parts(body, [*failed, *later], (whole - over) * each)
    left, tried_again = ([one for one in bad_parts if (one.range.start in again) is it] for it in (False, True))
    seconds = time.perf_counter() - pace.began
    return ChunkOutcome(
        [*sealed], spans, failures, started, seconds, parts, left, tried_again, discarded=how.discards
    )


def _positions(at: int, indexes: Sequence[int], wanted: set[int]) -> list[list[int]]:
    """Where in a body these of its items are, of which the first is at a position; as one group, or none."""
    return [[at + number for number, index in enumerate(indexes) if index in wanted]] if wanted else []


def _call_each(
    how: _How, items: Iterable[tuple[int, Any]], pace: _Pace, values: list[bytes], failures: list[ItemFailure]
) -> set[int]:
    """Call it for these items with their indexes, until all are done or the pace stops; adds what comes of it.

    Returns the indexes of those which have failed and are to be tried again.
    """
    call, star, loads, clock, here = how.call, how.star, how.loads, time.perf_counter, forks.count
    stored = _discarded if how.discards else _pickled_result
    held, most = 0, pace.most
    again: set[int] = set()
    for index, item in items:
        if (now := clock()) >= pace.next_look and pace.stops(index, len(values) + len(failures) + len(again), now):
            break
        try:
            if loads:
                item = loads(item)  # noqa: PLW2901 - one that can't be read costs itself
            value = call(*item) if star else call(item)
            data = stored(value, index, how)
            if forks.count != here:
                forks.leave()
            values.append(data)
            held += len(data)
        except BaseException as error:  # SystemExit and KeyboardInterrupt, too, cost only this item
            if forks.count != here:
                forks.leave(error)
            if isinstance(error, how.passing):
                raise
            if how.again.takes(ItemTimeoutError() if isinstance(error, Expired) else error):
                again.add(index)
                continue
            failures.append(failure_of(error, index, how.item_timeout, pace.room, how.again.tried))
            held += pace.note(failures[-1])
        if held >= most:
            pace.held, pace.next_look = held, 0.0
    return again


def _cut(positions: range, size: int | None) -> list[range]:
    """These positions, so many for each part, of which there are ``MAX_PARTS`` at most; None: all in one."""
    if not positions:
        return []
    starts = range(0, len(positions), size or len(positions))[:MAX_PARTS]
    stops = [*starts[1:], len(positions)]
    return [positions[start:stop] for start, stop in zip(starts, stops, strict=True)]


def _freed(body: Body, count: int) -> float:
    """Bytes for each of these items which a body of its own may take, since the old one goes."""
    if count < len(body.header.indexes):
        return 0.0  # others need it
    return body.size / count if body.loads is None else _NEVER  # those which are framed have nothing in common


def _parts(body: Body, groups: Sequence[Sequence[int]], allowed: float) -> list[Part]:
    """A part for the items at each of these groups of positions, with bodies of about so many bytes together.

    Items of one pickle may share most of it, as in ``map(f, repeat(data), range(n))``: apart from each other they
    would be many times larger. Then, and if there is no room for others, they stay in the old body.
    """
    parts: list[Part] = []
    for positions in groups:
        parts.append(Part(*body.part(positions)))
        allowed += _SMALL[0] + _SMALL[1] * len(positions) - len(parts[-1].body)
        if allowed < 0:
            return [Part(body.span(run)) for positions in groups for run in _runs(positions)]
    return parts


def _runs(positions: Sequence[int]) -> Iterator[Sequence[int]]:
    """The positions, cut where there is a gap."""
    begin = 0
    for at in range(1, len(positions) + 1):
        if at == len(positions) or positions[at] != positions[at - 1] + 1:
            yield positions[begin:at]
            begin = at


def _spans(indexes: Sequence[int], count: int, failed: set[int]) -> list[tuple[int, int]]:
    """``(start, count)`` for each run of consecutive items with a result, among the first ``count`` of these."""
    if not failed and isinstance(indexes, range):
        return [(indexes[0], count)] if count else []
    spans: list[tuple[int, int]] = []
    for index in indexes[:count]:
        if index in failed:
            continue
        if spans and sum(spans[-1]) == index:
            spans[-1] = spans[-1][0], spans[-1][1] + 1
        else:
            spans.append((index, 1))
    return spans


def _pickled_result(value: Any, index: int, how: _How) -> bytes:
    """The result's pickle. One which nobody could read is this item's error, here and now."""
    try:
        data = codec.dumps(value, "the result")
    except PickleError:
        if not isinstance(value, Coroutine):  # of a function which did not say so before
            raise
        return _pickled_result(coroutines.run(value), index, how)
    if len(data) > how.limit:
        raise TooLargeError(
            f"the result of item {index} is {len(data):,} bytes, over the limit of {how.limit:,}. "
            "Store it elsewhere and return where, or raise the limit: Queue(payload_limit=...)."
        )
    if why := how.server.refuses(len(data)):
        raise TooLargeError(
            f"the result of item {index} can't be stored: {why}. Store it elsewhere and return where."
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


def _discarded(value: Any, index: int, how: _How) -> bytes:
    """As ``_pickled_result``, of one that nobody wants; a coroutine has still to do what it is for."""
    return _discarded(coroutines.run(value), index, how) if isinstance(value, Coroutine) else b""


def failure_of(
    error: BaseException, index: int, item_timeout: float = 0.0, most: int = MAX_PICKLE, tried: int = 0
) -> ItemFailure:
    """The record of an exception that an item raised; it travels itself if it has ``most`` bytes. Never raises.

    Args:
        error: The exception.
        index: The item's.
        item_timeout: Seconds that it had.
        most: Bytes of the exception.
        tried: How often it was tried before.
    """
    if isinstance(error, Expired):
        return replace(ItemFailure.timeout(index, item_timeout, traceback_of(error), _HOST), attempts=tried + 1)
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, (PickleError, TooLargeError)):
        name = kind.__name__
    pickled = _pickled(error, most)
    return ItemFailure(index, name, _text(error), traceback_of(error), pickled, attempts=tried + 1, host=_HOST)


def traceback_of(error: BaseException) -> str:
    """The traceback's text without taskq's own frames."""
    try:
        tb = error.__traceback__
        tb = tb.tb_next if tb else None
        while tb and _HIDDEN in tb.tb_frame.f_code.co_varnames:
            tb = tb.tb_next
        shown = traceback.TracebackException(type(error), error, tb)
        if isinstance(error, Expired) and shown.stack:
            shown.stack.pop()  # what went off; where, the frame before it says
        text = "".join(shown.format())
    except BaseException as broken:  # noqa: BLE001 - a __str__ of user code may do anything
        return f"{type(error).__name__} (its traceback can't be shown: {type(broken).__name__})"
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT // 2]}\n...\n{text[-MAX_TEXT // 2 :]}"


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except BaseException as broken:  # noqa: BLE001 - as above
        return f"(its message can't be shown: {type(broken).__name__})"


def _pickled(error: BaseException, most: int) -> str:
    """The exception as base64, if it survives the journey; tried out here, where a failure harms nobody."""
    try:
        data = codec.dumps(error)
        if len(data) > most or not isinstance(codec.loads(data), type(error)):
            return ""
    except BaseException:  # noqa: BLE001 - __reduce__ and __setstate__ are user code
        return ""
    return base64.b64encode(data).decode()


def refused(error: BaseException, what: str = "") -> ChunkRefused:
    """The outcome of a chunk that could not be started because of this error."""
    refusal = refusals.of(error)
    local = not refusal and not isinstance(error, DamagedError)
    return ChunkRefused(f"{what}{type(error).__name__}: {_text(error)}", refusal, local)


def _unreadable(error: BaseException, payload: bytes, part: Range, again: Again) -> ChunkOutcome | ChunkRefused:
    """The outcome of a chunk whose items are one pickle, which can't be read here."""
    if isinstance(error, (DamagedError, ImportError)) or refusals.of(error):
        return refused(error)
    indexes = read_header(payload).within(part)
    if again.takes(error):
        return ChunkOutcome([], [], [], time.time(), 0.0, again=[Part(part)])
    failures = [failure_of(error, index, tried=again.tried) for index in indexes]
    return ChunkOutcome([], [], failures, time.time(), 0.0, left=[Part(part)])
