"""One suspect at a time on a host: what has its last chance may take the host along, and all that runs there.

A suspect runs alone in its service (``jobs/quarantine.py``). If a container goes with it, the services beside it
go too, and of all of these nobody knows afterwards what they ran. What they ran is suspect then; but if it had its
last chance as well, that would be the end of it, though it has done nothing. So no two of a host have theirs at
the same time: who is about to give a process one locks a file, in the folder of ``host_file.py``. The lock ends
with the service. Of one that is frozen, or whose suspect hangs, it does not, so nobody waits longer than
``PATIENCE``.
"""

from __future__ import annotations

import fcntl
import math
import os
import time

from taskq_workers.link.host_file import folder, locked

PATIENCE = 60.0
"""Seconds for which a suspect waits for that of another service; then it runs beside it."""

_NAME = "suspect"


class Solitude:
    """The right of one service to run a suspect."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._asked, self._since = -math.inf, 0.0  # last in vain, and since when, on the monotonic clock
        self.waits = False  # another service of this host has it

    def take(self) -> bool:
        """Have it, if no other service of this host has; where there is no place for a lock, nobody is asked.

        Also if others have had it for too long.
        """
        if self._descriptor >= 0:
            return True
        try:
            found = locked(folder() / _NAME, os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX)
        except BlockingIOError:
            return not self._wait()
        except OSError:
            return True
        if found is not None:
            self._descriptor, self._asked, self.waits = found, -math.inf, False
        return True

    def _wait(self) -> bool:
        """It was asked for in vain: whether to ask again."""
        now = time.monotonic()
        if now - self._asked > PATIENCE:  # that was another time
            self._since = now
        self._asked = now
        self.waits = now - self._since < PATIENCE
        return self.waits

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._descriptor >= 0

    def let_go(self) -> None:
        """Leave it to others, and want it no more."""
        self.waits = False
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
