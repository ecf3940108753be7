"""Which items have been accounted for: the proof that each was, and none twice."""

from __future__ import annotations

from collections.abc import Iterator

from taskq.errors import DamagedError


class Coverage:
    """Runs of items, merged where they touch: what ended in about its order costs hardly any memory.

    Args:
        total: Items there are.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._count = 0
        self._end_of: dict[int, int] = {}  # first item of a merged run -> the item after its last
        self._start_of: dict[int, int] = {}  # the other way

    def add(self, start: int, count: int) -> None:
        """Account for ``count`` items from ``start`` on.

        Raises:
            DamagedError: If there are no such items. That one comes twice shows at the end, in ``prove``.
        """
        end = start + count
        if not 0 <= start < end <= self._total:
            raise DamagedError(f"a run of {count} items begins at item {start}, of {self._total} items")
        self._count += count
        start = self._start_of.pop(start, start)
        end = self._end_of.pop(end, end)
        self._end_of[start] = end
        self._start_of[end] = start

    def check(self) -> None:
        """See that nothing was accounted for twice.

        Raises:
            DamagedError: If it was; names the first such item.
        """
        at = 0
        for start, end in sorted(self._end_of.items()):
            if start < at:
                raise DamagedError(f"item {start} is accounted for twice")
            at = end
        if self._count != sum(end - start for start, end in self._end_of.items()):
            raise DamagedError(f"of {self._total} items some are accounted for twice")

    def gaps(self, most: int) -> Iterator[tuple[int, int]]:
        """``(start, count)`` of each run of items not accounted for, in order, ``most`` items at a time."""
        at = 0
        for start, end in (*sorted(self._end_of.items()), (self._total, self._total)):
            for first in range(at, start, most):
                yield first, min(most, start - first)
            at = max(at, end)

    def prove(self) -> None:
        """See that all items are accounted for, each once.

        Raises:
            DamagedError: If not; names the first item that is missing, or that comes twice.
        """
        self.check()
        for start, _count in self.gaps(self._total or 1):
            raise DamagedError(f"nothing tells what became of item {start}, of {self._total} items")
