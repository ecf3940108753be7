"""Worker commands of a system, for the length of a ``with`` block."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

URL = "BENCHMARK_URL"  # variable in which modules with an application find their server
_STOP = 5.0  # seconds a worker may take to end


def server() -> str:
    """URL of the server which modules with an application use."""
    return os.environ[URL]


def script(name: str) -> str:
    """Path of a command that was installed beside this Python."""
    return str(Path(sysconfig.get_path("scripts")) / name)


@contextmanager
def running(*commands: list[str]) -> Iterator[None]:
    """Start the commands; end them, by force if need be, with the block.

    If one ends by itself this whole process does too: nobody would answer, and its log says why.
    """
    processes = [subprocess.Popen(command, stdin=subprocess.DEVNULL) for command in commands]
    over = threading.Event()
    for process in processes:
        threading.Thread(target=_end_with, args=(process, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(_STOP)
            except subprocess.TimeoutExpired:
                process.kill()


def _end_with(process: subprocess.Popen[bytes], over: threading.Event) -> None:
    code = process.wait()
    if not over.is_set():
        print(f"{process.args!r} ended with exit code {code}", file=sys.stderr, flush=True)
        os._exit(1)
