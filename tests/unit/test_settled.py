"""What a generator gives is the item, whatever becomes of the object afterwards."""

from __future__ import annotations

import array
import itertools
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

from taskq.maps.settled import Settler, settled
from taskq.payload.large import LEAST

N = 5


class Rows(list[int]):
    pass


@dataclass
class Row:
    n: int = 0

    def __len__(self) -> int:
        return 1

    def __setitem__(self, _at: int, n: int) -> None:
        self.n = n


class Pair(NamedTuple):
    first: list[int]
    second: int = 0


class Table:
    """Tells its size as pandas' tables do."""

    def __init__(self) -> None:
        self.columns = [0]

    def memory_usage(self) -> int:
        return 0


def _fill(buffer: Any, n: int) -> None:
    for at in range(len(buffer)):
        buffer[at] = n


def _fill_first(buffer: Any, n: int) -> None:
    buffer[0] = n


def _refill_set(buffer: set[int], n: int) -> None:
    buffer.clear()
    buffer.add(n)


def _in_row(buffer: list[list[int]], n: int) -> None:
    buffer[0][0] = n


BUFFERS: dict[str, tuple[Callable[[], Any], Callable[[Any, int], None]]] = {
    "list": (lambda: [0, 0], _fill),
    "dict": (lambda: {0: 0}, _fill_first),
    "set": (set, _refill_set),
    "deque": (lambda: deque([0]), _fill),
    "bytearray": (lambda: bytearray(3), _fill),
    "large bytearray": (lambda: bytearray(LEAST), _fill_first),
    "array.array": (lambda: array.array("d", [0, 0]), _fill),
    "large array.array": (lambda: array.array("d", bytes(LEAST)), _fill_first),
    "memoryview": (lambda: memoryview(bytearray(3)), _fill),
    "array": (lambda: np.zeros(3), _fill),
    "large array": (lambda: np.zeros(LEAST // 8), _fill_first),
    "table": (Table, lambda buffer, n: _fill_first(buffer.columns, n)),
    "long list": (lambda: [0] * 100, _fill_first),
    "long dict": (lambda: dict.fromkeys(range(100)), _fill_first),
    "list of lists": (lambda: [[0]], _in_row),
    "deep list": (lambda: [[[[[[[[0]]]]]]]], lambda buffer, n: _in_row(buffer[0][0][0][0][0][0], n)),
    "OrderedDict": (lambda: OrderedDict({0: 0}), _fill_first),
    "defaultdict": (lambda: defaultdict(int, {0: 0}), _fill_first),
    "Counter": (lambda: Counter({0: 1}), _fill_first),
    "list of one's own": (lambda: Rows([0]), _fill_first),
    "dataclass": (Row, _fill_first),
    "list of dataclasses": (lambda: [Row()], lambda buffer, n: _fill_first(buffer[0], n)),
    "named tuple": (lambda: Pair([0]), lambda buffer, n: _fill_first(buffer.first, n)),
    "array of a kilobyte": (lambda: np.zeros(1000), _fill_first),
}
WRAPPED: dict[str, Callable[[Any, int], Any]] = {
    "itself": lambda buffer, _n: buffer,
    "in a tuple": lambda buffer, n: (n, buffer),
    "in a dict": lambda buffer, n: {"n": n, "in": [buffer]},
}


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("kind", BUFFERS)
def test_one_object_that_is_filled_anew(kind: str, wrapped: str) -> None:
    make, fill = BUFFERS[kind]

    def filled(buffers: Iterator[Any]) -> Iterator[Any]:
        for n, buffer in zip(range(N), buffers, strict=False):
            fill(buffer, n)
            yield WRAPPED[wrapped](buffer, n)

    found = list(settled(filled(itertools.repeat(make()))))
    wanted = list(filled(make() for _ in itertools.count()))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_equal(_plain(one), _plain(other))
        assert type(one) is type(other)


def _plain(value: Any) -> Any:
    """What NumPy compares."""
    match value:
        case Table():
            return value.columns
        case memoryview() | array.array() | bytearray():
            return bytes(value)
        case deque():
            return list(value)
        case tuple() | list():
            return [_plain(one) for one in value]
        case dict():
            return {key: _plain(one) for key, one in value.items()}
    return value


def test_what_is_large_and_unchanged_stays_one_object() -> None:
    table = np.zeros(LEAST // 8)
    first, *others = [array for array, _n in settled((table, n) for n in range(N))]
    assert all(other is first for other in others)
    table[0] = 1
    assert Settler().settle(table) is not first


SETTINGS: dict[str, Callable[[], Any]] = {
    "list": lambda: [*map(str, range(500))],
    "dict": lambda: {str(n): n for n in range(500)},
    "nested": lambda: {"rows": [{"n": str(n)} for n in range(100)], "of": Row(3)},
    "array": lambda: np.zeros(1000),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_what_comes_again_unchanged_is_the_same_object(kind: str) -> None:
    """So a chunk holds it once."""
    settings = SETTINGS[kind]()
    first, *others = [held for held, _n in settled((settings, n) for n in range(N))]
    assert first is not settings
    assert all(other is first for other in others)


@pytest.mark.parametrize("value", [True, 1.0, 2])
def test_what_is_only_alike_has_changed(value: Any) -> None:
    settings = [1] * 20

    def items() -> Iterator[Any]:
        yield settings
        settings[0] = value
        yield settings

    first, second = settled(items())
    assert (first[0], type(first[0])) == (1, int)
    assert (second[0], type(second[0])) == (value, type(value))


def test_no_more_is_remembered_than_is_allowed() -> None:
    settler = Settler()
    for _ in range(100):
        settler.settle([[*range(900)] for _ in range(3)])
    assert sum(1 + len(one.members) for one in settler._seen.values()) == settler._held <= 20_000


def test_an_iterator_that_would_go_on_behind_its_end() -> None:
    class Going:
        n = 0

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            self.n += 1
            if self.n % 5 == 0:
                raise StopIteration
            return self.n

    items = settled(Going())
    assert [*items] == [1, 2, 3, 4]
    assert [*items] == []


def test_what_an_item_holds_twice_it_holds_twice() -> None:
    buffer = [0]
    item = Settler().settle((buffer, [buffer]))
    assert item[0] is item[1][0]
    assert item[0] is not buffer


def test_a_list_that_holds_itself() -> None:
    buffer: list[Any] = [0]
    buffer.append(buffer)
    item = Settler().settle(buffer)
    assert item is not buffer
    assert item[1] is item


@pytest.mark.parametrize("source", [[[0]], ([0],), {0: [0]}.values(), itertools.repeat([0], 1)])
def test_nothing_is_changed_about_what_is_not_to_change(source: Any) -> None:
    assert list(settled(source)) == [[0]]


def test_what_can_not_be_copied_is_told_where_it_is_sent() -> None:
    held = np.array([threading.Lock()], dtype=object)
    assert Settler().settle(held) is held


def test_what_refuses_to_be_copied_is_taken_as_it_is() -> None:
    class Own(list[int]):
        def __copy__(self) -> Own:
            raise RuntimeError("there is one of it")

    held = Own([1])
    assert Settler().settle((held, 1))[0] is held


def test_what_does_not_change_is_the_same_object() -> None:
    items = [1, "a", (1, (2, "b")), np.float64(1), np.datetime64("2024-01-01"), object(), None]
    assert all(one is other for one, other in zip(settled(iter(items)), items, strict=True))


def test_the_error_of_what_is_no_iterable_is_raised_at_once() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        settled(1)  # type: ignore[arg-type]
