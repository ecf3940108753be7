"""Items that share objects: each is read by itself, and what they share is written once."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import DamagedError
from taskq.maps import body, common
from taskq.maps.body import COMMON, PLAIN, Body, read_header
from taskq.maps.common import Common
from taskq.payload import codec
from taskq.payload.ranges import Range
from taskq.redis.keys import MapKeys

KEYS = MapKeys("map", "0" * 32)
TEXT = "".join(map(str, range(2000)))
SETTINGS = [f"text {n}" for n in range(300)]


class Thing:
    def __init__(self, *held: Any) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and self.held == other.held

    __hash__ = None  # type: ignore[assignment]


def local() -> type:
    class Local(Thing):
        """Goes by value, as a class of a script does."""

        def of_same_kind(self) -> Any:
            return Local(self)

    return Local


def _chain() -> list[Thing]:
    inner = Thing(SETTINGS)
    return [Thing(Thing(inner, n), inner) for n in range(50)]


LOCAL = local()
RUNS: dict[str, Callable[[], list[Any]]] = {
    "a class that goes by value": lambda: [LOCAL(n) for n in range(50)],
    "a list of settings": lambda: [Thing(SETTINGS, n) for n in range(50)],
    "an object in an object": _chain,
    "one item, many times": lambda: [Thing(SETTINGS)] * 50,
    "a long text": lambda: [Thing(TEXT, n) for n in range(50)],
    "two groups": lambda: [Thing(SETTINGS if n % 2 else SETTINGS[1:], n) for n in range(50)],
    "more than are looked at": lambda: [LOCAL(n, SETTINGS) for n in range(500)],
}


def read(data: bytes, count: int) -> list[Any]:
    found = Body.read(KEYS, data)
    _indexes, _at, items = found.within(Range(0, count))
    assert found.loads is not None
    return [found.loads(item) for item in items]


@pytest.mark.parametrize("case", RUNS)
def test_each_item_is_as_it_was(case: str) -> None:
    run = RUNS[case]()
    data = body.write(KEYS, 0, run)
    assert read_header(data).kind == COMMON
    assert len(data) <= 4 * len(codec.dumps(run)) + 100
    assert read(data, len(run)) == run


def test_what_they_share_is_one_object() -> None:
    run = RUNS["an object in an object"]()
    items = read(body.write(KEYS, 0, run), len(run))
    assert len({id(item.held[1]) for item in items} | {id(item.held[0].held[0]) for item in items}) == 1


def test_a_class_is_one_class() -> None:
    items = read(body.write(KEYS, 0, RUNS["a class that goes by value"]()), 50)
    assert {type(item) for item in items} == {LOCAL}
    assert type(items[0].of_same_kind()) is LOCAL


def test_a_part_has_what_its_items_need() -> None:
    run = RUNS["a list of settings"]()
    found = Body.read(KEYS, body.write(KEYS, 0, run))
    span, part = found.part([3, 7, 8])
    assert span == Range(3, 6)
    one = Body.read(KEYS, part)
    indexes, _at, items = one.within(span)
    assert one.loads is not None
    assert {index: one.loads(item) for index, item in zip(indexes, items, strict=True)} == {
        index: run[index] for index in (3, 7, 8)
    }


def test_items_in_a_circle_are_one_pickle() -> None:
    root = Thing()
    children = [Thing(root, n) for n in range(50)]
    root.held = tuple(children)
    assert read_header(body.write(KEYS, 0, children)).kind == PLAIN


def test_a_circle_within_what_is_shared() -> None:
    circle: list[Any] = [*SETTINGS]
    circle.append(circle)
    run = [Thing(circle, n) for n in range(50)]
    data = body.write(KEYS, 0, run)
    assert read_header(data).kind == COMMON
    first = read(data, 50)[0].held[0]
    assert first[-1] is first


class Fatal:
    """Can be pickled, and not read."""

    def __init__(self, n: int, held: Any) -> None:
        self.n, self.held = n, held

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["n"] == 3:
            raise ValueError("not this one")
        self.__dict__ = state


def test_one_that_can_not_be_read_costs_itself() -> None:
    found = Body.read(KEYS, body.write(KEYS, 0, [Fatal(n, SETTINGS) for n in range(50)]))
    _indexes, _at, items = found.within(Range(0, 50))
    assert found.loads is not None
    for n, item in enumerate(items):
        if n == 3:
            with pytest.raises(ValueError, match="not this one"):
                found.loads(item)
        else:
            assert found.loads(item).n == n


class _Refers(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj


@pytest.mark.parametrize("number", [1, -1, "0", True])
def test_a_number_of_nothing(number: Any) -> None:
    file = io.BytesIO()
    _Refers(file, protocol=5).dump(number)
    with pytest.raises(DamagedError, match="an item refers to"):
        Common([codec.dumps(1)])(file.getvalue())


@pytest.mark.parametrize("data", [b"", b"\x00\x00\x00\x01x", b"\x00\x00\x00\x04\xff\xff\xff\xff"])
def test_a_body_that_is_none(data: bytes) -> None:
    with pytest.raises(DamagedError):
        Body.read(KEYS, b"c 0 1 \n" + data)


_LEAVES = st.one_of(st.integers(), st.text(max_size=100), st.sampled_from([None, True, SETTINGS, LOCAL, len]))
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.builds(Thing, inner, inner)), max_leaves=10
)


@given(st.lists(_VALUES, min_size=1, max_size=4), st.data())
def test_any_items(pool: list[Any], data: st.DataObject) -> None:
    """Each item is made of values of one pool, so that they share much."""
    items = [Thing(*data.draw(st.lists(st.sampled_from(pool), max_size=4), label=f"item {n}")) for n in range(5)]
    written = common.written(items)
    assert written is not None
    reads = Common(written[0])
    found = [reads(one) for one in written[1]]
    assert found == items
    for one, item in zip(found, items, strict=True):
        assert _same_objects(one.held) == _same_objects(item.held)


def _same_objects(held: tuple[Any, ...]) -> list[int]:
    """Which of them are one object: for each the place of the first that is the same."""
    return [[id(other) for other in held].index(id(one)) for one in held if isinstance(one, (list, Thing))]
