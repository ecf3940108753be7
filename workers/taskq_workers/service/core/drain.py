"""When nothing is begun, so that something can run alone: see ``quarantine.py``."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 2.0  # seconds for which nothing new is begun, at first; twice as long each time that it was in vain
BETWEEN = 9.0  # times as long the others go on, until the next try


@dataclass
class Drain:
    """One wait for the processes to come to rest, in several tries; on the monotonic clock.

    Args:
        until: The end of this try; 0.0: none goes on.
        again: When the next one begins, at the earliest.
        seconds: How long it takes.
    """

    until: float = 0.0
    again: float = 0.0
    seconds: float = FIRST

    def look(self, now: float) -> None:
        """Begin a try, or end one that was in vain."""
        if not self.until and now >= self.again:
            self.until = now + self.seconds
        if self.until and now >= self.until:
            self.again, self.until, self.seconds = now + BETWEEN * self.seconds, 0.0, 2 * self.seconds
