"""Which items have been accounted for: the proof that each was, and none twice."""

from __future__ import annotations

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

    def prove(self) -> None:
        """See that all items are accounted for, each once.

        Raises:
            DamagedError: If not; names the first item that is missing, or that two runs tell of.
        """
        if self._count == self._total and self._end_of == ({0: self._total} if self._total else {}):
            return
        at = 0
        for start, end in sorted(self._end_of.items()):
            if start > at:
                break
            if start < at:
                raise DamagedError(f"item {start} is accounted for twice")
            at = end
        if at < self._total:
            raise DamagedError(f"nothing tells what became of item {at}, of {self._total} items")
        raise DamagedError(f"{self._count} items are accounted for, and there are {self._total}")
