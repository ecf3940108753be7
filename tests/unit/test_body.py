"""The bytes that carry the items of a chunk."""

from __future__ import annotations

import decimal
import itertools
import pickletools
import sys
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import DamagedError, PickleError, SignatureError
from taskq.maps import body
from taskq.maps.body import FRAMED, PLAIN, Body, Header, read_header
from taskq.payload import codec, signing
from taskq.payload.ranges import Range
from taskq.redis.keys import MapKeys

KEYS = MapKeys("job", "0" * 32)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    start, offsets = draw(st.integers(0, 2**40)), draw(st.sets(st.integers(0, 5000), min_size=1, max_size=30))
    only = () if draw(st.booleans()) else tuple(sorted(offsets))
    return Header(Range(start, max(offsets) + 1), only, draw(st.sampled_from([PLAIN, FRAMED])))


def loaded(one: Body, part: Range | None = None) -> list[Any]:
    _indexes, _first, items = one.within(part or one.header.range)
    return [one.loads(item) for item in items] if one.loads else list(items)


def written(run: Any, start: int = 0) -> Body:
    return Body.read(KEYS, body.write(KEYS, start, run))


def same(left: Any, right: Any) -> bool:
    return bool(np.array_equal(left, right)) if isinstance(left, np.ndarray) else bool(left == right)


# -- headers ---------------------------------------------------------------------------------------


@given(headers(), st.binary())
def test_header_round_trip(header: Header, rest: bytes) -> None:
    assert read_header(bytes(header) + rest) == header


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"no header", b"no header\n", b"p 0 1 ", b"p 0 0 \n", b"p -1 3 \n", b"p 0 3\n", b"p 0 3  \n",
        b"x 0 3 \n", b" 0 3 \n", b"p 0 3 3\n", b"p 0 3 -1\n", b"p 0 3 1,1\n", b"p 0 3 2,1\n", b"p 0 3 1,\n",
        b"p 0 3 a\n", b"p a 3 \n", b"\xff 0 3 \n", b"p 0 %d \n" % 2**60,
    ],
)  # fmt: skip
def test_what_is_no_header(data: bytes) -> None:
    with pytest.raises(DamagedError):
        read_header(data + b"rest")


@given(headers(), st.integers(0, 5100), st.integers(1, 5100))
def test_what_is_within_a_range(header: Header, offset: int, count: int) -> None:
    part = Range(header.range.start + offset, count)
    assert list(header.within(part)) == [index for index in header.indexes if part.start <= index < part.end]


# -- kinds -----------------------------------------------------------------------------------------


