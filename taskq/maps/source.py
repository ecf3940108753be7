"""The source of a map whose items are another map's results, and who follows a map: how both are written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from taskq.errors import DamagedError
from taskq.payload import codec, signing
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

    def members(self, item: int, total: int | None) -> int:
        """How many results are this item; ``total``: of all, None: more than these.

        Raises:
            DamagedError: If all together don't have an item with that number.
        """
        left = self.together if total is None else min(self.together, total - item * self.together)
        if left < 0 or (not left and self.together != ALL):
            raise DamagedError(f"item {item} is none of those that {total} results of the map {self.id} make")
        return left

    def items(self, results: int) -> int:
        """How many items so many results are; of all together one, also if there is none."""
        if self.together == ALL:
            return 1
        return -(-results // self.together) if self.together else results

    def item(self, result: int) -> int:
        """The item that has this result."""
        return result // self.together if self.together else result


def proof_of(follower: MapKeys, total: int) -> bytes:
    """The signature over how many results the source of this map has in all; b"" without a key."""
    return _number(follower).close(b"%d" % total) if signing.keyring() else b""


def proven(follower: MapKeys, proof: bytes) -> int:
    """How many these are.

    Raises:
        SignatureError: If it is not signed for that map.
        DamagedError: If it is no number.
    """
    said = _number(follower).open(proof)
    if not said.isdigit():
        raise DamagedError(f"{said[:40]!r} is no number of results")
    return int(said)


def _number(follower: MapKeys) -> codec.Codec:
    return codec.at("source's number", follower.id, follower.incarnation)


def followers(text: str) -> Iterator[MapKeys]:
    """The maps that the field of a map's hash names; what names none is passed over, for it may be anything."""
    for one in text.split(","):
        name, _, incarnation = one.partition(" ")
        if ids.read(name.encode()) is not None and incarnation.isalnum():
            yield MapKeys(name, incarnation)
