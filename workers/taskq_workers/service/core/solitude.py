"""One suspect at a time on a host: what has its last chance may take the host along, and all that runs there.

A suspect runs alone in its service (``jobs/quarantine.py``). If a container goes with it, the services beside it
go too, and of all of these nobody knows afterwards what they ran. What they ran is suspect then; but if it had its
last chance as well, that would be the end of it, though it has done nothing. So no two of a host have theirs at
the same time: who is about to give a process one locks a file, in the folder of ``host_file.py``. The lock ends
with the service.
"""

from __future__ import annotations

import fcntl
import os

from taskq_workers.link.host_file import folder, locked

_NAME = "suspect"


class Solitude:
    """The right of one service to run a suspect."""

    def __init__(self) -> None:
        self._descriptor = -1
        self.waits = False  # another service of this host has it

    def take(self) -> bool:
        """Have it, if no other service of this host has; where there is no place for a lock, nobody is asked."""
        if self._descriptor >= 0:
            return True
        try:
            found = locked(folder() / _NAME, os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX)
        except BlockingIOError:
            self.waits = True
            return False
        except OSError:
            return True
        if found is not None:
            self._descriptor, self.waits = found, False
        return True

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
