"""The flight record of a service: what its pool processes run, in a file that outlives the service.

For each process there is a slot in a file that is mapped into memory. In front are the numbers of its marker
(``marker.py``), written by the process: which task runs, which item, and since when. Behind them the service has
written, before it sent them, what its tasks are. After the death of the service the manager reads both together,
and knows what ran; what only waited has nothing to do with it.

    slot:  10 numbers | which of the two texts is whole | text | text
    text:  of each task the process has: number, kind, id, execution or incarnation, range
"""

from __future__ import annotations

import mmap
import multiprocessing.util
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskq_workers.link import marker

_SLOT = 1 << 14  # bytes of a slot
_NUMBERS = 8 * marker.NUMBERS  # bytes of the numbers
_WHICH, _TEXT = _NUMBERS, _NUMBERS + 8  # where the number of the whole text stands, and where the first begins
_ROOM = (_SLOT - _TEXT) // 2 - 8  # bytes of a text
BESIDE = 32  # processes that a service may have beside those which it has as a rule
_TOO_MUCH = -1  # as the length of a text that has no room
_FIELD, _RECORD = "\x1f", "\x1e"

JOB, CHUNK = "job", "chunk"


@dataclass(frozen=True)
class Flown:
    """What a process ran when its service died.

    Args:
        kind: ``JOB``, also for what is called at its end, or its map's, or ``CHUNK``; of errands nothing is kept.
        id: Of the job, or map.
        run: The execution of a job, the incarnation of a map.
        range: Of a chunk; else empty.
        item: Index of the item that ran, or of one that ran a moment before; None: that is not known.
        lane: Number of the process's place in its service; of chunks only.
        initializing: It ran the initializer of the map, and no item.
        waited: It waited for other work, to which its place was lent.
        seconds: For how long it had run.
    """

    kind: str
    id: str
    run: str
    range: str
    item: int | None
    lane: int = 0
    initializing: bool = False
    waited: bool = False
    seconds: float = field(default=0.0, compare=False)


def path_of(number: int) -> Path:
    """Where the service with this number has its record: in a folder of its manager's, for this user alone."""
    return Path(multiprocessing.util.get_temp_dir()) / f"flight-{number}"  # type: ignore[no-untyped-call,unused-ignore]


class Flight:
    """The service's side of its record.

    Args:
        path: The file, which is made anew.
        processes: How many pool processes there are as a rule.
    """

    def __init__(self, path: Path, processes: int) -> None:
        self.path = path
        # Also for those that are being replaced, that replace them, and that run while others wait for their work.
        count = 3 * processes + 4 + 2 * BESIDE
        path.unlink(missing_ok=True)  # processes of the service before may still have it in memory
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(handle, (count + 1) * _SLOT)
            self._map = mmap.mmap(handle, (count + 1) * _SLOT)
        finally:
            os.close(handle)
        self._free = list(range(count))
        self._last = count  # which is no process's: see ``_end``
        self._over = False

    def slot(self) -> Slot | None:
        """One that nobody has; None if there is none left. Then there is no record: half a one would tell lies."""
        if not self._free:
            self._end()
        return None if self._over else Slot(self, self._free.pop(0))

    def _end(self) -> None:
        """Say that not all is here. The file stays, for processes may be about to open it."""
        self._over = True
        self.view(self._last)[_TEXT : _TEXT + 8].cast("q")[0] = _TOO_MUCH

    def view(self, index: int) -> memoryview:
        return memoryview(self._map)[index * _SLOT : (index + 1) * _SLOT]

    def give_back(self, index: int) -> None:
        self._free.append(index)


class Slot:
    """What the service writes of one process."""

    def __init__(self, flight: Flight, index: int) -> None:
        self._flight, self._index = flight, index
        self._bytes = flight.view(index)
        self._which = self._bytes[_WHICH : _WHICH + 8].cast("q")
        self._lengths = [self._bytes[at : at + 8].cast("q") for at in (_TEXT, _TEXT + _ROOM + 8)]
        self.numbers: Any = self._bytes[:_NUMBERS].cast("q")
        self.numbers[:] = memoryview(marker.fresh()).cast("B").cast("q")
        self.say(())

    @property
    def where(self) -> tuple[str, int]:
        """For the process: the file, and where in it the numbers are."""
        return str(self._flight.path), self._index * _SLOT

    def say(self, labels: Iterable[str]) -> None:
        """These are the tasks that the process has."""
        data = _RECORD.join(labels).encode()
        other = 1 - self._which[0]
        start = _TEXT + other * (_ROOM + 8) + 8
        fits = len(data) <= _ROOM  # else nobody knows, and all that the service held is suspect
        if fits:
            self._bytes[start : start + len(data)] = data
        self._lengths[other][0] = len(data) if fits else _TOO_MUCH
        self._which[0] = other  # last: a kill in between leaves the one before

    def close(self) -> None:
        """The process is gone, and what it ran is known. Its numbers stay, until all others are in use."""
        self.say(())
        self._flight.give_back(self._index)


def label(number: int, kind: str, job_id: str, run: str = "", name: str = "", lane: int = 0) -> str:
    """What is said of a task."""
    return _FIELD.join((str(number), kind, job_id, run, name, str(lane)))


def numbers_at(where: Any) -> Any:
    """In the process: the marker's numbers; ``where``: from ``Slot.where``, or what ``marker.allot`` made."""
    if not isinstance(where, tuple):
        return where
    path, at = where
    handle = os.open(path, os.O_RDWR)
    try:
        whole = mmap.mmap(handle, at + _SLOT)
    finally:
        os.close(handle)
    return memoryview(whole)[at : at + _NUMBERS].cast("q")


def take(path: Path) -> list[Flown] | None:
    """In the manager: what ran when the service died; the record is removed. None: nobody knows."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    with suppress(OSError):
        path.unlink()
    slots = [data[at : at + _SLOT] for at in range(0, len(data) - _SLOT + 1, _SLOT)]
    texts = [_text(slot) for slot in slots]
    if None in texts:
        return None
    return [one for slot, text in zip(slots, texts, strict=True) for one in _read(slot, text or b"")]


def _text(slot: bytes) -> bytes | None:
    """The text that is whole; None: it had no room."""
    start = _TEXT + (slot[_WHICH] & 1) * (_ROOM + 8)
    length = int.from_bytes(slot[start : start + 8], sys.byteorder, signed=True)
    return None if length == _TOO_MUCH else slot[start + 8 : start + 8 + max(0, min(length, _ROOM))]


def _read(slot: bytes, text: bytes) -> Iterator[Flown]:
    left = marker.read(memoryview(slot)[:_NUMBERS].cast("q"))
    initializing = left.item == marker.INITIALIZER
    item = None if initializing else left.item
    for record in text.decode("utf-8", "replace").split(_RECORD):
        number, *rest = record.split(_FIELD)
        if number == str(left.task):
            kind, job_id, run, name, lane = [*rest, "", "", "", "", ""][:5]
            at = int(lane) if lane.isdecimal() else 0
            yield Flown(kind, job_id, run, name, item, at, initializing, left.waits, left.seconds)