class Thing:
    """An object of a class which another process may not have."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and self.n == other.n

    __hash__ = None  # type: ignore[assignment]


class MyList(list[int]):
    """A list that is none."""


ATOMS = [None, True, 1, 2**100, 1.5, 1j, "text", b"bytes"]
PLAIN_RUNS: dict[str, Any] = {
    "range": range(5, 90, 7),
    "bytes": b"abc\x93",
    "list of numbers": [1, 2, 3],
    "tuple": (1, 2),
    "atoms": ATOMS,
    "rows": [(1, "a"), (2, "b")],
    "nested": [[1, [2, (3, {"a": [4]})]], {"b": {"c": (None, 1)}}, {}, [], ()],
    "tables": [{"a": 1, 2: b"x"}, {(1, 2): [3]}],
    "sets": [{1, 2}, frozenset("ab")],
    "byte arrays": [bytearray(b"abc")],
    "deep": [[[[[[[[[[[1]]]]]]]]]]],
    "array": np.arange(7.0),
    "rows of an array": np.arange(12).reshape(4, 3),
    "texts": np.array(["a", "bc"]),
}
FRAMED_RUNS: dict[str, Any] = {
    "objects": [Thing(1), Thing(2)],
    "one among numbers": [1, 2, Thing(3), 4],
    "deep inside": [[1, (2, {"a": [Thing(3)]})], 1],
    "deeper": [[[[[[[Thing(3)]]]]]]],
    "as a value": [{"a": Thing(1)}],
    "arrays": [np.arange(3), np.arange(4)],
    "numbers of an array": list(np.arange(3)),
    "an array of objects": np.array([1, "x", None], dtype=object),
    "a list that is none": [MyList([1]), MyList([2])],
    "functions": [len, sys.getsizeof],
    "decimals": [decimal.Decimal(1), decimal.Decimal("2.5")],
    "complex dates": [itertools.repeat(1, 3).__class__],
}


@pytest.mark.parametrize(
    ("run", "kind"),
    [(run, PLAIN) for run in PLAIN_RUNS.values()] + [(run, FRAMED) for run in FRAMED_RUNS.values()],
    ids=[*PLAIN_RUNS, *FRAMED_RUNS],
)
def test_a_run_comes_back(run: Any, kind: str) -> None:
    one = written(run, 100)
    assert one.header == Header(Range(100, len(run)), (), kind)
    assert (one.loads is None) == (kind == PLAIN)
    got = loaded(one)
    assert len(got) == len(run)
    assert all(same(left, right) for left, right in zip(got, run, strict=True))


@pytest.mark.parametrize(
    "run", [range(10**6), b"x" * 1000, np.zeros(1000, dtype=np.int8)], ids=["range", "bytes", "array"]
)
def test_what_is_compact_stays_so(run: Any) -> None:
    data = body.write(KEYS, 0, run)
    assert len(data) < 1300
    assert type(Body.read(KEYS, data).within(Range(3, 5))[2]) is type(run)


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(nested, min_size=1, max_size=10), st.integers(0, 10**6))
def test_plain_data_needs_no_class(run: list[Any], start: int) -> None:
    """Nothing in it is read by name, so whoever can read one item can read all."""
    one = written(run, start)
    assert loaded(one) == run
    if one.header.kind == PLAIN:
        opcodes = pickletools.genops(_held(body.write(KEYS, start, run)))
        assert not {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"} & {opcode.name for opcode, _arg, _at in opcodes}


def _held(data: bytes) -> bytes:
    return data.partition(b"\n")[2]


def test_one_that_can_not_be_read_costs_itself() -> None:
    one = written([1, Unreadable(), 3])
    _indexes, _first, frames = one.within(Range(0, 3))
    assert one.loads is not None
    assert [one.loads(frames[0]), one.loads(frames[2])] == [1, 3]
    with pytest.raises(LookupError, match="not here"):
        one.loads(frames[1])


class Unreadable:
    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise LookupError("not here")


@pytest.mark.parametrize(
    "run", [[threading.Lock()], [1, [threading.Lock()]], [Thing(1), threading.Lock()]], ids=len
)
def test_an_item_that_can_not_be_pickled_is_named(run: list[Any]) -> None:
    with pytest.raises(PickleError, match=rf"^item {6 + len(run)}[ \[]"):
        body.write(KEYS, 7, run)


def test_a_list_in_itself() -> None:
    run: list[Any] = [1]
    run.append(run)
    (first, second) = loaded(written(run))
    assert first == 1
    assert second[1] is second


def test_what_many_items_share_is_looked_at_once() -> None:
    """``map(f, repeat(data), range(n))``: each item holds the same rows, and all of them together are many."""
    shared = [(n, n) for n in range(1000)]
    run = [(shared, n) for n in range(4000)]
    tracemalloc.start()
    data = body.write(KEYS, 0, run)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert loaded(Body.read(KEYS, data)) == run
    assert peak < 5_000_000, "bytes"


# -- parts -----------------------------------------------------------------------------------------

RUNS: list[Any] = [
    list(range(40)), range(40), bytes(range(40)), tuple("ab" * 20), np.arange(40), np.arange(120).reshape(40, 3),
    [Thing(n) for n in range(40)], [n if n % 3 else Thing(n) for n in range(40)],
]  # fmt: skip


def own(one: Body, positions: Sequence[int]) -> Body:
    """The part as a process reads it which gets it on its own."""
    span, data = one.part(positions)
    part = Body.read(KEYS, data)
    assert part.header.range == span
    return part


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{type(run).__name__} of {type(run[0]).__name__}")
@given(data=st.data())
def test_parts_of_parts(run: Any, data: st.DataObject) -> None:
    one, indexes = written(run, 1000), list(range(40))
    while True:
        chosen = data.draw(st.sets(st.integers(0, len(indexes) - 1), min_size=1).map(sorted))
        one, indexes = own(one, chosen), [indexes[position] for position in chosen]
        assert [index - 1000 for index in one.header.indexes] == indexes
        assert (one.header.range.start, one.header.range.end) == (1000 + indexes[0], 1001 + indexes[-1])
        assert all(same(got, run[index]) for got, index in zip(loaded(one), indexes, strict=True))
        if len(indexes) < 4:
            return


@pytest.mark.parametrize("run", RUNS[-1:] + RUNS[:2], ids=["framed", "list", "range"])
@given(
    chosen=st.sets(st.integers(0, 39), min_size=1).map(sorted), offset=st.integers(0, 45), count=st.integers(1, 45)
)
def test_what_a_range_needs_of_a_body(run: Any, chosen: list[int], offset: int, count: int) -> None:
    one = own(written(run, 1000), chosen)
    part = Range(1000 + offset, count)
    indexes, first, items = one.within(part)
    expected = [index for index in chosen if offset <= index < offset + count]
    assert [index - 1000 for index in indexes] == expected
    assert len(items) == len(expected)
    if expected:
        assert first == chosen.index(expected[0])
        assert loaded(one, part) == [run[index] for index in expected]
        again = own(one, range(first, first + len(expected)))
        assert loaded(again) == [run[index] for index in expected]


def test_a_part_is_as_small_as_its_items() -> None:
    run = [bytes([n]) * 10_000 for n in range(100)]
    for one in (written(run), written([Thing(0), *run[1:]])):
        assert len(one.part([50])[1]) < 10_200
        assert len(one.part(range(10, 20))[1]) < 102_000
        assert len(one.part([1, 50, 99])[1]) < 30_300


def test_a_slice_of_what_is_compact_is_compact() -> None:
    span, data = written(range(10**6)).part(range(5000, 900_000))
    assert str(span) == "5000:895000"
    assert len(data) < 200


# -- what comes from elsewhere -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"p 0 3 \n" + codec.dumps([1, 2]), b"p 0 3 0,2\n" + codec.dumps([1, 2, 3]), b"p 0 3 \n" + codec.dumps(3),
        b"p 0 3 \n", b"p 0 3 \nno pickle", b"f 0 1 \n", b"f 0 1 \n\0\0", b"f 0 1 \n\0\0\0\x05abc",
        b"f 0 1 \n\0\0\0\x01a\0\0\0\x01b", b"f 0 2 \n\0\0\0\x01a",
    ],
)  # fmt: skip
def test_a_body_that_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedError):
        Body.read(KEYS, data)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(signing.VARIABLE, "0123456789abcdef" * 2)
    yield
    signing._in_use.clear()


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("run", [[1, 2, 3], [Thing(1), Thing(2), Thing(3)]], ids=[PLAIN, FRAMED])
def test_a_signed_body_is_of_one_map_one_incarnation_one_range(run: list[Any]) -> None:
    data = body.write(KEYS, 6, run)
    assert loaded(Body.read(KEYS, data)) == run
    line, _, rest = data.partition(b"\n")
    for keys in (MapKeys("other", KEYS.incarnation), MapKeys("job", "1" * 32)):
        with pytest.raises(SignatureError):
            Body.read(keys, data)
    for changed in (line.replace(b"6", b"7"), line.replace(b"3", b"2"), line + b"0,1,2", line + b"0,1"):
        with pytest.raises(SignatureError):
            Body.read(KEYS, changed + b"\n" + rest)


@pytest.mark.usefixtures("key")
def test_parts_are_signed_too() -> None:
    one = written([Thing(n) for n in range(9)], 3)
    assert loaded(own(own(one, [1, 4, 7]), [0, 2])) == [Thing(1), Thing(7)]
    _span, data = one.part([1])
    with pytest.raises(SignatureError):
        Body.read(MapKeys("job", "1" * 32), data)


def test_what_items_share_is_written_once() -> None:
    """As in ``map(f, repeat(array), range(n))``: apart they would be a hundred times larger."""
    shared = decimal.Decimal("1" * 20_000)
    rows = [(shared, n) for n in range(100)]
    written = body.write(KEYS, 0, rows)
    assert read_header(written).kind == body.COMMON
    assert len(written) < 2 * len(codec.dumps(rows))
