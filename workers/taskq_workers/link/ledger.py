"""How the jobs of a batch ended, in memory that a lane shares with its pool process.

A process brings the ends of a batch all at once, when it is through. If it dies before, by the fault of one of the
jobs, the ends of those before it are still here, and none of them need run again.

Each entry is the task's number and the length of what follows, a pickled outcome. Written by the process only;
how much is written stands at the front, and is written last. Read by the service when the process is through, or
dead.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from ctypes import c_char
from typing import Any

from taskq_workers.link.tasks import JobOutcome

SIZE = 1 << 17
"""Bytes, for all ends of a batch; one that has no room travels as a single job's does, and ends the batch."""

_FRONT = 8  # bytes
_ENTRY = struct.Struct("=QQ")


class Ledger:
    """Both sides' view of it.

    Args:
        memory: As ``allot`` made it.
    """

    def __init__(self, memory: Any) -> None:
        self._bytes = memoryview(memory).cast("B")
        # Assigned to in one store; struct.pack_into would write zeros first, and a kill may come in between.
        self._front = self._bytes[:_FRONT].cast("Q")

    def clear(self) -> None:
        """A batch begins."""
        self._front[0] = _FRONT

    def add(self, number: int, outcome: JobOutcome) -> bool:
        """Note how a task ended; False if there is no room for it."""
        data = pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL)
        at = self._front[0]
        start = at + _ENTRY.size
        end = start + len(data)
        if end > SIZE:
            return False
        _ENTRY.pack_into(self._bytes, at, number, len(data))
        self._bytes[start:end] = data
        self._front[0] = end
        return True

    def read(self) -> Iterator[tuple[int, JobOutcome]]:
        """Each task's number and how it ended, in the order in which they ran."""
        end = self._front[0]
        at = _FRONT
        while at < end:
            number, length = _ENTRY.unpack_from(self._bytes, at)
            at += _ENTRY.size
            yield number, pickle.loads(self._bytes[at : at + length])
            at += length


def allot(ctx: Any) -> Any:
    """Shared memory for one ledger; to be handed to the process at its start."""
    return ctx.RawArray(c_char, SIZE)
