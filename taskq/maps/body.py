"""The bytes that carry the items of a chunk.

A body is one header line, ``kind start count only``, and what it holds. ``start:count`` is the range whose items
it holds; ``only`` is empty, or lists the offsets (``3,5,9``) of those that it holds, for what is left of a chunk
need not lie together. Of kind ``p`` it holds one pickle of a sequence: fast, and where there is nothing but
plain data, which every process can read. Of kind ``f`` each item is a pickle of its own behind its length, so
that one which can't be read costs itself. Of kind ``c`` it is, too, and what several of them hold stands before
them (``common.py``), for apart from each other they would be many times larger; only items that hold each other
in circles are one pickle then, and cost each other. Of kind ``r`` each item is a result of another map, as it
stands in the list there, and of kind ``g`` several of them, each behind its length; the server has written these
itself (feed.lua). Of kind ``l`` they are the last ones, fewer than of the others, and before them stands the
signature over how many results there are in all.

Bodies are stored once, and all together are never larger than what was pushed, but for a few bytes each. A range
that is smaller than its body refers to it. What is left of a body that has run as a whole is written anew, in
bodies of its own size; but not if those would be larger than the old one, for items may have much in common.

With a secret key the pickles are signed together with the header, for the map and its incarnation. Results of
another map carry their own signatures, each for that map and for its item there; how many of them are an item is a
term of the map's, so signed with what was announced.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

from taskq.errors import DamagedError
from taskq.maps import common
from taskq.maps.common import Common
from taskq.maps.repeats import Slimmed
from taskq.maps.source import Source, proven
from taskq.payload import codec, results, signing
from taskq.payload.ranges import Range
from taskq.redis.keys import MapKeys

PLAIN, FRAMED, COMMON, RESULTS, GROUPS, LAST = "p", "f", "c", "r", "g", "l"
_TAKEN = (RESULTS, GROUPS, LAST)  # of another map

_LENGTH = _COUNT = struct.Struct(">I")
_ATOMS = frozenset([type(None), bool, int, float, complex, str, bytes])
_ROWS = frozenset([tuple, list])
_SHARED = 4  # times as large as one pickle of all: then items have something in common
_DEEP = 4  # levels of lists, tuples and dicts which are looked through for plain data
_GLOBAL = b"\x93"  # pickle's opcode for a class or function by name


@dataclass(frozen=True)
class Header:
    """What a body's first line says."""

    range: Range
    only: tuple[int, ...] = ()
    kind: str = PLAIN

    @property
    def indexes(self) -> Sequence[int]:
        """The items that it holds, in order."""
        span = self.range
        return [span.start + offset for offset in self.only] if self.only else range(span.start, span.end)

    def within(self, part: Range) -> Sequence[int]:
        """Those of them that are in this range."""
        if not self.only:
            return range(max(part.start, self.range.start), min(part.end, self.range.end))
        return [index for index in self.indexes if part.start <= index < part.end]

    def __bytes__(self) -> bytes:
        only = ",".join(map(str, self.only))
        return f"{self.kind} {self.range.start} {self.range.count} {only}\n".encode()


def read_header(body: bytes) -> Header:
    """The header of a body, without touching what it holds.

    Raises:
        DamagedError: If it does not begin with one.
    """
    try:
        line = bytes(body[: body.index(b"\n")]).decode("ascii")
        kind, start, count, only = line.split(" ")
        header = Header(Range.parse(f"{start}:{count}"), tuple(map(int, only.split(","))) if only else (), kind)
        rising = all(a < b for a, b in pairwise((-1, *header.only, header.range.count)))
    except ValueError:
        rising = False
    if not rising or kind not in (PLAIN, FRAMED, COMMON, *_TAKEN):
        raise DamagedError(f"a chunk begins with {body[:40]!r}, which is no header")
    return header


def _codec(keys: MapKeys, header: Header) -> codec.Codec:
    return codec.at("chunk", keys.id, keys.incarnation, bytes(header).decode())


