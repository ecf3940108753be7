"""What many items hold travels once; what one holds, with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

import numpy as np
import pytest

from taskq.maps.body import FRAMED, Body, read_header
from taskq.maps.chunk import Chunker
from taskq.maps.items import Items, is_inert
from taskq.maps.repeats import Repeats
from taskq.payload import large
from taskq.payload.large import LEAST, Blob
from taskq.redis.keys import MapKeys

KEYS = MapKeys("map", "0" * 32)
BIG, OTHER = np.arange(LEAST // 8.0), np.ones(LEAST // 8)


class Written:
    """The chunks of one iterable, and the blobs beside them."""

    def __init__(self, *iterables: Iterable[Any], chunksize: int | None = None) -> None:
        self.blobs: dict[str, memoryview] = {}
        items = Items.of(iterables)
        repeats = Repeats(self._keep, held=is_inert(items.source))
        chunker = Chunker(KEYS, chunksize, 1, 1 << 30, repeats=repeats)
        self.chunks = list(chunker.chunks(items.source))
        self.size = sum(len(chunk.body) for chunk in self.chunks)

    def _keep(self, blob: Blob) -> None:
        self.blobs[blob.digest] = memoryview(b"".join(blob.pieces()))

    def read(self) -> Iterator[Any]:
        for digest, data in self.blobs.items():
            large.offer(digest, lambda data=data: data)  # type: ignore[misc]
        for chunk in self.chunks:
            body = Body.read(KEYS, chunk.body)
            loads = body.loads or (lambda item: item)
            yield from (loads(item) for item in body.within(chunk.range)[2])
        large.withdraw(self.blobs)


CASES: dict[str, Any] = {
    "repeat": lambda: (repeat(BIG), range(20)),
    "tuples": lambda: ([(BIG, n) for n in range(20)],),
    "dicts": lambda: ([{"data": BIG, "n": n} for n in range(20)],),
    "themselves": lambda: ([BIG] * 20,),
    "bytes": lambda: (repeat(bytes(LEAST)), range(20)),
    "generator": lambda: (((BIG, n) for n in range(20)),),
    "with a generator": lambda: (repeat(BIG), (n for n in range(20))),
}


@pytest.mark.parametrize("chunksize", [None, 1, 7])
@pytest.mark.parametrize("case", CASES)
def test_what_repeats_is_written_once(case: str, chunksize: int | None) -> None:
    made = CASES[case]()
    before = [*made[0]] if len(made) == 1 else [*zip(*made, strict=False)]
    written = Written(*CASES[case](), chunksize=chunksize)
    assert len(written.blobs) == 1
    first = LEAST if "generator" in case and chunksize != 7 else 0  # nobody knows that it comes again
    assert first <= written.size < first + 10_000
    np.testing.assert_equal([*written.read()], before)


def test_what_does_not_repeat_travels_with_its_item() -> None:
    items = [(np.full(LEAST // 8, n), n) for n in range(6)]
    written = Written(items)
    assert not written.blobs
    assert written.size > 6 * LEAST
    np.testing.assert_equal([*written.read()], items)


def test_what_comes_again_later() -> None:
    """Of two that take turns, one item each goes before it is known that they repeat."""
    items = [(BIG, 0), (OTHER, 1)] * 5
    written = Written(items, chunksize=1)
    assert len(written.blobs) == 2
    assert written.size < 2.1 * LEAST
    np.testing.assert_equal([*written.read()], items)


def test_one_that_is_filled_anew_for_each_item() -> None:
    buffer = np.zeros(LEAST // 8)

    def items() -> Iterator[tuple[Any, int]]:
        for n in range(6):
            buffer[:] = n
            yield buffer, n

    found = [(array[0], n) for array, n in Written(items(), chunksize=1).read()]
    assert found == [(float(n), n) for n in range(6)]


def test_each_is_framed_so_that_a_cut_chunk_stays_small() -> None:
    [chunk] = Written([(BIG, n) for n in range(50)], chunksize=50).chunks
    assert read_header(chunk.body).kind == FRAMED


def test_small_items_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Repeats, "slimmed", lambda *_: pytest.fail("looked at"))
    Written([(n, "x" * 100, bytes(100), [n]) for n in range(1000)])
    Written(range(1000))
