"""Processes of this program's own, beside a private server, which stay from one ``Parallel`` to the next.

To start them takes half a second, which nobody wants to pay for each call of ``Parallel``.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack

from taskq.fronts.place import Place

IDLE = 300.0  # seconds after which processes that nobody uses end

_lock = threading.RLock()
_kept: dict[tuple[int, int, tuple[tuple[str, str], ...], int | None], _Kept] = {}


class _Kept:
    """One server and its processes."""

    def __init__(self, processes: int, environment: Mapping[str, str], limit: int | None) -> None:
        self.place = Place(None, None, processes, environment=environment, payload_limit=limit)
        self.users = 0
        self.timer: threading.Timer | None = None


class Borrowed(Place):
    """Those processes, for a session, which closes it."""

    def __init__(self, kept: _Kept) -> None:
        self.queue, self.processes, self.own = kept.place.queue, kept.place.processes, True
        self._stack = ExitStack()
        self._stack.callback(_give_back, kept)


def borrow(processes: int, environment: Mapping[str, str], limit: int | None = None) -> Place:
    """So many processes; they are started if they are not there.

    Args:
        processes: How many.
        environment: Variables that they get beside this program's.
        limit: The ``payload_limit`` of their queue; None: the usual one.

    Raises:
        OptionError: If the limit is none.
        ServerError: If there is no server program, or they do not start.
    """
    key = os.getpid(), processes, tuple(sorted(environment.items())), limit
    with _lock:
        kept = _kept.get(key)
        if kept is None:
            kept = _kept[key] = _Kept(processes, environment, limit)
        if kept.timer is not None:
            kept.timer.cancel()
            kept.timer = None
        kept.users += 1
        return Borrowed(kept)


def _give_back(kept: _Kept) -> None:
    with _lock:
        kept.users -= 1
        if not kept.users:
            kept.timer = threading.Timer(IDLE, _end, (kept,))
            kept.timer.daemon = True
            kept.timer.start()


def _end(kept: _Kept) -> None:
    with _lock:
        if kept.users:
            return
        for key in [key for key, one in _kept.items() if one is kept]:
            del _kept[key]
    kept.place.close()


@atexit.register
def _at_exit() -> None:
    with _lock:
        here = [(key, kept) for key, kept in _kept.items() if key[0] == os.getpid()]
        for key, kept in here:
            del _kept[key]
            if kept.timer is not None:
                kept.timer.cancel()
    for _key, kept in here:
        kept.place.close()
