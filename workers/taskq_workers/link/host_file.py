"""A large object in a file that all services of a user on one host read, and one of them writes.

    <temporary folder>/taskq-<uid>/<sha256>.turn     whoever writes it has locked this, exclusively
                                  /<sha256>.x.part   being written; x is anything
                                  /<sha256>          whole, and as its name says

Pool processes map the file read-only, so the host has one copy of it: the kernel's pages. The locks (``flock``)
end with the processes that hold them, however these end. So a file that nobody has locked is left over, and
``sweep`` takes it away: a service does that when it starts, and whenever it is done with one. Who writes or uses a
file has locked it, shared, from its beginning on: an exclusive lock that becomes a shared one is given up for a
moment, flock(2). It is no file of ``/dev/shm``, of which containers have 64 MiB: pages of a file on a disk can
leave memory again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import sys
import tempfile
import time
import weakref
from contextlib import suppress
from pathlib import Path

from taskq.errors import DamagedError, FunctionError
from taskq.payload.large import Told

_TURN, _PART = ".turn", ".part"
_PATIENCE = 10.0  # seconds for which who writes a file is waited for
_PAUSE = 0.02  # seconds between looks meanwhile
_NAMELESS = sys.platform == "linux"  # a file is found by its descriptor, too


def folder() -> Path:
    """Where the files of this user are; it is there, and nobody else can write to it.

    Raises:
        OSError: If it can't be made, or is somebody else's.
    """
    path = _place()
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise OSError(f"{path} is not a folder of this user's alone")
    return path


def _place() -> Path:
    return Path(tempfile.gettempdir()) / f"taskq-{os.getuid()}"


class HostFile:
    """The file of one large object.

    Args:
        told: Which one.
    """

    def __init__(self, told: Told) -> None:
        self.told = told
        self.size = 0  # bytes that we have written of it
        self.ready = False
        self._locks: list[int] = []  # descriptors; the last is the file's
        self.close = weakref.finalize(self, _let_go, self._locks)
        self._turn = -1
        self._own: Path | None = None  # of a file that nobody else finds, or not yet
        self._waits_since = 0.0  # on the monotonic clock; 0.0: for nobody
        self._sum = hashlib.sha256()

    @property
    def path(self) -> str:
        """Where pool processes find it, as long as this object lives; on Linux also if its name is gone."""
        return f"/proc/{os.getpid()}/fd/{self._locks[-1]}" if _NAMELESS else str(self._own or self._path)

    @property
    def _path(self) -> Path:
        return folder() / self.told.digest

    def claim(self) -> bool:
        """Find it whole (it is ``ready`` then), or become the one who writes it; False if another service does.

        Raises:
            FunctionError: If there is no place for it on this host.
        """
        if self._locks:
            return True
        try:
            try:
                if not self._find():
                    self._take_turn()
            except BlockingIOError:
                return self._waited_too_long()
        except OSError as error:
            raise _no_place(error) from error
        return True

    def _find(self) -> bool:
        """Have it, if it is whole; raises as ``locked``."""
        found = locked(self._path, os.O_RDONLY, fcntl.LOCK_SH)
        if found is not None:
            self._locks.append(found)
            self.ready = True
        return self.ready

    def _take_turn(self) -> None:
        """Be the one who writes it, or have it after all; raises as ``locked``."""
        turn = locked(self._path.with_suffix(_TURN), os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX)
        assert turn is not None
        self._turn = turn
        self._locks.append(turn)
        try:
            if not self._find():  # between our two looks another may have ended
                self._make()
        finally:
            if self._own is None:
                self._end_turn()

    def _end_turn(self) -> None:
        self._path.with_suffix(_TURN).unlink(missing_ok=True)
        self._locks.remove(self._turn)
        os.close(self._turn)
        self._turn = -1

    def _waited_too_long(self) -> bool:
        """Whether the other one, who may be stopped, is not waited for any more: we write a file of our own."""
        now = time.monotonic()
        self._waits_since = self._waits_since or now
        if now - self._waits_since < _PATIENCE:
            return False
        self._make()
        if self._own and _NAMELESS:
            self._own.unlink()
        return True

    def _make(self) -> None:
        """Begin a file, under a name that is nobody's."""
        while self._own is None:
            descriptor, path = tempfile.mkstemp(dir=folder(), prefix=f"{self.told.digest}.", suffix=_PART)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_at(descriptor, Path(path)):
                self._own = Path(path)
                self._locks.append(descriptor)
            else:  # it was swept away before it was locked
                os.close(descriptor)

    def add(self, piece: bytes) -> None:
        """Write the next piece; ``ready`` after the last.

        Raises:
            DamagedError: If the bytes are not those of its name.
            FunctionError: If there is no place for it on this host.
        """
        left = memoryview(piece)
        self._sum.update(left)
        self.size += left.nbytes
        try:
            while left:
                left = left[os.write(self._locks[-1], left) :]
            if self.size < self.told.size:
                return
            if self._sum.hexdigest() != self.told.digest:
                raise DamagedError(f"a large object was changed: it is not {self.told.digest}")
            if self._own and self._turn >= 0:
                self._own.rename(self._path)
                self._own = None
                self._end_turn()
        except OSError as error:
            raise _no_place(error) from error
        self.ready = True

    def fill(self, data: bytes) -> None:
        """Write all of it, if it is not there, or wait until another has; raises as ``claim`` and ``add``."""
        while not self.claim():
            time.sleep(_PAUSE)
        if not self.ready:
            self.add(data)


def _no_place(error: OSError) -> FunctionError:
    return FunctionError(
        f"a large object of the map can't be kept in {tempfile.gettempdir()} for the pool processes: {error}. "
        "Make room there, or set TMPDIR for the worker."
    )


def _let_go(locks: list[int]) -> None:
    if locks:
        while locks:
            os.close(locks.pop())
        sweep()


def locked(path: Path, flags: int, lock: int) -> int | None:
    """The file, open and locked; None if there is none.

    Raises:
        BlockingIOError: If others have locked it otherwise.
        OSError: If it can't be opened.
    """
    while True:
        try:
            descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)  # it was swept away meanwhile, or renamed: look again


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def sweep() -> int:
    """Remove the files which nobody uses; returns how many. Raises nothing: what stays is swept another time."""
    removed = 0
    with suppress(OSError):
        for path in folder().iterdir() if _place().exists() else ():
            with suppress(OSError):
                if (descriptor := locked(path, os.O_RDONLY, fcntl.LOCK_EX)) is not None:
                    path.unlink()
                    os.close(descriptor)
                    removed += 1
    return removed
