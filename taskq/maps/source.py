"""The source of a map whose items are another map's results, and who follows a map: how both are written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from taskq.errors import DamagedError
from taskq.payload.ranges import COUNTABLE
from taskq.redis import ids
from taskq.redis.keys import MapKeys

ALL = COUNTABLE - 1
"""So many results are one item: all there are."""


@dataclass(frozen=True)
class Source:
    """One run of a map, whose results are another's items.

    Args:
        id: The map's.
        incarnation: Of it: what has got its id later is another's source.
        together: How many of its results are one item; 0: each is one. The item's number is the result's, or that
            of the group, counted from the first result on.
    """

    id: str
    incarnation: str
    together: int = 0

    @classmethod
    def read(cls, text: str, together: int) -> Source:
        """What ``str`` has written.

        Raises:
            DamagedError: If that is none.
        """
        name, _, incarnation = text.partition(" ")
        if ids.read(name.encode()) is None or not incarnation.isalnum() or not 0 <= together <= ALL:
            raise DamagedError(f"{text[:80]!r} is no map whose results are items")
        return cls(name, incarnation, together)

    def __str__(self) -> str:
        return f"{self.id} {self.incarnation}"

    @property
    def keys(self) -> MapKeys:
        """Of the map."""
        return MapKeys(self.id, self.incarnation)

    @property
    def place(self) -> tuple[str, str]:
        """For which its results are signed: see ``results.codec_of``."""
        return self.keys.results, self.incarnation

    def items(self, results: int) -> int:
        """How many items so many results are; of all together one, also if there is none."""
        if self.together == ALL:
            return 1
        return -(-results // self.together) if self.together else results

    def item(self, result: int) -> int:
        """The item that has this result."""
        return result // self.together if self.together else result


def followers(text: str) -> Iterator[MapKeys]:
    """The maps that the field of a map's hash names; what names none is passed over, for it may be anything."""
    for one in text.split(","):
        name, _, incarnation = one.partition(" ")
        if ids.read(name.encode()) is not None and incarnation.isalnum():
            yield MapKeys(name, incarnation)
