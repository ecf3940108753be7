"""A map's pickled function, and its large objects, on their way from Redis to the pool processes: by pieces.

Read whole, a function of 100 MiB would hold the dispatcher up for a second, and would be in its memory four times
meanwhile. So it is read a piece at a time, and what is large waits in a file, from which each pool process reads.
Large objects that travel apart are read after it, the same way, into files of the host's (``link/host_file.py``).
"""

from __future__ import annotations

import os
import sys
import tempfile
import weakref
from collections import deque
from collections.abc import Sequence

from taskq.errors import FunctionError
from taskq.maps.store import MapStore
from taskq.payload import large
from taskq.payload.large import Told
from taskq_workers.link.host_file import HostFile
from taskq_workers.link.tasks import BlobFile

PIECE = 1 << 20
"""Bytes that are read at a time; what is no larger needs no file."""


class MapFunction:
    """What one service has of it.

    Args:
        store: Of the map.
        blobs: The large objects to which it, or an item, refers.
    """

    def __init__(self, store: MapStore, blobs: Sequence[Told] = ()) -> None:
        self._store = store
        self._blobs = deque(blobs)  # that are still to be read; with the first of them we are at
        self._files: list[HostFile] = []  # of those which have been begun
        self.waits = False  # for another service of this host, which reads one of them
        self._file: _File | None = None
        self.size = 0  # bytes, so far
        self.data = b""  # all of it, if it is small
        self.ready = False  # whether it is all there, and what it refers to
        self._whole = False  # whether it is all there

    @property
    def path(self) -> str:
        """Where a pool process finds a large one, as long as this object lives; "" for a small one."""
        return self._file.path if self._file else ""

    @property
    def blobs(self) -> tuple[BlobFile, ...]:
        """The large objects that are there, for a pool process."""
        return tuple(BlobFile(one.told.digest, one.told.size, one.path) for one in self._files if one.ready)

    @property
    def weight(self) -> int:
        """Bytes of all of it."""
        return self.size + sum(one.told.size for one in self._files)

    def step(self) -> None:
        """Read the next piece.

        Raises:
            DamagedError: If it is gone, or was changed.
            FunctionError: If there is no room for it on this host; it begins anew then.
            ReplacedError: If the map's id was pushed again.
        """
        if self._whole:
            self._read_blob()
        else:
            self._read_function()
        self.ready = self._whole and not self._blobs

    def _read_blob(self) -> None:
        told = self._blobs[0]
        if not self._files or self._files[-1].told is not told:
            self._files.append(HostFile(told))
        file = self._files[-1]
        try:
            self.waits = not file.claim()
            if not (self.waits or file.ready):
                file.add(self._store.piece(told, file.size // large.PIECE))
        except FunctionError:
            self._files.pop()  # what there is of it takes no room any longer
            raise
        if file.ready:
            self._blobs.popleft()

    def _read_function(self) -> None:
        piece = self._store.function(self.size, PIECE)
        self.size += len(piece)
        if len(piece) < PIECE and self._file is None:
            self.data = piece
        else:
            self._keep(piece)
        self._whole = len(piece) < PIECE

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
