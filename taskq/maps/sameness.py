"""Whether a map that is there already is the one that is to be pushed: same function, same items, same terms."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sized
from dataclasses import dataclass
from typing import Any

from taskq.errors import OptionError
from taskq.maps.info import MapInfo
from taskq.maps.items import Items
from taskq.maps.job import MapJob
from taskq.maps.terms import Terms
from taskq.payload import canonical

_SIZE = 32  # hex digits of a digest


class ItemsDigest:
    """A digest over items, one after the other: where chunks begin and end does not matter."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.count = 0

    def update(self, run: Iterable[Any]) -> None:
        """Take more items in.

        Raises:
            PickleError: If one can't be pickled; names its index.
        """
        for item in run:
            self._hash.update(canonical.dumps(item, f"item {self.count}"))  # a pickle says itself where it ends
            self.count += 1

    def text(self) -> str:
        return self._hash.hexdigest()[:_SIZE]


@dataclass(frozen=True)
class Wanted:
    """What is to be pushed, as far as another map is compared with it.

    Args:
        queue: Name of the queue.
        name: Of the function.
        code: Its digest.
        items: Not read yet.
        item_timeout: Seconds; 0.0: none.
        terms: Of the map.
    """

    queue: str
    name: str
    code: str
    items: Items
    item_timeout: float
    terms: Terms

    def check(self, job: MapJob, info: MapInfo) -> None:
        """See that a map is what is wanted. Reads the items, unless it can be told without.

        Raises:
            OptionError: If not; says what differs.
            Exception: Whatever the iterable raises.
        """
        if not info.terms.code_digest:
            raise OptionError(
                f'the map {job.id} was not pushed with if_exists="attach", so nothing tells whether its function '
                f'and items are the same. queue.fetch_job({job.id!r}) returns it; if_exists="replace" replaces it'
            )
        differs = [*self._function(info), *self._options(job, info)]
        if not differs and (differing := self._items(info)):
            differs = [differing]
        if differs:
            raise OptionError(
                f"the map {job.id} exists, and is another one than is to be pushed: {'; '.join(differs)}. Use "
                'another job_id, or if_exists="replace"'
            )

    def _function(self, info: MapInfo) -> list[str]:
        if self.name != info.name:
            return [f"its function is {info.name}, and not {self.name}"]
        if self.code != info.terms.code_digest:
            of = f"{self.name}, or of its initializer," if self.terms.initializer else self.name
            return [f"the code of its function {of} is another, or the data that belongs to it"]
        return []

    def _options(self, job: MapJob, info: MapInfo) -> list[str]:
        pairs = {"queue": (job.origin, self.queue), "star": (info.star, self.items.star),
                 "item_timeout": (info.item_timeout or None, self.item_timeout or None)}  # fmt: skip
        theirs, own = _named(info.terms), _named(self.terms)
        pairs |= {name: (theirs.get(name), own.get(name)) for name in sorted({*theirs, *own})}
        differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        return [f"{name} is {there!r} there, and {here!r} here" for name, (there, here) in differing.items()]

    def _items(self, info: MapInfo) -> str:
        source = self.items.source
        if isinstance(source, Sized) and len(source) != info.total:
            return f"it has {info.total} items, and not {len(source)}"
        digest = ItemsDigest()
        digest.update(source)
        if digest.count != info.total:
            return f"it has {info.total} items, and not {digest.count}"
        if digest.text() != info.terms.items_digest:
            return f"its {info.total} items are others"
        return ""


def _named(terms: Terms) -> dict[str, Any]:
    """Those that are options of the user's."""
    return terms.wanted.named
