"""Large objects apart from what refers to them: blobs.

Pickle protocol 5 hands out the buffers of arrays, tables and the like instead of copying them. Those of ``LEAST``
bytes and more leave the pickle, and travel once, in a blob; who reads it maps it, and sees each of them where it
lies, read-only. Any object that shows its memory this way takes part (NumPy, pandas, Arrow, ``memoryview``), and
nothing is imported for it.

    blob      what a producer writes: head, a pickle that may be empty, buffers; each at a multiple of ``_ALIGN``
    Apart     takes the large buffers of what is being pickled
    Ref       stands in an item for a large object; the reader finds the object in its place
    offer     what a process that runs items says: who uses this blob finds it here

The name of a blob is the SHA-256 of its bytes. Whoever brings it to a host compares that; so a signature over the
name (it is part of what a map announces) is one over the blob.
"""

from __future__ import annotations

import array
import hashlib
import pickle
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from taskq.errors import DamagedError
from taskq.payload import codec, views

LEAST = 1 << 20
"""Bytes of a buffer, or of an object, that travels apart."""

PIECE = (1 << 20) - 64
"""Bytes of a blob that are one value in Redis: with its header it fills what its allocator gives, a MiB."""

SHORT = 16
"""Characters of a blob's name that tell it from the others which a process is told of."""

_MAGIC = b"taskqb1\n"
_HEAD = struct.Struct("<8sQ")
_LENGTH = struct.Struct("<Q")
_ALIGN = 64  # bytes: what any number, and any vector instruction, wants
_TOLD = re.compile(r"[0-9a-f]{64}:[0-9]{1,15}(:[0-9a-f]{32})?")
_MOST = 100_000  # buffers of a blob

Pieces = Iterable[bytes | memoryview]


# -- what is written -----------------------------------------------------------------------------------


class Apart:
    """Takes the large buffers of one value while it is pickled (``codec.dumps``)."""

    def __init__(self) -> None:
        self.buffers: list[memoryview] = []

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether this one is to stay in the pickle."""
        try:
            raw = buffer.raw()
        except BufferError:  # it does not lie in one piece
            return True
        if raw.nbytes < LEAST or len(self.buffers) >= _MOST:
            return True
        self.buffers.append(raw)
        return False


class Blob:
    """What is written of a large object; nothing of it is copied.

    Args:
        pickled: What has the buffers; b"" if that stands elsewhere.
        buffers: In the order in which the pickle wants them.
    """

    def __init__(self, pickled: bytes, buffers: Sequence[memoryview]) -> None:
        parts: list[bytes | memoryview] = [pickled, *buffers]
        lengths = [_LENGTH.pack(memoryview(part).nbytes) for part in parts]
        head = _HEAD.pack(_MAGIC, len(buffers)) + b"".join(lengths)
        self._parts = [aligned for part in (head, *parts) for aligned in (part, _gap(part))]
        self.size = sum(memoryview(part).nbytes for part in self._parts)

    @cached_property
    def digest(self) -> str:
        """Its name: the SHA-256 of its bytes."""
        summed = hashlib.sha256()
        for part in self._parts:
            summed.update(part)
        return summed.hexdigest()

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, ``PIECE`` at a time; the last is shorter, or as long."""
        held = bytearray()
        for part in self._parts:
            view, at = memoryview(part).cast("B"), 0
            while at < view.nbytes:
                taken = view[at : at + PIECE - len(held)]
                held += taken
                at += taken.nbytes
                if len(held) == PIECE:
                    yield bytes(held)
                    held.clear()
        if held:
            yield bytes(held)


def _gap(part: bytes | memoryview) -> bytes:
    return bytes(-memoryview(part).nbytes % _ALIGN)


def blob_of(value: Any, what: str = "value") -> Blob:
    """The blob of an object, whatever its size.

    Raises:
        PickleError: If it can't be pickled.
    """
    apart = Apart()
    pickled = codec.dumps(_Bare(value) if type(value) in _REBUILT else value, what, apart=apart)
    return Blob(pickled, apart.buffers)


