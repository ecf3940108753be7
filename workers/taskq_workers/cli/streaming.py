"""``taskq map --follow``: lines of a pipe become items of an open map as they come."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from taskq.errors import MapError, TaskqError
from taskq.maps.open_map import OpenMap

BUFFER = 1000  # items that may be unfinished


class Stream:
    """Puts items in a thread, until there are no more.

    Args:
        job: The map.
        items: Read as they come.
    """

    def __init__(self, job: OpenMap, items: Iterable[Any]) -> None:
        self._job, self._items = job, items
        self._stopped = False
        self.error: Exception | None = None  # in the items, or in putting them

    def run(self) -> None:
        """Put all, and seal the map; what came before an error has its results."""
        try:
            for item in self._items:
                if self._stopped:
                    return
                self._job.put(item)
        except MapError:
            return  # it has ended, which is told where its results are
        except Exception as error:  # noqa: BLE001 - raised by who waits for the results
            self.error = error
        self._seal()

    def stop(self) -> None:
        """Put nothing more."""
        self._stopped = True
        self._seal()

    def _seal(self) -> None:
        with suppress(TaskqError):  # the map has ended, or its lease will
            self._job.seal()


def own_stdin() -> BinaryIO:
    """Stdin for a thread that may wait there when the program ends, which would abort of ``sys.stdin`` then."""
    try:
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    except io.UnsupportedOperation:  # it is none of the system's
        return sys.stdin.buffer


@contextmanager
def streaming(job: OpenMap, items: Iterable[Any]) -> Iterator[None]:
    """Have the items put while the body follows the map.

    Raises:
        Exception: At the end of the body, what is wrong with the items.
    """
    stream = Stream(job, items)
    threading.Thread(target=stream.run, name="taskq map reads", daemon=True).start()
    try:
        yield
    finally:
        stream.stop()
    if stream.error is not None:
        raise stream.error
