"""Large results on their way from a pool process to its service, in memory that both see.

Through Pool's pipe a megabyte goes in sixteen pieces, and it is copied five times until it is on its way to Redis.
Here the process lays it down once, and the service sends it from where it lies.

A ring of bytes. What is laid down gets the next position, a number that only grows; the service says up to which
position it needs nothing any more. What finds no room travels through the pipe, as all that is small does.
"""

from __future__ import annotations

import mmap
import os
import traceback
import weakref
from collections import deque
from dataclasses import dataclass
from multiprocessing import reduction
from typing import Any

SIZE = 8 << 20
"""Bytes; real memory only where something was laid down."""

LARGE = 1 << 16
"""Bytes of a result that is laid down here; what is smaller goes through the pipe in one piece."""

_FRONT = mmap.PAGESIZE  # bytes before the ring


@dataclass(frozen=True)
class Laid:
    """Travels instead of what was laid down. ``at``: its position."""

    at: int
    length: int


@dataclass(frozen=True)
class Carried:
    """Travels with what is large and found no room, so that the service need not look for it."""

    value: bytes


_APART = frozenset([Laid, Carried])


class Memory:
    """What both sides share; can be handed to a process at its start, as an argument."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.bytes = memoryview(mmap.mmap(descriptor, _FRONT + SIZE))
        self.freed = self.bytes[:8].cast("Q")
        self.ring = self.bytes[_FRONT:]

    def __reduce__(self) -> Any:
        return _received, (reduction.DupFd(self._descriptor),)

    def handed_over(self) -> None:
        """The process has started: the mapping is all that is needed from now on."""
        os.close(self._descriptor)


def _received(descriptor: Any) -> Memory:
    memory = Memory(descriptor.detach())
    memory.handed_over()
    return memory


def allot() -> Memory | None:
    """Memory for one lane; None where the system has none that needs no file."""
    try:
        descriptor = os.memfd_create("taskq-tray")
    except (AttributeError, OSError):  # not Linux, or not allowed
        return None
    try:
        os.ftruncate(descriptor, _FRONT + SIZE)
        return Memory(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


class Tray:
    """The pool process's side."""

    def __init__(self, memory: Memory | None) -> None:
        self._memory = memory
        self._next = 0  # position

    def lay(self, values: list[Any]) -> list[Any]:
        """The values, with ``Laid`` instead of those that are large, or ``Carried`` where there is no room."""
        if max(map(len, values), default=0) < LARGE:
            return values
        return [value if len(value) < LARGE else self._lay(value) or Carried(value) for value in values]

    def _lay(self, value: bytes) -> Laid | None:
        memory, length = self._memory, len(value)
        if memory is None:
            return None
        freed, start = memory.freed[0], self._next % SIZE
        skipped = SIZE - start if start + length > SIZE else 0  # it lies in one piece
        needed = length if freed == self._next else skipped + length  # where nothing lies, all is free
        if self._next + needed > freed + SIZE:
            return None
        at = self._next + skipped
        memory.ring[at % SIZE : at % SIZE + length] = value
        self._next = at + length
        return Laid(at, length)


class Clearing:
    """The service's side; for the thread that owns the service's state."""

    def __init__(self, memory: Memory | None) -> None:
        self._memory = memory
        self._ends: deque[int] = deque()  # of what was taken, in order
        self._free: set[int] = set()
        # Ends of what nobody looks at any more. A view may go in any thread, and in the middle of anything, by the
        # garbage collector: then no more is done than to note it.
        self._gone: deque[int] = deque()

    def take(self, values: list[Any]) -> list[Any]:
        """The values, with views of those that are large, which are sent from where they are.

        What was laid down stays there until nobody has the view any more.
        """
        self.sweep()
        if _APART.isdisjoint(map(type, values)):
            return values
        return [self._view(value) if type(value) in _APART else value for value in values]

    def _view(self, large: Laid | Carried) -> memoryview:
        if isinstance(large, Carried):
            return memoryview(large.value)
        assert self._memory is not None
        start, end = large.at % SIZE, large.at + large.length
        view = self._memory.ring[start : start + large.length]
        self._ends.append(end)
        weakref.finalize(view, self._gone.append, end).atexit = False
        return view

    def sweep(self) -> None:
        """Give back the places that nobody looks at any more, and nobody at those before them."""
        while self._gone:
            self._free.add(self._gone.popleft())
        while self._memory is not None and self._ends and self._ends[0] in self._free:
            end = self._ends.popleft()
            self._free.discard(end)
            self._memory.freed[0] = end


def let_go(error: BaseException | None) -> None:
    """Free what the calls that failed still hold: a view would keep its place until the garbage collector runs."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
