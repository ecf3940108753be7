"""Which maps a pool process knows, so that their functions are sent once. Both ends count along.

Tasks are read in the order in which they were given, so both come to the same, and nobody has to ask.
"""

from __future__ import annotations

from collections import OrderedDict

MAPS = 8  # known at a time, at most
BYTES = 128 << 20  # of their pickled functions; a single one may be larger
LARGE = 1 << 20
"""Bytes of a function whose memory is worth a message of its own when its map is over."""


class Known:
    """The maps by their keys, and how large each one's pickled function is."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[str, int] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._sizes

    def add(self, key: str, size: int) -> list[str]:
        """Know one more map; returns those that are forgotten for it."""
        self._sizes[key] = size
        forgotten: list[str] = []
        while len(self._sizes) > 1 and (len(self._sizes) > MAPS or sum(self._sizes.values()) > BYTES):
            forgotten.append(self._sizes.popitem(last=False)[0])
        return forgotten

    def forget(self, key: str) -> int | None:
        """Forget a map that is over; returns how large its function was, None if it was not known."""
        return self._sizes.pop(key, None)
