"""Runs the items of one chunk, one after the other, and turns every outcome into plain bytes.

Runs inside a pool process, or in the work horse of a stock RQ worker. Whatever user code does, exit or
raise something that can't be pickled, becomes the outcome of that item alone: an exception that reached
``multiprocessing.Pool`` itself could hang it (sys.exit) or kill its result thread (one that doesn't unpickle).
"""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from taskq.errors import DamagedError, ItemTimeoutError, PickleError, TooLargeError
from taskq.maps import coroutines, forks
from taskq.maps.body import Body, read_header
from taskq.maps.cutting import cut, freed, parts_of, positions_of
from taskq.maps.item_retry import NEVER, Again, meant
from taskq.maps.pace import ENDLESS, Pace, Watch
from taskq.maps.raised import failure_of, refused
from taskq.maps.source import Source
from taskq.maps.time_limit import Expired, limited
from taskq.payload import codec, results
from taskq.payload.function import Function
from taskq.payload.outcome import ChunkOutcome, ChunkRefused, ItemFailure, Part
from taskq.payload.ranges import Range
from taskq.redis import refusals
from taskq.redis.keys import MapKeys
from taskq.redis.limits import PARTS, SMALL, USUAL, Limits

SLICE = 0.1  # seconds after which a chunk whose size taskq has picked is cut
_GLOBAL = b"\x93"  # pickle's opcode for a class or function by name
MOST_ITEMS = PARTS // 4
"""Of any chunk: each may be two parts of the command that commits it."""
_GLANCE = 0.001  # seconds between two looks at whether the chunk is to stop, while its items are shorter


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
    bears: float = math.inf,
    stretch: float = 1.0,
    inside: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
    retries: int = 0,
    tried: int = 0,
    single: bool = False,
    source: Source | None = None,
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
        bears: So many items may fail: with one more the map has failed, and so the chunk ends.
        stretch: How many times ``SLICE`` it may last before it is cut.
        inside: Makes of user code what is called in its place, e.g. in a context of its own; what that raises, the
            item has raised. None: it is called as it is.
        retries: How often an item that fails is tried again, if the function's ``kinds`` say so; then it is part
            of the outcome, with no error record.
        tried: How often these items have been tried before.
        single: Run one item only; the rest is part of the outcome, in chunks of one item each.
        source: The map whose results the items are; None: it has items of its own.
        server: What the server takes; a chunk with more items, or larger results, is cut, whatever its size.

    Raises nothing but those, whatever user code does.
    """
    inside = inside or _as_it_is
    try:
        call = forks.call(inside(function.load))
        again = Again(retries, tried, forks.call(inside(meant), function.kinds)) if retries else NEVER
    except BaseException as error:  # noqa: BLE001 - loading imports user modules, which may do anything
        return refused(error)
    if watch and item_timeout:
        watch.begins(part.start)  # items that are one pickle are all read now, and that may hang
    try:
        body = forks.call(inside(Body.read), keys, payload, source)
    except BaseException as error:  # noqa: BLE001 - reading items runs user code, too
        return _unreadable(error, payload, part, again)
    if coroutines.expected(call):
        call = coroutines.awaiting(call)
    call = inside(call)
    if item_timeout:
        call = limited(call, item_timeout)
    glance = 0.0 if exact or item_timeout or enough else _GLANCE
    most = SLICE * stretch if adapt else ENDLESS
    pace = Pace(watch, glance, most, len(body.header.within(part)), server.together, enough, bears)
    loads = body.loads and inside(body.loads)
    how = _How(call, star, loads, limit, server, passing, item_timeout, discards, again, min(limit, SMALL))
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
    brief: int  # bytes of a result that are within all limits


def _run(how: _How, body: Body, part: Range, pace: Pace, keys: MapKeys, *, single: bool = False) -> ChunkOutcome:
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
    rest = [*cut(range(at + ran, at + now), pace.size), *cut(range(at + now, at + whole), most)]
    bad = {failure.index for failure in failures}
    failed, later = (positions_of(at, indexes[:ran], one) for one in (bad, again))
    spans = _spans(indexes, ran, bad | again)
    sealed = [] if how.discards else results.sealed((keys.results, keys.incarnation), values, spans)
    over, each = sum(map(len, rest)), freed(body, whole)
    parts = parts_of(body, rest, over * each)
    # All of these in bodies of their own, or none: one of them may take the place of the body that another needs.
    bad_parts = parts_of(body, [*failed, *later], (whole - over) * each)
    left, tried_again = ([one for one in bad_parts if (one.range.start in again) is it] for it in (False, True))
    seconds = time.perf_counter() - pace.began
    return ChunkOutcome(
        [*sealed], spans, failures, started, seconds, parts, left, tried_again, discarded=how.discards
    )


def _call_each(
    how: _How, items: Iterable[tuple[int, Any]], pace: Pace, values: list[bytes], failures: list[ItemFailure]
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
    if type(value) in codec.ATOMS:
        data = pickle.dumps(value, codec.PROTOCOL)
        if len(data) <= how.brief:
            return data  # as most are: a number or a short text, of which there is nothing else to see
    else:
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
    # Else only plain values are in it, which any reader knows.
    if type(value) not in codec.ATOMS and _GLOBAL in data and not codec.is_array(value):
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


def _unreadable(error: BaseException, payload: bytes, part: Range, again: Again) -> ChunkOutcome | ChunkRefused:
    """The outcome of a chunk whose items are one pickle, which can't be read here."""
    if isinstance(error, (DamagedError, ImportError)) or refusals.of(error):
        return refused(error)
    indexes = read_header(payload).within(part)
    if again.takes(error):
        return ChunkOutcome([], [], [], time.time(), 0.0, again=[Part(part)])
    failures = [failure_of(error, index, tried=again.tried) for index in indexes]
    return ChunkOutcome([], [], failures, time.time(), 0.0, left=[Part(part)])
