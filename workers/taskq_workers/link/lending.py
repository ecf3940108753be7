"""Whether a pool process's place is lent, and may be: two of the numbers of its marker (``marker.py``).

number   written by     says
WAITS    pool process   how many waits for other work go on in it
REFUSED  service        1: there are too many such processes already; 2: where the process is, none can be lent
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from taskq_workers.link.marker import REFUSED, WAITS

_WHY = (
    "",
    "too many processes of this worker wait for other work already",
    "on a node of a cluster, which runs this, no process can be lent",
)

NOTICE = "lent"
"""What a pool process sends in place of an answer when it has begun, or ended, to wait."""


class Lending:
    """Both sides' view of the numbers; in the pool process it is a ``nested.Lender``.

    Args:
        numbers: The marker's.
        tell: In the pool process: tells the service that the first one has changed.
    """

    def __init__(self, numbers: Any, tell: Callable[[], object] = lambda: None) -> None:
        self._numbers = numbers
        self._tell = tell
        self._lock = threading.Lock()
        self._waits: set[object] = set()

    # -- of the pool process ---------------------------------------------------------------------------

    def lend(self) -> object:
        """Something waits from now on; returns by what that is known."""
        wait = object()
        with self._lock:
            self._waits.add(wait)
            self._say()
        return wait

    def take_back(self, wait: object) -> None:
        """It waits no more. One of a task that has ended counts no more, and takes nothing from others."""
        with self._lock:
            self._waits.discard(wait)
            self._say()

    def counts(self, wait: object) -> bool:
        """Whether the task in whose name this wait began still runs."""
        return wait in self._waits

    def _say(self) -> None:
        before, self._numbers[WAITS] = self._numbers[WAITS], len(self._waits)
        if bool(before) != bool(self._waits):
            self._tell()

    def reset(self) -> None:
        """A task has ended: a thread that it has left behind may wait, but not in its name."""
        with self._lock:
            self._waits.clear()
            self._numbers[WAITS] = 0

    @property
    def refused(self) -> str:
        """Why the place can't be lent; "" if it can, or nobody has answered yet."""
        return _WHY[self._numbers[REFUSED]]

    # -- of the service --------------------------------------------------------------------------------

    @property
    def lent(self) -> bool:
        """Whether the process waits for other work."""
        return bool(self._numbers[WAITS])

    def refuse(self, refused: bool, *, here: bool = False) -> None:
        """Say whether it may not; ``here``: since none may where the process is."""
        self._numbers[REFUSED] = refused * (2 if here else 1)
