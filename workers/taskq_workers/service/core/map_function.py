"""A map's pickled function on its way from Redis to the pool processes; a large one by pieces, through a file.

Read whole, a function of 100 MiB would hold the dispatcher up for a second, and would be in its memory four times
meanwhile. So it is read a piece at a time, and what is large waits in a file, from which each pool process reads.
"""

from __future__ import annotations

import os
import sys
import tempfile
import weakref

from taskq.errors import FunctionError
from taskq.maps.store import MapStore

PIECE = 1 << 20
"""Bytes that are read at a time; what is no larger needs no file."""


class MapFunction:
    """What one service has of it.

    Args:
        store: Of the map.
    """

    def __init__(self, store: MapStore) -> None:
        self._store = store
        self._file: _File | None = None
        self.size = 0  # bytes, so far
        self.data = b""  # all of it, if it is small
        self.ready = False  # whether it is all there

    @property
    def path(self) -> str:
        """Where a pool process finds a large one, as long as this object lives; "" for a small one."""
        return self._file.path if self._file else ""

    def step(self) -> None:
        """Read the next piece.

        Raises:
            DamagedError: If it is gone.
            FunctionError: If there is no room for it on this host; it begins anew then.
            ReplacedError: If the map's id was pushed again.
        """
        piece = self._store.function(self.size, PIECE)
        self.size += len(piece)
        if len(piece) < PIECE and self._file is None:
            self.data = piece
        else:
            self._keep(piece)
        self.ready = len(piece) < PIECE

    def _keep(self, piece: bytes) -> None:
        try:
            self._file = self._file or _File()
            self._file.add(piece)
        except OSError as error:
            self._file, self.size = None, 0  # what there is of it takes no room any longer
            raise FunctionError(
                f"the map's function can't be kept in {tempfile.gettempdir()} on its way to the pool processes: "
                f"{error}. Make room there, or set TMPDIR for the worker."
            ) from None


class _File:
    """On Linux it has no name of its own, so that nothing of it stays when the service is killed."""

    def __init__(self) -> None:
        if sys.platform == "linux":
            with tempfile.TemporaryFile("wb", prefix="taskq-") as file:
                self._descriptor = os.dup(file.fileno())
            self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"
            weakref.finalize(self, os.close, self._descriptor)
        else:
            self._descriptor, self.path = tempfile.mkstemp(prefix="taskq-")
            weakref.finalize(self, _remove, self._descriptor, self.path)

    def add(self, piece: bytes) -> None:
        left = memoryview(piece)
        while left:
            left = left[os.write(self._descriptor, left) :]


def _remove(descriptor: int, path: str) -> None:
    os.close(descriptor)
    os.unlink(path)  # noqa: PTH108 - pathlib may be gone when the interpreter ends