class Body:
    """The items of one body, as a process that runs them has them.

    Args:
        keys: Of the map.
        header: The body's.
        items: Those that it holds, in order; of all kinds but ``PLAIN`` each still pickled.
        size: Bytes of the body.
        source: Of the map; None: it has items of its own.
        common: Pickles of what several items hold.
    """

    def __init__(
        self, keys: MapKeys, header: Header, items: Sequence[Any], size: int, source: Source | None = None,
        common: Sequence[bytes] = (),
    ) -> None:  # fmt: skip
        self.header = header
        self.size = size
        self.source = source
        self._keys = keys
        self._items = items
        self._common = common
        self._reads_common = Common(common)

    @classmethod
    def read(cls, keys: MapKeys, body: bytes, source: Source | None = None) -> Body:
        """The items of a body of this map.

        Raises:
            SignatureError: If there is a secret key, and it is not signed for this map and its header.
            DamagedError: If there are not as many items as its header says; or they are not those of ``source``,
                as all items of a map that has one are.
        """
        header = read_header(body)
        allowed = (PLAIN, FRAMED, COMMON) if source is None else (GROUPS, LAST) if source.together else (RESULTS,)
        if header.kind not in allowed:
            raise DamagedError(f"a chunk of kind {header.kind!r} is none of this map's")
        data = _opened(keys, header, body[body.index(b"\n") + 1 :])
        items = codec.loads(data) if header.kind == PLAIN else list(_frames(data))
        held, items = _split(items) if header.kind == COMMON else ([], items)
        try:
            count = len(items)
        except TypeError:
            count = -1
        if count != len(header.indexes):
            raise DamagedError(f"a chunk of {len(header.indexes)} items holds {type(items).__name__} of {count}")
        return cls(keys, header, items, len(body), source, held)

    def within(self, part: Range) -> tuple[Sequence[int], int, Sequence[Any]]:
        """Of the items in this range: their indexes, the position of the first, and each as ``loads`` takes it."""
        indexes = self.header.within(part)
        if not indexes:
            return indexes, 0, []
        first = (
            self.header.only.index(indexes[0] - self.header.range.start)
            if self.header.only
            else (indexes[0] - self.header.range.start)
        )
        items = self._items[first : first + len(indexes)]
        return indexes, first, items if self.source is None else list(zip(indexes, items, strict=True))

    @property
    def loads(self) -> Callable[[Any], Any] | None:
        """What makes an item of what ``within`` gives, and may raise anything; None: they are items already."""
        if self.source is not None:
            return _Results(self.source, self._keys, self.header.kind)
        if self.header.kind == COMMON:
            return self._reads_common
        return codec.loads if self.header.kind == FRAMED else None

    @property
    def shares(self) -> bool:
        """Whether its items have so much in common that each by itself would be many times larger."""
        return self.header.kind in (PLAIN, COMMON)

    def span(self, positions: Sequence[int]) -> Range:
        """The range from the first to the last of the items at these positions; there must be one at least."""
        indexes = self.header.indexes
        first, last = indexes[positions[0]], indexes[positions[-1]]
        return Range(first, last - first + 1)

    def part(self, positions: Sequence[int]) -> tuple[Range, bytes]:
        """A body of its own for the items at these positions, and its range; there must be one at least."""
        indexes, span = self.header.indexes, self.span(positions)
        whole = span.count == len(positions)
        only = () if whole else tuple(indexes[position] - span.start for position in positions)
        held = (
            self._items[positions[0] : positions[-1] + 1]
            if whole and not self.header.only
            else [self._items[position] for position in positions]
        )
        if self.header.kind == COMMON:
            held = _joined(self._common, held)
        return span, _write(self._keys, Header(span, only, self.header.kind), held)


class _Results:
    """Makes items of results of another map, which are signed for their places there.

    Args:
        source: That map.
        keys: Of the map whose items they become.
        kind: Of the body; of all but ``RESULTS`` an item is a list of several of them.
    """

    def __init__(self, source: Source, keys: MapKeys, kind: str) -> None:
        self._source, self._keys, self._kind = source, keys, kind
        self._reads = results.reader(source.place)

    def __call__(self, item: tuple[int, bytes]) -> Any:
        index, data = item
        if self._kind == RESULTS:
            return self._reads(data, index)
        held, total = list(_frames(data)), None
        if self._kind == LAST:
            total = proven(self._keys, held.pop(0) if held else b"")
        members = self._source.members(index, total)
        # Without a key what is last is not told from what was cut off, nor is anything else that was changed.
        if len(held) != members and (signing.keyring() or len(held) > members):
            raise DamagedError(f"item {index} is {members} results of another map, and {len(held)} were given")
        first = index * self._source.together
        return [self._reads(one, first + number) for number, one in enumerate(held)]


