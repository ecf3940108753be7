"""Chunks: cutting an iterable into runs of consecutive items, and the bytes that carry one.

A payload is one header line, ``start count only``, followed by the pickle of the items. ``start`` is the
index of the first item in the map. ``only`` is empty, or lists the offsets (``3,5,9``) of the items that are
still to be done: so failed items run again, and a poison item is isolated, without rewriting any pickle.

With a secret key the pickle is signed for the map's id, ``start`` and ``count``, which stay with it through all
rewriting of ``only``. What a forged ``only`` can do is to leave out items, or have some run again.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from taskq.errors import DamagedError, OptionError, PickleError, TooLargeError
from taskq.payload import codec

MAX_ITEMS = 4096  # of a chunk whose size taskq picks: one commit stays a few milliseconds of Redis's time
SOFT_BYTES = 1024 * 1024  # of a chunk whose size taskq picks, unless a single item is larger
COUNTABLE = 2**53  # items that Lua, too, can count
MAX_PARTS = 256  # into which a chunk is cut at a time
CHUNKS_PER_CORE = (8, 32)
"""Of a map whose chunk size taskq picks: so many if all were as large as the first, and if all were as small as
the last. Large ones cost less, and small ones let the cores end close together."""
_UNKNOWN = 16  # the same, of what came so far, where nobody knows how much is to come


@dataclass(frozen=True)
class Header:
    """What a payload's first line says."""

    start: int
    count: int
    only: tuple[int, ...] = ()

    @property
    def offsets(self) -> Sequence[int]:
        """Offsets, within the chunk, of the items that are to be done."""
        return self.only or range(self.count)

    @property
    def sane(self) -> bool:
        """Whether a chunk can have it: its offsets ascend, and are within the chunk."""
        rising = all(a < b for a, b in itertools.pairwise((-1, *self.only, self.count)))
        return 0 <= self.start < COUNTABLE and 0 < self.count < COUNTABLE and rising

    def __bytes__(self) -> bytes:
        return b"%d %d %s\n" % (self.start, self.count, ",".join(map(str, self.only)).encode())

    def keeping(self, offsets: Iterable[int]) -> Header:
        """The same chunk with only these items left to do."""
        return Header(self.start, self.count, tuple(offsets))

    def halves(self) -> tuple[Header, Header]:
        """Two headers that share this one's items; it must have at least two."""
        offsets = self.offsets
        middle = len(offsets) // 2
        return self.keeping(offsets[:middle]), self.keeping(offsets[middle:])


def read_header(payload: bytes) -> Header:
    """The header of a payload, without touching the pickle behind it.

    Raises:
        DamagedError: If it does not begin with one.
    """
    try:
        start, count, only = payload[: payload.index(b"\n")].split(b" ")
        header = Header(int(start), int(count), tuple(map(int, only.split(b","))) if only else ())
    except ValueError:
        header = None
    if header is None or not header.sane:
        raise DamagedError(f"a chunk begins with {payload[:40]!r}, which is no header")
    return header


def codec_of(job_id: str, header: Header) -> codec.Codec:
    """For the pickle behind a header."""
    return codec.at("chunk", job_id, str(header.start), str(header.count))


def read_items(job_id: str, payload: bytes) -> Any:
    """The items of a payload of this map, all of them, as an indexable sequence.

    Raises:
        SignatureError: If there is a secret key, and it is not signed for this place.
        DamagedError: If there are not as many items as its header says.
    """
    header = read_header(payload)
    items = codec_of(job_id, header).loads(payload[payload.index(b"\n") + 1 :])
    try:
        count = len(items)
    except TypeError:
        count = -1
    if count != header.count:
        raise DamagedError(f"a chunk of {header.count} items holds {type(items).__name__} of {count}")
    return items


def _payload(job_id: str, header: Header, pickled: bytes) -> bytes:
    return bytes(header) + codec_of(job_id, header).close(pickled)


