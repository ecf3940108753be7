"""When a chunk that runs is to stop before its end, and in how large parts the rest is to go on."""

from __future__ import annotations

import time
from typing import Protocol

from taskq.payload.outcome import MAX_PICKLE, MAX_TEXT, ItemFailure

HELD = 3 << 20  # bytes of results, and of errors, with which a chunk whose size taskq has picked is cut
ENDLESS = float("inf")
_RECORD = 5 << 10  # bytes for which an error counts at least: the server writes one large one faster than many
_REST = 0.5  # of what a chunk may take: less than this left is not worth another journey
_PART = 0.9  # of the same: what each part of the rest takes, if its items are like those before


class Watch(Protocol):
    """Who looks on while a chunk runs."""

    def begins(self, index: int) -> bool:
        """Called before an item; returns whether the chunk is to stop instead."""


class Pace:
    """Decides before an item whether the chunk stops there; asked as seldom as it may be."""

    def __init__(
        self, watch: Watch | None, glance: float, seconds: float, count: int, most: int, enough: int,
        bears: float = ENDLESS,
    ) -> None:  # fmt: skip
        self.began = time.perf_counter()
        adapt = seconds < ENDLESS
        self.next_look = self.began if watch or adapt or enough else ENDLESS
        self._enough, self._bears, self._failed = enough, bears, 0
        self.size: int | None = None  # items of each part of the rest
        self._watch = watch
        self._glance = glance
        self.held = 0  # bytes of results and errors
        self.most = min(HELD, most) if adapt else most
        self.room = MAX_PICKLE  # bytes which the next exception may have
        self._pickled = 0  # characters of those before
        self._slice = seconds
        self._count = count

    def note(self, failure: ItemFailure) -> int:
        """Of a chunk in which all items fail, not all exceptions may be large; returns the size of this one."""
        self._failed += 1
        if self._failed > self._bears:
            self.next_look = 0.0  # at once
        self._pickled += len(failure.pickled)
        if self._pickled >= HELD:
            self.room = MAX_TEXT
        return max(_RECORD, len(failure.pickled) + len(failure.traceback))

    def stops(self, index: int, position: int, now: float) -> bool:
        """Whether to stop before the item with this index, at this position of what is to be done."""
        self.next_look = now + self._glance
        if 0 < self._enough <= position - self._failed or self._failed > self._bears:
            return True
        if self._watch and self._watch.begins(index):
            return True
        share = max((now - self.began) / self._slice, self.held / self.most)  # of what a chunk may take
        if share < 1 or not position:
            return False
        each = share / position
        if (self._count - position) * each < _REST:
            return False
        self.size = max(1, int(_PART / each))
        return True
