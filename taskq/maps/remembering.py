"""Writes the items of a map with a memo: what the memo has goes into its result list, and the rest into chunks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from taskq.maps import item_keys
from taskq.maps.chunk import SOFT_BYTES, Chunker
from taskq.maps.draft import Draft, Known
from taskq.maps.items import Items
from taskq.maps.memo import Memo
from taskq.maps.settled import settled

_BLOCK = 256  # items whose keys are looked for in one round trip, unless a chunk has more
_MOST = 4096  # items that are written in one round trip, unless they reach ``SOFT_BYTES`` before


@dataclass(frozen=True)
class Remembering:
    """How the items of one map are written.

    Args:
        draft: The map.
        chunker: Cuts what is to be run.
        memo: Where results are looked for.
        ttl: Seconds for which they count; -1: for ever.
        key: The user's; None: each item is its own.
    """

    draft: Draft
    chunker: Chunker
    memo: Memo
    ttl: float
    key: Callable[..., str] | None

    def write(self, items: Items) -> None:
        """Write all of them, in bounded memory.

        Raises:
            OptionError: If an item has no key; names its index.
            SignatureError, DamagedError: If what the memo holds is not to be trusted, or can't be read.
            PickleError, TooLargeError, MapError: As ``Chunker.chunks`` and ``Draft.write``.
            Exception: Whatever the iterable or ``key`` raises.
        """
        known = Known(0)
        for run in self._blocks(items):
            known = self._add(known, run, star=items.star)
        if known.after > self.draft.total:
            self.draft.write_some(known)

    def _blocks(self, items: Items) -> Iterator[list[Any]]:
        iterator = settled(items.source)
        while run := list(itertools.islice(iterator, max(_BLOCK, self.chunker.chunksize or 0))):
            if self.chunker.seen is not None:
                self.chunker.seen(run)
            yield run

    def _add(self, known: Known, run: list[Any], *, star: bool) -> Known:
        """Take items in; returns what is still to be written."""
        start, draft = known.after, self.draft
        wanted = [item_keys.of(index, item, self.key, star=star) for index, item in enumerate(run, start)]
        indexes: list[int] = []
        for index, found in enumerate(self.memo.find(wanted, self.ttl), start):
            if found is None:
                indexes.append(index)
                continue
            known.put(index, found)
            if known.size >= SOFT_BYTES:  # it may be much, and is in memory only until then
                before = draft.total - draft.hits + len(known.named)
                self._cut(known, indexes, run, wanted, start, before)
                indexes.clear()
                known.after = index + 1
                draft.write_some(known)
                known = Known(known.after)
        self._cut(known, indexes, run, wanted, start, draft.total - draft.hits + len(known.named))
        known.after = start + len(run)
        if known.size < SOFT_BYTES and known.after - draft.total < _MOST:
            return known
        draft.write_some(known)
        return Known(known.after)

    def _cut(
        self, known: Known, indexes: list[int], run: list[Any], wanted: list[str], start: int, before: int
    ) -> None:
        """Have these items of a run among those that are to be run.

        Args:
            known: What is to be written.
            indexes: Of the items.
            run: The items from ``start`` on.
            wanted: Their keys.
            start: Index of the first.
            before: How many there are before that are to be run.
        """
        keys = self.draft.keys
        for chunk in self.chunker.scattered(indexes, [run[index - start] for index in indexes], before):
            known.chunks.append(chunk)
            known.size += len(chunk.body)
        for index in indexes:
            key = wanted[index - start]
            signature = self.memo.signature(keys.id, keys.incarnation, index, key)
            known.named.append((index, signature + b" " + key.encode()))
