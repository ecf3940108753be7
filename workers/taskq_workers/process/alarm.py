"""RQ's limit of a job's time, without what makes setting an alarm slow.

``signal.signal`` looks for each handler among the names SIG_DFL and SIG_IGN, also for the one before; where that
is a method, Python 3.11 makes an error of it, and drops it. That took a tenth of a job that does nothing.
"""

from __future__ import annotations

import importlib
import signal
from typing import Any

from rq.timeouts import UnixSignalDeathPenalty

_handle: Any = importlib.import_module("_signal").signal


class Alarm(UnixSignalDeathPenalty):
    """As RQ's."""

    def setup_death_penalty(self) -> None:
        """As RQ's."""
        _handle(signal.SIGALRM, self.handle_death_penalty)
        signal.alarm(self._timeout)

    def cancel_death_penalty(self) -> None:
        """As RQ's."""
        signal.alarm(0)
        _handle(signal.SIGALRM, int(signal.SIG_DFL))
