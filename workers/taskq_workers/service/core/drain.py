"""When nothing is begun, so that something can run alone: see ``quarantine.py``."""

from __future__ import annotations

from dataclasses import dataclass

TRIES = 3  # after so many in vain what waits runs beside what has run all that time
FIRST = 2.0  # seconds for which nothing new is begun, at first; twice as long each time that it was in vain
BETWEEN = 9.0  # times as long the others go on, until the next try
AWAY = 1.5
"""Seconds for which nothing is taken after a try that was in vain: who has nothing to do elsewhere is to have what
went back, also if no message tells of it."""


@dataclass
class Drain:
    """One wait for the processes to come to rest, in several tries; on the monotonic clock.

    Args:
        until: The end of this try; 0.0: none goes on.
        again: When the next one begins, at the earliest.
        seconds: How long it takes.
        away: Until then others may take what went back, after one that was in vain.
        vain: How many were.
    """

    until: float = 0.0
    again: float = 0.0
    seconds: float = FIRST
    away: float = 0.0
    vain: int = 0

    @property
    def enough(self) -> bool:
        """Whether there are no more tries."""
        return self.vain >= TRIES

    def look(self, now: float) -> bool:
        """Begin a try, or end one that was in vain; whether one has ended so."""
        if not self.until and now >= self.again and not self.enough:
            self.until = now + self.seconds
        if not self.until or now < self.until:
            return False
        self.again, self.until, self.seconds = now + BETWEEN * self.seconds, 0.0, 2 * self.seconds
        self.away = now + AWAY
        self.vain += 1
        return True

    def is_over(self, now: float) -> bool:
        """Whether it is to be forgotten, where nothing waits any more: not what may come back in a moment."""
        return bool(self.until) or not self.away or now >= max(self.away, self.again)
