"""What has run of a map that keeps no results, proved by one sum: with a secret key.

Of such a map nothing stays of an item but that it was counted, so there is nothing that could be signed one by
one. Each number of an item has a mark, which only who has the key can tell. A commit of the items from ``start``
up to ``end`` adds ``mark(end) - mark(start)`` to a sum in the map's hash. Of runs that touch, the marks between
them cancel out. So what all commits have added is told by the runs that there are at the end, however they were
committed; and who has no key can't tell the sum of a map of which an item has never run, whatever commits he has
seen: over each item there must lie a difference that somebody with the key has added.

Marks are 128 bits, four words that are added each for itself, modulo 2**32: Lua has no larger whole numbers.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from taskq.errors import SignatureError
from taskq.payload import signing

_WORDS = range(0, 32, 8)  # where these begin in the text of a sum
_LIMIT = 1 << 32
NOTHING = "0" * 32
"""The sum of nothing."""


def key_name() -> str:
    """The name of the key that signs here, which a map is told so that all who run it take the same; "": none."""
    keys = signing.keyring()
    return keys.names[0] if keys else ""


class Tally:
    """The marks of one map.

    Args:
        key: Name of the key, as ``key_name`` has told it.
        job_id: The map's.
        incarnation: Of it.

    Raises:
        SignatureError: If it is none of the keys here.
    """

    def __init__(self, key: str, job_id: str, incarnation: str) -> None:
        keys = signing.keyring()
        if key not in keys.names:
            raise SignatureError(
                f"the runs of the map {job_id} are signed with a key that is not here. {signing.REMEDY}"
            )
        self._key = keys.derived("runs", job_id, incarnation)[keys.names.index(key)]

    def of(self, runs: Iterable[tuple[int, int]]) -> str:
        """What these runs, each ``(start, end)`` of items, add to the sum."""
        words = [0, 0, 0, 0]
        for start, end in runs:
            for place, (more, less) in enumerate(zip(self._mark(end), self._mark(start), strict=True)):
                words[place] += more - less
        return "".join(f"{word % _LIMIT:08x}" for word in words)

    def _mark(self, number: int) -> list[int]:
        told = hmac.digest(self._key, b"%d" % number, "sha256")
        return [int.from_bytes(told[at : at + 4], "big") for at in range(0, 16, 4)]


def added(one: str, other: str) -> str:
    """The sum of two, as commit.lua makes it."""
    return "".join(f"{(int(one[at : at + 8], 16) + int(other[at : at + 8], 16)) % _LIMIT:08x}" for at in _WORDS)