class _Bare:
    """What has its bytes copied into any pickle; so they stand beside it."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        return _REBUILT[type(self._value)](self._value)


def _reduce_array(value: array.array[Any]) -> tuple[Any, ...]:
    return _array, (value.typecode, pickle.PickleBuffer(value))


def _array(typecode: str, buffer: Any) -> array.array[Any]:
    made: array.array[Any] = array.array(typecode)
    made.frombytes(buffer)
    return made


_REBUILT: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    bytes: lambda value: (bytes, (pickle.PickleBuffer(value),)),
    bytearray: lambda value: (bytearray, (pickle.PickleBuffer(value),)),
    array.array: _reduce_array,
    memoryview: views.reduce,
}


_PLAIN = frozenset([type(None), bool, int, float, complex, str, range])


def size_of(value: Any) -> int:
    """Bytes that it shows at once, judged in a microsecond; ``LEAST`` of what has to be pickled to know."""
    kind = type(value)
    if kind in _PLAIN:
        return 0
    if kind in (bytes, bytearray):
        return len(value)
    size = getattr(value, "nbytes", None)  # of arrays, memoryviews and Arrow's tables
    if isinstance(size, int):
        return size
    return LEAST if hasattr(value, "memory_usage") or hasattr(value, "itemsize") else 0


# -- what a map announces of them ----------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What is said of a blob: its name, its bytes, and where it is kept if not with the map."""

    digest: str
    size: int
    kept: str = ""

    def __str__(self) -> str:
        return self.content + (f":{self.kept}" if self.kept else "")

    @property
    def content(self) -> str:
        """As ``str``, but for where it is kept: what is the same for the same bytes, whoever has shared them."""
        return f"{self.digest}:{self.size}"

    @property
    def count(self) -> int:
        """How many pieces it has."""
        return -(-self.size // PIECE)

    @classmethod
    def read(cls, text: str) -> Told:
        """What ``str`` has made of one.

        Raises:
            DamagedError: If it has not.
        """
        if not _TOLD.fullmatch(text):
            raise DamagedError(f"{text[:80]!r} is no name of a blob")
        digest, size, kept = f"{text}:".split(":")[:3]
        return cls(digest, int(size), kept)


_used: ContextVar[dict[str, Told] | None] = ContextVar("_used", default=None)


@contextmanager
def noting() -> Iterator[None]:
    """Note which shared objects are pickled in this block: see ``noted``."""
    token = _used.set({})
    try:
        yield
    finally:
        _used.reset(token)


def noted() -> list[Told]:
    """What was noted so far in the innermost of these blocks."""
    return list((_used.get() or {}).values())


def note(told: Told) -> None:
    """Say that a shared object is being pickled."""
    if (used := _used.get()) is not None:
        used[told.kept] = told


_compared: ContextVar[bool] = ContextVar("_compared", default=False)


@contextmanager
def comparing() -> Iterator[None]:
    """What is pickled in this block is compared, and never sent: shared objects count by their content there."""
    token = _compared.set(True)
    try:
        yield
    finally:
        _compared.reset(token)


def pickled_as(told: Told) -> str:
    """What a shared object is pickled as: as it is sent, or in ``comparing`` as it is compared."""
    if _compared.get():
        return told.content
    note(told)
    return str(told)


@dataclass(frozen=True)
class Ref:
    """Stands for a large object in an item; whoever reads the item finds the object there.

    Args:
        digest: The first ``SHORT`` characters of the blob's name, for there may be millions of items.
    """

    digest: str

    def __reduce__(self) -> tuple[Any, ...]:
        return value_of, (self.digest,)


# -- what is read --------------------------------------------------------------------------------------

_offered: dict[str, Callable[[], memoryview]] = {}  # by the short name, as the two that follow
_opened: dict[str, memoryview] = {}
_bytes: dict[str, bytes] = {}  # those which are nothing but bytes, which nobody can change


def offer(digest: str, opens: Callable[[], memoryview]) -> None:
    """Say where this process finds a blob.

    Args:
        digest: Its name.
        opens: Called when it is first wanted; it has compared the bytes with the name, or knows who has.
    """
    _offered[digest[:SHORT]] = opens


def withdraw(digests: Iterable[str]) -> None:
    """Forget blobs; what was made of them lives as long as somebody has it."""
    for digest in digests:
        for kept in (_offered, _opened, _bytes):
            kept.pop(digest[:SHORT], None)


def shut(digest: str) -> None:
    """Let go of a blob that nobody will look into soon; what was made of it keeps what it shows."""
    _opened.pop(digest[:SHORT], None)


def is_offered(digest: str) -> bool:
    """Whether this process has been told where it finds the blob."""
    return digest[:SHORT] in _offered


def value_of(digest: str) -> Any:
    """The object in a blob: each time a new one over the same memory, for it may be changed around it.

    Raises:
        DamagedError: If there is no such blob here, or it is none.
    """
    digest = digest[:SHORT]
    if (found := _bytes.get(digest)) is not None:
        return found
    value = value_in(_view_of(digest))
    if type(value) is bytes:
        _bytes[digest] = value
    return value


def value_in(blob: memoryview) -> Any:
    """The object in the bytes of a blob; raises as ``value_of``."""
    pickled, buffers = _split(blob)
    return codec.loads(pickled, buffers)


def parts_of(digest: str) -> tuple[memoryview, list[memoryview]]:
    """The pickle in a blob, which may be empty, and the buffers, read-only; raises as ``value_of``."""
    return _split(_view_of(digest))


def _view_of(digest: str) -> memoryview:
    digest = digest[:SHORT]
    if (view := _opened.get(digest)) is None:
        if (opens := _offered.get(digest)) is None:
            raise DamagedError(f"the large object {digest} is not here: it belongs to another map")
        view = _opened[digest] = opens().toreadonly()
    return view


def _split(blob: memoryview) -> tuple[memoryview, list[memoryview]]:
    try:
        magic, count = _HEAD.unpack_from(blob)
        if magic != _MAGIC or count > _MOST:
            raise DamagedError("a blob begins with something else")
        at, ends = _HEAD.size, []
        for _ in range(count + 1):
            ends.append(_LENGTH.unpack_from(blob, at)[0])
            at += _LENGTH.size
    except struct.error as error:
        raise DamagedError("a blob ends in its head") from error
    parts = []
    for length in ends:
        at += -at % _ALIGN
        if length > blob.nbytes - at:
            raise DamagedError("a blob is shorter than its head says")
        parts.append(blob[at : at + length])
        at += length
    return parts[0], parts[1:]