def write(keys: MapKeys, start: int, run: Any) -> bytes:
    """The body of the chunk of these items, the first of which has the index ``start``.

    Raises:
        PickleError: If an item can't be pickled; names its index.
    """
    return _of_items(keys, Header(Range(start, len(run))), run)


def write_some(keys: MapKeys, indexes: Sequence[int], items: Sequence[Any]) -> bytes:
    """The body of the chunk of these items, which have these rising indexes; there must be one at least.

    Raises:
        PickleError: As ``write``.
    """
    span = Range(indexes[0], indexes[-1] - indexes[0] + 1)
    only = () if span.count == len(indexes) else tuple(index - span.start for index in indexes)
    return _of_items(keys, Header(span, only), items)


def _of_items(keys: MapKeys, header: Header, run: Any) -> bytes:
    start = header.range.start
    if type(run) is Slimmed:
        frames = [codec.dumps(item, f"item {index}") for index, item in zip(header.indexes, run, strict=True)]
        return _write(keys, Header(header.range, header.only, FRAMED), frames, start)
    if _is_plain(run):
        return _write(keys, header, run, start)
    try:
        whole = codec.dumps(run, None)
    except Exception:  # noqa: BLE001 - by item it is seen which one it is
        whole = _GLOBAL
    if _GLOBAL not in whole:
        return _closed(keys, header, whole)
    frames = []
    room = _SHARED * len(whole) if whole is not _GLOBAL else sys.maxsize
    for index, item in zip(header.indexes, run, strict=True):
        frames.append(codec.dumps(item, f"item {index}"))
        room -= len(frames[-1])
        if room < 0:
            return _in_common(keys, header, run, whole)
    return _write(keys, Header(header.range, header.only, FRAMED), frames, start)


def _in_common(keys: MapKeys, header: Header, run: Any, whole: bytes) -> bytes:
    """The body of items that share most of what they hold."""
    made = common.written(run)
    if made is None or sum(map(len, chain(*made))) > _SHARED * len(whole):
        return _closed(keys, header, whole)
    return _write(keys, Header(header.range, header.only, COMMON), _joined(*made))


def _joined(held: Sequence[bytes], items: Iterable[bytes]) -> list[bytes]:
    return [_COUNT.pack(len(held)), *held, *items]


def _split(frames: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """What ``_joined`` has joined."""
    if not frames or len(frames[0]) != _COUNT.size:
        raise DamagedError("a chunk does not say what its items have in common")
    end = 1 + _COUNT.unpack(frames[0])[0]
    return frames[1:end], frames[end:]


def _write(keys: MapKeys, header: Header, items: Any, start: int = 0) -> bytes:
    if header.kind == PLAIN:
        return _closed(keys, header, codec.dumps(items, f"the chunk from item {start} on"))
    return _closed(keys, header, b"".join(chain.from_iterable((_LENGTH.pack(len(one)), one) for one in items)))


def _closed(keys: MapKeys, header: Header, data: bytes) -> bytes:
    if header.kind in _TAKEN:
        return bytes(header) + data
    return bytes(header) + _codec(keys, header).close(data)


def _opened(keys: MapKeys, header: Header, data: bytes) -> bytes:
    return data if header.kind in _TAKEN else _codec(keys, header).open(data)


def _frames(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        if at + _LENGTH.size > len(data):
            raise DamagedError("a chunk ends in the middle of an item")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + length > len(data):
            raise DamagedError("a chunk ends in the middle of an item")
        yield bytes(data[at : at + length])
        at += length


def _is_plain(run: Any) -> bool:
    """Whether it is known, without pickling, that every process can read all of it."""
    if type(run) in (range, bytes) or codec.is_array(run):
        return True
    return type(run) in _ROWS and _holds_plain(run, _DEEP)


def _holds_plain(values: Iterable[Any], levels: int) -> bool:
    values = values if isinstance(values, (list, tuple)) else list(values)
    kinds = set(map(type, values)) - _ATOMS
    if not kinds:
        return True
    if not levels or not kinds <= {tuple, list, dict}:
        return False
    distinct = {id(value): value for value in values if type(value) not in _ATOMS}.values()  # items may share much
    rows = [value for value in distinct if type(value) in _ROWS]
    tables = [value for value in distinct if type(value) is dict]
    return _holds_plain(chain.from_iterable(rows), levels - 1) and all(
        _holds_plain(chain.from_iterable(part(table) for table in tables), levels - 1)
        for part in ((dict.keys, dict.values) if tables else ())
    )
