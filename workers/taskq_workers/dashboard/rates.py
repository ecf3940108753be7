"""How fast counters grow, from looking at them again and again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from taskq.views.timeline import TimelineEntry

WINDOW = 10.0  # seconds


class Rates:
    """Remembers what counters were, for ``WINDOW`` seconds."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, float]]] = {}

    def note(self, name: str, now: float, count: float) -> float | None:
        """Note what a counter is now; returns its growth per second, None when it is seen for the first time.

        A counter that goes backwards (failed items that are tried again) begins anew.
        """
        seen = self._seen.setdefault(name, deque())
        if seen and count < seen[-1][1]:
            seen.clear()
        seen.append((now, count))
        while len(seen) > 2 and seen[1][0] <= now - WINDOW:  # noqa: PLR2004 - two make a difference
            seen.popleft()
        first = seen[0]
        return (count - first[1]) / (now - first[0]) if now > first[0] else None

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget all others."""
        for name in self._seen.keys() - set(names):
            del self._seen[name]


class Flow:
    """Items per second, of all maps together, from the timeline's entries of the last ``WINDOW`` seconds."""

    def __init__(self) -> None:
        self._ended: deque[tuple[float, int]] = deque()
        self._since = 0.0  # Unix time from which on nothing is missing

    def note(self, now: float, entries: Iterable[TimelineEntry], *, skipped: bool) -> None:
        """Add entries, oldest first; ``skipped``: some before them are missing, so only these count."""
        entries = list(entries)
        if skipped:
            self._ended.clear()
            self._since = entries[0].end
        self._ended.extend((entry.end, entry.items) for entry in entries if entry.end > now - WINDOW)
        while self._ended and self._ended[0][0] <= now - WINDOW:
            self._ended.popleft()

    def rate(self, now: float) -> float:
        """Items per second; 0.0 while there is nothing to reckon with."""
        seconds = min(WINDOW, now - self._since)
        return sum(items for _, items in self._ended) / seconds if seconds > 0 else 0.0
