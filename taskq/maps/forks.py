"""Keeps children that job code has forked out of whatever called that code.

A child which leaves by ``sys.exit()``, by an exception, or by coming to the end of the job's function would come
back into the loop of a pool process (or of a stock RQ worker's work horse) as a second one, and answer in its
parent's place. It ends here instead, as a program of its own would end.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

count = 0
"""Forks, by Python code, from the program that was started to this process; another number: another process."""


def _note() -> None:
    global count  # noqa: PLW0603 - one for each process
    count += 1


os.register_at_fork(after_in_child=_note)


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of the user's; comes back in the process which has called, in no child of it."""
    here = count
    try:
        value = function(*args)
    except BaseException as error:
        if count != here:
            leave(error)
        raise
    if count != here:
        leave()
    return value


def leave(error: BaseException | None = None) -> NoReturn:
    """End this process, a child which job code has forked, as a program ends.

    Its threads are waited for and what it has printed is written. Functions registered with ``atexit`` are not
    called, as in the children of ``multiprocessing``: some are its parent's.

    Args:
        error: By which it left the job's function; None: it came to its end. ``SystemExit`` says the exit code,
            all others are shown on stderr, and it is 1.
    """
    code = 1
    try:
        code = _exit_code(error)
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        ctypes.CDLL(None).fflush(None)  # what C code has printed
    finally:
        os._exit(code)


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)  # noqa: T201 - what Python itself does
    return 1
