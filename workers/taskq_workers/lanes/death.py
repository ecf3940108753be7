"""How a lane's process died, as far as it is known."""

from __future__ import annotations

import signal
from dataclasses import dataclass


class ForkserverLostError(Exception):
    """All pool processes of a service have ended with their forkserver, so that none of them says what it died of.

    What ran may have killed it, or something else has (the kernel, for want of memory). That is to be found out as
    where a service was killed, so the service ends as if it had been: before its flight record changes.
    """


@dataclass(frozen=True)
class Death:
    """What is known of it.

    Args:
        task: Number of the task that ran, or whose outcome could not be sent; 0: none had begun.
        item: Index of the item that ran; None: none did.
        began: Unix time at which the task began.
        seconds: How long it had run.
        exit_code: As ``multiprocessing`` has it, below 0 for a signal; None: it is unknown.
        killed_for: Why the service killed it; "" if it did not.
        reading: It read a task, or had read one, that had not begun.
        initializing: It ran the initializer of the task's map, and no item of that yet.
        starved: Whether the kernel has killed something of this container for want of memory in the two or three
            seconds before that was asked (``oom.py``); whom, it does not say.
    """

    task: int
    item: int | None
    began: float
    seconds: float
    exit_code: int | None
    killed_for: str
    starved: bool = False
    initializing: bool = False
    reading: bool = False

    @property
    def cause(self) -> str:
        """E.g. "SIGKILL" or "exit code 3"."""
        return cause_of(self.exit_code, starved=self.starved)

    @property
    def why(self) -> str:
        """The cause in one of a few words, for the metrics."""
        if self.killed_for:
            return "timeout" if "timeout" in self.killed_for else "killed"
        return cause_of(self.exit_code).partition(" code ")[0]

    def __str__(self) -> str:
        return f"{self.cause} ({self.killed_for})" if self.killed_for else self.cause


def cause_of(code: int | None, *, starved: bool = False) -> str:
    """What a process with this exit code died of, for people; ``starved``: as in ``Death``."""
    if code is None:
        return "an unknown cause"
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"{name} (out of memory)" if starved and -code == signal.SIGKILL else name
