"""Cutting iterables into chunks. Of the bytes that carry one, see test_body.py."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import OptionError, PickleError, TooLargeError
from taskq.maps.body import Body, read_header
from taskq.maps.chunk import (
    CHUNKS_PER_CORE,
    MAX_ITEMS,
    SOFT_BYTES,
    Chunk,
    Chunker,
    check_chunksize,
    size_for,
)
from taskq.payload import codec
from taskq.redis.keys import MapKeys

KEYS = MapKeys("job", "0" * 32)


def cut(items: Iterable[Any], chunksize: int | None = None, cores: int = 1, **options: int) -> list[Chunk]:
    return list(Chunker(KEYS, chunksize, cores, **options).chunks(items))


def read(chunk: Chunk) -> list[Any]:
    body = Body.read(KEYS, chunk.body)
    indexes, _first, items = body.within(chunk.range)
    assert list(indexes) == list(range(chunk.range.start, chunk.range.end))
    return [body.loads(item) for item in items] if body.loads else list(items)


def joined(chunks: Iterable[Chunk]) -> list[Any]:
    return [item for chunk in chunks for item in read(chunk)]


def counts(chunks: Iterable[Chunk]) -> list[int]:
    return [chunk.range.count for chunk in chunks]


def sizes(chunks: Iterable[Chunk]) -> list[int]:
    return [len(chunk.body) for chunk in chunks]


# -- sizes -----------------------------------------------------------------------------------------


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 1000))
def test_size_rule(seen: int, total: int, cores: int) -> None:
    size = size_for(seen, total, cores)
    assert 1 <= size <= MAX_ITEMS
    if 1 < size < MAX_ITEMS:
        assert CHUNKS_PER_CORE[0] <= total / size / max(1, cores) < 2 * CHUNKS_PER_CORE[1]


@pytest.mark.parametrize(
    ("seen", "total", "cores", "size"),
    [
        (0, 0, 4, 1),
        (0, 8, 2, 1),
        (0, 3200, 2, 200),
        (2800, 3200, 2, 100),
        (3199, 3200, 2, 50),
        (0, 10**9, 2, MAX_ITEMS),
        (0, 160, 0, 20),
        (0, None, 2, 1),
        (3200, None, 2, 100),
        (5000, 10, 2, 1),
    ],
)
def test_sizes(seen: int, total: int | None, cores: int, size: int) -> None:
    assert size_for(seen, total, cores) == size


@pytest.mark.parametrize("items", [range(3200), set(range(3200))], ids=["sliced", "iterated"])
def test_where_there_is_a_length_the_last_chunks_are_the_smallest(items: Any) -> None:
    long = counts(cut(items, cores=2))
    assert sum(long) == 3200
    assert long[:12] == [200] * 12
    assert long[11:-1] == sorted(long[11:-1], reverse=True)
    assert set(long[-4:-1]) == {50}
    assert len(long) == 21


def test_chunks_of_a_generator_grow() -> None:
    long = counts(cut((n for n in range(20_000)), cores=1))
    assert long[0] == 1
    assert long[:-1] == sorted(long[:-1])
    assert max(long) > 100
    assert sum(long) == 20_000


def test_a_chunksize_is_obeyed() -> None:
    assert counts(cut(range(10), 4)) == [4, 4, 2]
    assert counts(cut(iter(range(10)), 4)) == [4, 4, 2]


def test_starts_follow_each_other() -> None:
    chunks = cut(range(10), 4)
    assert [str(chunk.range) for chunk in chunks] == ["0:4", "4:4", "8:2"]
    assert [read_header(chunk.body).range for chunk in chunks] == [chunk.range for chunk in chunks]


@pytest.mark.parametrize("value", [None, 1, 7, np.int64(3), 10**30])
def test_good_chunksizes(value: Any) -> None:
    checked = check_chunksize(value)
    assert checked == value
    assert checked is None or type(checked) is int


@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, True, False, "3", [1], object()])
def test_bad_chunksizes(value: Any) -> None:
    with pytest.raises(OptionError, match="chunksize must be"):
        check_chunksize(value)


# -- items -----------------------------------------------------------------------------------------


def sources() -> list[Any]:
    return [
        list(range(50)), tuple(range(50)), range(0, 100, 3), bytes(range(50)), "some text", {"a": 1, "b": 2},
        {1, 2, 3}, np.arange(50.0), np.arange(60).reshape(20, 3), np.array(["x", None, 3], dtype=object), [],
        range(0), np.array([]), bytearray(b"abc"),
    ]  # fmt: skip


def same(left: Any, right: Any) -> bool:
    return bool(np.array_equal(left, right)) if isinstance(left, np.ndarray) else bool(left == right)


@pytest.mark.parametrize("items", sources(), ids=lambda items: f"{type(items).__name__}-{len(items)}")
@pytest.mark.parametrize("chunksize", [None, 1, 7, 10_000])
def test_all_items_in_order(items: Any, chunksize: int | None) -> None:
    got = joined(cut(items, chunksize, cores=1))
    assert len(got) == len(items)
    assert all(same(left, right) for left, right in zip(items, got, strict=True))


@given(
    st.lists(st.integers() | st.text(max_size=5), max_size=300), st.none() | st.integers(1, 400), st.integers(1, 9)
)
def test_concatenation_is_the_input(items: list[Any], chunksize: int | None, cores: int) -> None:
    for source in (items, tuple(items), iter(items)):
        chunks = cut(source, chunksize, cores)
        assert joined(chunks) == items
        ends = [chunk.range.end for chunk in chunks]
        assert [chunk.range.start for chunk in chunks] == [0, *ends][:-1]
        assert ends[-1:] == [len(items)][: len(ends)]


@given(st.lists(st.integers(0, 60), max_size=40), st.integers(60, 200), st.none() | st.integers(1, 3))
def test_sizes_of_items_do_not_matter(lengths: list[int], limit: int, chunksize: int | None) -> None:
    """Whatever fits one by one is cut so that it fits, if taskq may choose the size."""
    items = [b"x" * length for length in lengths]
    limit = limit * (chunksize or 1) + 100
    chunks = cut(items, chunksize, limit=limit)
    assert joined(chunks) == items
    assert all(size <= limit for size in sizes(chunks))


@pytest.mark.parametrize("items", [range(10**9), np.zeros(1_000_000, dtype=np.int8)], ids=["range", "array"])
def test_ranges_and_arrays_are_sliced_not_listed(items: Any) -> None:
    first = next(Chunker(KEYS, 100_000, 1).chunks(items))
    assert type(Body.read(KEYS, first.body).within(first.range)[2]) is type(items)
    assert len(first.body) < 110_000


def test_a_subclass_of_list_is_iterated() -> None:
    class Doubling(list[int]):
        def __iter__(self) -> Iterator[int]:
            return (2 * n for n in list.__iter__(self))

    assert joined(cut(Doubling([1, 2, 3]), 2)) == [2, 4, 6]


def test_an_array_of_one_number_is_not_iterable() -> None:
    with pytest.raises(TypeError):
        cut(np.array(5))


def test_a_generator_is_taken_chunk_by_chunk() -> None:
    taken = itertools.count()
    chunks = Chunker(KEYS, 10, 1).chunks(next(taken) for _ in itertools.repeat(None))
    next(chunks)
    next(chunks)
    assert next(taken) == 20


def test_an_error_of_the_iterable_comes_through() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        cut(items(), 1)


# -- limits ----------------------------------------------------------------------------------------


def test_large_items_make_small_chunks() -> None:
    items = [bytes([n]) * 300_000 for n in range(64)]
    chunks = cut(items, cores=1)
    assert joined(chunks) == items
    assert max(sizes(chunks)) <= SOFT_BYTES
    assert max(counts(chunks)) > 1


def test_large_rows_of_an_array_make_small_chunks() -> None:
    array = np.arange(64 * 40_000, dtype=np.int64).reshape(64, 40_000)
    chunks = cut(array, cores=1)
    assert max(sizes(chunks)) <= SOFT_BYTES
    assert np.array_equal(np.stack(joined(chunks)), array)


def test_one_item_may_be_over_the_soft_limit() -> None:
    items = [b"x" * (2 * SOFT_BYTES)] * 2
    assert counts(cut(items)) == [1, 1]


def test_a_given_chunksize_is_not_split() -> None:
    items = [bytes([n]) * 600_000 for n in range(4)]
    assert counts(cut(items, 4)) == [4]


@pytest.mark.parametrize("chunksize", [None, 1, 5])
def test_too_large_an_item_is_named(chunksize: int | None) -> None:
    items = [b"x"] * 7 + [b"y" * 5000] + [b"z"] * 20
    with pytest.raises(TooLargeError, match=r"^item 7 is 5,\d\d\d bytes, over the limit of 1,000 bytes"):
        cut(items, chunksize, limit=1000)


def test_too_large_a_chunk_says_which_size_is_too_large() -> None:
    with pytest.raises(TooLargeError, match=r"^items 10 to 19 are .* together.* chunksize below 10"):
        cut([1] * 10 + [bytes([n]) * 300 for n in range(10)], 10, limit=1000)


def test_a_small_limit_makes_small_chunks() -> None:
    """A limit below ``SOFT_BYTES`` is no error while each item fits."""
    items = [bytes([n]) * 100 for n in range(160)]
    chunks = cut(items, cores=1, limit=500)
    assert joined(chunks) == items
    assert max(sizes(chunks)) <= 500


@pytest.mark.parametrize("chunksize", [None, 1, 5, 100])
@pytest.mark.parametrize("generator", [False, True])
def test_an_item_that_cannot_be_pickled_is_named(chunksize: int | None, generator: bool) -> None:
    items = [*range(37), threading.Lock(), *range(10)]
    with pytest.raises(PickleError, match=r"^item 37 \(lock\) can't be pickled"):
        cut(iter(items) if generator else items, chunksize)


def test_items_may_be_functions() -> None:
    assert [fn(3) for fn in joined(cut([lambda n: n + 1, lambda n: n * 2]))] == [4, 6]


def test_the_limit_has_a_default() -> None:
    assert Chunker(KEYS, None, 1).limit == codec.DEFAULT_LIMIT
