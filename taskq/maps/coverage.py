"""Which items have been accounted for: the proof that each was, and none twice."""

from __future__ import annotations

from collections.abc import Iterator

from taskq.errors import DamagedError

PAGE = 4096
"""Items that have a bit each in one number, if some of them are accounted for, and some not."""

_ALL = (1 << PAGE) - 1


class Coverage:
    """Whole pages as runs, merged where they touch; the others as bits.

    So a map that went well costs hardly any memory, however long it is, and any other an eighth of a byte an item.

    Args:
        total: Items there are.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._count = 0
        self._twice: int | None = None  # an item
        self._pages: dict[int, int] = {}  # number -> bits
        self._end_of: dict[int, int] = {}  # first page of a merged run -> the page after its last
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
        first, last = -(-start // PAGE), end // PAGE  # of the whole pages, and the one after them
        if first > last:
            self._add_bits(last, start % PAGE, end % PAGE)
            return
        if start % PAGE:
            self._add_bits(first - 1, start % PAGE, PAGE)
        if end % PAGE:
            self._add_bits(last, 0, end % PAGE)
        if first < last:
            self._add_pages(first, last)

    def _add_bits(self, page: int, start: int, end: int) -> None:
        there, new = self._pages.get(page, 0), ((1 << (end - start)) - 1) << start
        if both := there & new:
            self._twice = page * PAGE + _lowest(both)
        if there | new == _ALL:
            self._pages.pop(page, None)
            self._add_pages(page, page + 1)
        else:
            self._pages[page] = there | new

    def _add_pages(self, start: int, end: int) -> None:
        start = self._start_of.pop(start, start)
        end = self._end_of.pop(end, end)
        self._end_of[start] = end
        self._start_of[end] = start

    def check(self) -> None:
        """See that nothing was accounted for twice.

        Raises:
            DamagedError: If it was; names such an item, if it can.
        """
        twice, at, items = self._twice, 0, 0
        for start, end, bits in self._known():
            if start < at and twice is None:
                twice = start + _lowest(bits)
            at = max(at, end)
            items += bits.bit_count() or end - start
        if twice is not None:
            raise DamagedError(f"item {twice} is accounted for twice")
        if self._count != items:
            raise DamagedError(f"of {self._total} items some are accounted for twice")

    def gaps(self, most: int) -> Iterator[tuple[int, int]]:
        """``(start, count)`` of each run of items not accounted for, in order, ``most`` items at a time."""
        at = 0
        for start, end, bits in self._known():
            yield from _cut(at, min(start, self._total), most)
            if bits:
                yield from self._gaps_in(start, bits, most)
            at = max(at, end)
        yield from _cut(at, self._total, most)

    def _known(self) -> list[tuple[int, int, int]]:
        """``(first item, the item after the last, bits)`` of each run of pages; the bits of whole ones are 0."""
        runs = [(start * PAGE, end * PAGE, 0) for start, end in self._end_of.items()]
        return sorted(runs + [(page * PAGE, (page + 1) * PAGE, bits) for page, bits in self._pages.items()])

    def _gaps_in(self, start: int, bits: int, most: int) -> Iterator[tuple[int, int]]:
        missing = ~bits & _ALL
        while missing:
            first = _lowest(missing)
            length = _lowest(~(missing >> first))
            missing &= missing + (1 << first)  # without this run
            yield from _cut(start + first, min(start + first + length, self._total), most)

    def prove(self) -> None:
        """See that all items are accounted for, each once.

        Raises:
            DamagedError: If not; names the first item that is missing, or one that comes twice.
        """
        self.check()
        for start, _count in self.gaps(self._total or 1):
            raise DamagedError(f"nothing tells what became of item {start}, of {self._total} items")


def _lowest(bits: int) -> int:
    """Number of the lowest bit that is set; 0 if none is."""
    return max(0, (bits & -bits).bit_length() - 1)


def _cut(start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    for first in range(start, end, most):
        yield first, min(most, end - first)