def cut(job_id: str, header: Header, items: Any, first: int, size: int | None = None) -> list[bytes]:
    """The part of a chunk from its offset ``first`` on as payloads of their own, in order.

    Args:
        job_id: Of the map.
        header: The chunk's.
        items: As ``read_items`` returned them.
        first: Position among ``header.offsets``.
        size: Items of each payload; None: all in one.

    Returns:
        At most ``MAX_PARTS`` payloads; the last one holds what is over. Where only some items of the chunk are to
        be done, or they can't be pickled here, one header alone, for the chunk's own pickle.
    """
    whole = [bytes(header.keeping(header.offsets[first:]))]
    if header.only:
        return whole
    size = size or header.count - first
    starts = list(range(first, header.count, size))[:MAX_PARTS]
    stops = [*starts[1:], header.count]
    try:
        return [
            _payload(job_id, Header(header.start + start, stop - start), codec.dumps(items[start:stop]))
            for start, stop in zip(starts, stops, strict=True)
        ]
    except PickleError:  # what came here as a pickle need not make one again
        return whole


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
class Chunker:
    """Cuts one iterable into payloads.

    Args:
        job_id: Of the map.
        chunksize: Items per chunk; None: as ``size_for`` says (so the chunks of a generator grow as it goes on).
        cores: For ``size_for``.
        limit: Bytes a payload may have.
    """

    job_id: str
    chunksize: int | None
    cores: int
    limit: int = codec.DEFAULT_LIMIT

    def payloads(self, items: Iterable[Any]) -> Iterator[tuple[int, bytes]]:
        """The item count and the payload of each chunk, in order; one chunk is in memory at a time.

        Raises:
            PickleError: If an item can't be pickled; names its index.
            TooLargeError: If an item or a chunk is over the limit; names the index.
        """
        start = 0
        for run in self._runs(items):
            for part in self._fitting(start, run):
                yield len(part[0]), part[1]
            start += len(run)

    def _runs(self, items: Iterable[Any]) -> Iterator[Any]:
        total = len(items) if isinstance(items, Sized) else None
        if total is not None and _slices_alike(items):
            start = 0
            while start < total:
                end = start + (self.chunksize or size_for(start, total, self.cores))
                yield items[start:end]  # type: ignore[index]
                start = end
            return
        iterator = iter(items)
        seen = 0
        while run := list(itertools.islice(iterator, self.chunksize or size_for(seen, total, self.cores))):
            seen += len(run)
            yield run

    def _fitting(self, start: int, run: Any) -> Iterator[tuple[Any, bytes]]:
        """The run as one payload, or halved until each is of a good size (only if taskq picks the size)."""
        body = _pickle(start, run)
        header = Header(start, len(run))
        size = len(bytes(header)) + len(body)
        if size > min(SOFT_BYTES, self.limit) and self.chunksize is None and len(run) > 1:
            middle = len(run) // 2
            yield from self._fitting(start, run[:middle])
            yield from self._fitting(start + middle, run[middle:])
            return
        if size > self.limit:
            raise self._too_large(start, run, size)
        yield run, _payload(self.job_id, header, body)

    def _too_large(self, start: int, run: Any, size: int) -> TooLargeError:
        limit = f"the limit of {self.limit:,} bytes"
        for offset, item in enumerate(run):
            alone = len(codec.dumps(item, f"item {start + offset}"))
            if alone > self.limit or len(run) == 1:
                return TooLargeError(
                    f"item {start + offset} is {alone:,} bytes, over {limit}. Send a path or a key instead "
                    "of the data, or raise the limit: Queue(payload_limit=...)."
                )
        return TooLargeError(
            f"items {start} to {start + len(run) - 1} are {size:,} bytes together, over {limit} of one "
            f"chunk. Use a chunksize below {len(run)}, or leave it to taskq."
        )


def _slices_alike(items: Any) -> bool:
    """Whether ``items[a:b]`` iterates as ``items`` does: then a chunk may be a slice, as compact as its source."""
    return type(items) in (list, tuple, range, bytes) or (
        "numpy" in sys.modules and type(items) is sys.modules["numpy"].ndarray
    )


def _pickle(start: int, run: Any) -> bytes:
    try:
        return codec.dumps(run)
    except Exception:
        for offset, item in enumerate(run):
            codec.dumps(item, f"item {start + offset}")
        raise


def check_chunksize(chunksize: Any) -> int | None:
    """The chunk size, if it is one.

    Raises:
        OptionError: If it is neither None nor a whole number of at least 1.
    """
    if chunksize is None:
        return None
    if isinstance(chunksize, bool) or not hasattr(chunksize, "__index__"):
        raise OptionError(f"chunksize must be a whole number or None, not {chunksize!r}")
    if chunksize < 1:
        raise OptionError(f"chunksize must be at least 1, not {chunksize!r}")
    return int(chunksize)
