"""Jobs that print, read from stdin, or look at their open files."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from typing import Any

from tests.waiting import LONG


def say(n: int) -> int:
    print("said by Python:", n)  # noqa: T201
    return n


def whisper(n: int) -> int:
    """Less than a line."""
    print("whispered by Python:", n, end=";")  # noqa: T201
    return n


def say_in_c(n: int) -> int:
    ctypes.CDLL(None).printf(b"said by C: %d\n", n)
    return n


def whisper_in_c(n: int) -> int:
    ctypes.CDLL(None).printf(b"whispered by C: %d;", n)
    return n


def say_and_stay(n: int) -> None:
    say(n)
    say_in_c(n)
    time.sleep(LONG)


def close_stdout(n: int) -> int:
    """Leaves it in a state in which nothing can be printed, or none at all."""
    if n:
        sys.stdout.close()
    else:
        sys.stdout = None  # type: ignore[assignment]
    return n


def read_all(how: str) -> Any:
    """What there is to read on stdin, in several ways."""
    if how == "python":
        return sys.stdin.read()
    if how == "system":
        return os.system("cat") or ""  # noqa: S605, S607 - what users write
    return subprocess.run(["/bin/cat"], stdout=subprocess.PIPE, check=True).stdout.decode()


def files_of_a_child(_n: int) -> list[int]:
    """The open files of a program that is started as C's ``system()`` does it."""
    code = "import os; print(*[fd for fd in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + fd)])"
    found = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, close_fds=False, check=True)
    return sorted(map(int, found.stdout.split()))
