"""A range of consecutive items: what a chunk is, and its name."""

from __future__ import annotations

from dataclasses import dataclass

from taskq.errors import DamagedError

COUNTABLE = 2**53  # items that Lua, too, can count


@dataclass(frozen=True, order=True)
class Range:
    """The items from ``start`` to before ``end``; its text, ``start:count``, is its name in Redis."""

    start: int
    count: int

    @classmethod
    def parse(cls, text: bytes | str) -> Range:
        """The range with this name.

        Raises:
            DamagedError: If it is none.
        """
        name = text.decode("ascii", "replace") if isinstance(text, bytes) else text
        start, _, count = name.partition(":")
        try:
            found = cls(int(start), int(count))
        except ValueError:
            found = None
        if found is None or not (0 <= found.start < COUNTABLE and 0 < found.count < COUNTABLE):
            raise DamagedError(f"{name[:40]!r} is no range of items")
        return found

    @property
    def end(self) -> int:
        return self.start + self.count

    def holds(self, other: Range) -> bool:
        """Whether all of the other's items are in this one."""
        return self.start <= other.start and other.end <= self.end

    def __str__(self) -> str:
        return f"{self.start}:{self.count}"
