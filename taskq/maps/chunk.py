"""Chunks: cutting an iterable into runs of consecutive items, each of which becomes one body (``body.py``)."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, TypeVar

from taskq.errors import OptionError, TooLargeError
from taskq.maps import body
from taskq.maps.repeats import Ahead, Repeats, may_be_large
from taskq.maps.settled import settled
from taskq.payload import codec
from taskq.payload.ranges import Range
from taskq.redis.keys import MapKeys

T = TypeVar("T")

MAX_ITEMS = 4096  # of a chunk whose size taskq picks: one commit stays a few milliseconds of Redis's time
SOFT_BYTES = 1024 * 1024  # of a chunk whose size taskq picks, unless a single item is larger
CHUNKS_PER_CORE = (8, 32)
"""Of a map whose chunk size taskq picks: so many if all were as large as the first, and if all were as small as
the last. Large ones cost less, and small ones let the cores end close together."""
_UNKNOWN = 16  # the same, of what came so far, where nobody knows how much is to come


def size_for(seen: int, total: int | None, cores: int) -> int:
    """Items of the next chunk where the user gives no ``chunksize``; at most ``MAX_ITEMS``.

    A chunk is half of a core's share of what is left, as in factoring (Hummel, Schonberg and Flynn, "Factoring: a
    method for scheduling parallel loops", 1992), between the bounds of ``CHUNKS_PER_CORE``. The first ones are not
    larger, for nobody knows how long an item takes, nor how many cores will come; and until the first item of a
    chunk has ended, the others of it are with one process.

    Args:
        seen: Items before it.
        total: Of the map; None: unknown.
        cores: Of all workers that are alive.
    """
    cores = max(1, cores)
    if total is None:
        size = seen // (cores * _UNKNOWN)
    else:
        few, many = (total // (cores * count) for count in CHUNKS_PER_CORE)
        size = min(few, max(many, (total - seen) // (2 * cores)))
    return max(1, min(MAX_ITEMS, size))


@dataclass(frozen=True)
class Chunk:
    """A run of items and the bytes that carry it."""

    range: Range
    body: bytes


@dataclass(frozen=True)
class Chunker:
    """Cuts one iterable into chunks.

    Args:
        keys: Of the map.
        chunksize: Items per chunk; None: as ``size_for`` says (so the chunks of a generator grow as it goes on).
        cores: For ``size_for``.
        limit: Bytes a body may have.
        most: Items a chunk may have, where taskq picks the size.
        seen: Is told of each run of items.
        repeats: Has large objects that many items hold travel once; None: they travel with each chunk.
    """

    keys: MapKeys
    chunksize: int | None
    cores: int
    limit: int = codec.DEFAULT_LIMIT
    most: int = MAX_ITEMS
    seen: Callable[[Any], object] | None = None
    repeats: Repeats | None = None

    def chunks(self, items: Iterable[Any], start: int = 0) -> Iterator[Chunk]:
        """The chunks, in order; one is in memory at a time. Whatever is raised, what came before it comes first.

        Args:
            items: What is to be cut.
            start: Index of the first.

        Raises:
            PickleError: If an item can't be pickled; names its index.
            TooLargeError: If an item or a chunk is over the limit; names the index of the item, or of the first of
                the chunk.
            Others: Whatever ``items`` raises.
        """
        runs = Ahead(self._runs(items))
        for run in runs:
            if self.seen is not None:
                self.seen(run)
            if self.repeats and may_be_large(run):
                run = self.repeats.slimmed(run, runs)  # noqa: PLW2901 - the same items, but for what they share
            yield from self._fitting(start, run)
            start += len(run)

    def scattered(self, indexes: Sequence[int], items: Sequence[Any], seen: int) -> Iterator[Chunk]:
        """The chunks of items that need not lie together, in order.

        Args:
            indexes: Theirs, rising.
            items: The items.
            seen: How many came before, for the size.

        Raises:
            As ``chunks``.
        """
        at = 0
        while at < len(items):
            end = at + self._size(seen + at, None)
            yield from self._some(indexes[at:end], items[at:end])
            at = end

    def _some(self, indexes: Sequence[int], items: Sequence[Any]) -> Iterator[Chunk]:
        try:
            data = body.write_some(self.keys, indexes, items)
        except Exception:
            for index, item in zip(indexes, items, strict=True):
                codec.dumps(item, f"item {index}")
            raise
        if len(data) > min(SOFT_BYTES, self.limit) and len(items) > 1:
            middle = len(items) // 2
            yield from self._some(indexes[:middle], items[:middle])
            yield from self._some(indexes[middle:], items[middle:])
            return
        if len(data) > self.limit:
            raise self._too_large(indexes[0], items, len(data))[1]
        yield Chunk(Range(indexes[0], indexes[-1] - indexes[0] + 1), data)

    def _runs(self, items: Iterable[Any]) -> Iterator[Any]:
        total = len(items) if isinstance(items, Sized) else None
        if total is not None and _slices_alike(items):
            start = 0
            while start < total:
                end = start + self._size(start, total)
                yield items[start:end]  # type: ignore[index]
                start = end
            return
        iterator = settled(items)
        seen = 0
        raised: list[BaseException] = []
        while run := list(until_raised(itertools.islice(iterator, self._size(seen, total)), raised)):
            seen += len(run)
            yield run
            if raised:
                break
        if raised:
            raise raised[0]

    def _size(self, seen: int, total: int | None) -> int:
        return self.chunksize or min(self.most, size_for(seen, total, self.cores))

    def _fitting(self, start: int, run: Any) -> Iterator[Chunk]:
        """The run as one chunk, or halved until each is of a good size (only if taskq picks the size)."""
        try:
            data = body.write(self.keys, start, run)
        except Exception as error:  # noqa: BLE001 - raised below, behind what can be sent
            before, why = _unsendable(start, run, error)
            data = b""
        if not data:
            if before:
                yield from self._fitting(start, run[:before])
            raise why
        if len(data) > min(SOFT_BYTES, self.limit) and self.chunksize is None and len(run) > 1:
            middle = len(run) // 2
            yield from self._fitting(start, run[:middle])
            yield from self._fitting(start + middle, run[middle:])
            return
        if len(data) > self.limit:
            before, why = self._too_large(start, run, len(data))
            if before:
                yield from self._fitting(start, run[:before])
            raise why
        yield Chunk(Range(start, len(run)), data)

    def _too_large(self, start: int, run: Any, size: int) -> tuple[int, TooLargeError]:
        """Of a run that is over the limit: the offset of the item that is by itself, or 0; and what to raise."""
        limit = f"the limit of {self.limit:,} bytes"
        for offset, item in enumerate(run):
            alone = len(codec.dumps(item, f"item {start + offset}"))
            if alone > self.limit or len(run) == 1:
                return offset, TooLargeError(
                    f"item {start + offset} is {alone:,} bytes, over {limit}. Send a path or a key instead "
                    "of the data, or raise the limit: Queue(payload_limit=...)."
                )
        return 0, TooLargeError(
            f"items {start} to {start + len(run) - 1} are {size:,} bytes together, over {limit} of one "
            f"chunk. Use a chunksize below {len(run)}, or leave it to taskq."
        )


def _slices_alike(items: Any) -> bool:
    """Whether ``items[a:b]`` iterates as ``items`` does: then a chunk may be a slice, as compact as its source."""
    return type(items) in (list, tuple, range, bytes) or (
        "numpy" in sys.modules and type(items) is sys.modules["numpy"].ndarray
    )


def until_raised(items: Iterator[T], raised: list[BaseException]) -> Iterator[T]:
    """The items, up to whatever they raise, which is put there: what came before is not lost with it."""
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except BaseException as error:  # noqa: BLE001 - raised by who calls, behind what came before
            raised.append(error)
            return
        yield item


def _unsendable(start: int, run: Any, error: Exception) -> tuple[int, Exception]:
    """Of a run that can't be written: the offset of the item by which it can't, and what that raises."""
    for offset, item in enumerate(run):
        try:
            codec.dumps(item, f"item {start + offset}")
        except Exception as why:  # noqa: BLE001 - whatever user code raises
            return offset, why
    return 0, error


def check_chunksize(chunksize: Any) -> int | None:
    """The chunk size, if it is one.

    Raises:
        OptionError: If it is neither None nor a whole number of at least 1.
    """
    if chunksize is None:
        return None
    if isinstance(chunksize, bool) or not hasattr(type(chunksize), "__index__"):
        raise OptionError(f"chunksize must be a whole number or None, not {chunksize!r}")
    if chunksize < 1:
        raise OptionError(f"chunksize must be at least 1, not {chunksize!r}")
    return int(chunksize)
