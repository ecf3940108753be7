"""stdin, stdout and the other open files of a pool process.

A pool process is killed when it is not needed any more, so what job code prints must not wait in its memory:
Python and C write it line by line, and what is left at the end of a task is written then. To read from stdin gives
the end of the file at once, to the programs that job code starts, too: else they would take what is meant for the
worker, or wait for it.
"""

from __future__ import annotations

import ctypes
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_STDIN, _STDERR = 0, 2
_IOLBF = 1  # stdio.h: by lines

_libc = ctypes.CDLL(None)


def _c_stdout() -> Any:
    for name in ("stdout", "__stdoutp"):  # the latter on macOS
        with suppress(ValueError):
            return ctypes.c_void_p.in_dll(_libc, name)
    return None  # C code prints when its buffer is full


_stdout = _c_stdout()
_libc.fflush.argtypes = [ctypes.c_void_p]


def set_up() -> None:
    """Have nothing read from stdin, and what is printed written by lines; before any code of the user's."""
    null = os.open(os.devnull, os.O_RDONLY)
    if null != _STDIN:
        os.dup2(null, _STDIN)
        os.close(null)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    if _stdout is not None:
        _libc.setvbuf(_stdout, None, _IOLBF, ctypes.c_size_t(0))


def keep_files() -> None:
    """Hand on none of the files that are open now to the programs which job code starts, whatever starts them.

    What came through the forkserver's socket would be: with ``os.system()`` a program that stays would keep the
    service waiting for the end of our pipes.
    """
    for number in [int(path.name) for path in Path("/dev/fd").iterdir()]:
        with suppress(OSError):  # it was the listing's own
            if number > _STDERR:
                os.set_inheritable(number, False)


def flush() -> None:
    """Write what is left of what was printed, by Python's own means.

    Job code may have put an object of its own in the place of a stream. To flush that would run code of the user's
    when no item runs, so that no limit would end it.
    """
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            if type(stream) is io.TextIOWrapper:
                stream.flush()
        except Exception:  # noqa: BLE001, S110 - there may be a closed one, or one of a full disk
            pass
    if _stdout is not None:
        _libc.fflush(_stdout)
