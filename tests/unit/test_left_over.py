"""What is left of a chunk: items that failed, those that did not run, and the bodies which they need."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.maps import body, cutting, runner
from taskq.maps.body import Body
from taskq.maps.runner import run_chunk
from taskq.payload.function import Function
from taskq.payload.outcome import ChunkOutcome, Part
from taskq.payload.ranges import Range
from tests.unit.running import KEYS, LIMIT, Unreadable, items_of, run, values


class Thing:
    """An item of which bodies keep a pickle of its own."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and self.n == other.n

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
def alert(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks on is asked before each item, however short they are."""
    monkeypatch.setattr(runner, "_GLANCE", 0.0)


class After:
    """Who looks on, and stops the chunk before an item."""

    def __init__(self, stop: int) -> None:
        self.stop = stop

    def begins(self, index: int) -> bool:
        return index >= self.stop


def slow(n: Any, seconds: float = 0.02) -> Any:
    time.sleep(seconds)
    return n


def refuse(n: Any) -> None:
    raise ValueError(n)


@pytest.mark.parametrize("wrap", [int, Thing])
def test_failed_items_with_gaps_come_back_as_one_part(wrap: Any) -> None:
    items = [wrap(n) for n in range(10)]

    def call(item: Any) -> Any:
        if item in (wrap(2), wrap(3), wrap(7)):
            raise ValueError
        return item

    outcome = run(call, items, start=50)
    [left] = outcome.left
    assert left.range == Range(52, 6)
    assert body.read_header(left.body).only == (0, 1, 5)
    assert items_of([left]) == {52: wrap(2), 53: wrap(3), 57: wrap(7)}
    again = run_chunk(Function.of(call), KEYS, False, left.range, left.body, LIMIT)
    assert isinstance(again, ChunkOutcome)
    assert [failure.index for failure in again.failures] == [52, 53, 57]
    assert again.left == [left], "byte for byte: it does not grow with each try"


@pytest.mark.parametrize("error", [LookupError("not here"), SystemExit("x"), KeyboardInterrupt()], ids=repr)
def test_an_item_that_can_not_be_read_costs_itself(error: BaseException) -> None:
    outcome = run(abs, [1, Unreadable(error), -3], start=7)
    assert values(outcome) == [1, 3]
    assert outcome.spans == [(7, 1), (9, 1)]
    [failure] = outcome.failures
    assert (failure.index, failure.type) == (8, type(error).__name__)
    [left] = outcome.left
    assert left.range == Range(8, 1), "it may be readable elsewhere: it is kept as it is"
    assert run_chunk(Function.of(abs), KEYS, False, left.range, left.body, LIMIT).failures[0].index == 8  # type: ignore[union-attr]


@pytest.mark.usefixtures("alert")
@pytest.mark.parametrize("wrap", [int, Thing])
def test_what_is_behind_where_it_stops_is_left(wrap: Any) -> None:
    items = [wrap(n) for n in range(10)]
    outcome = run(lambda item: item, items, start=20, watch=After(24))
    assert outcome.spans == [(20, 4)]
    [rest] = outcome.rest
    assert rest.range == Range(24, 6)
    assert items_of([rest]) == {20 + n: items[n] for n in range(4, 10)}


@pytest.mark.usefixtures("alert")
def test_what_is_behind_where_it_stops_of_a_part() -> None:
    outcome = run(refuse, list(range(10)), only=[0, 2, 3, 6, 8, 9], part=Range(2, 7), watch=After(6))
    assert [failure.index for failure in outcome.failures] == [2, 3]
    assert items_of(outcome.left) == {2: 2, 3: 3}
    assert items_of(outcome.rest) == {6: 6, 8: 8}


@pytest.mark.parametrize("wrap", [int, Thing])
def test_a_long_chunk_is_cut(wrap: Any) -> None:
    items = [wrap(n) for n in range(40)]
    outcome = run(slow, items, start=100, adapt=True)
    done = outcome.spans[0][1]
    assert outcome.spans == [(100, done)]
    assert 1 <= done < 40
    assert items_of(outcome.rest) == {100 + n: items[n] for n in range(done, 40)}
    assert sum(part.range.count for part in outcome.rest) == 40 - done


def test_a_chunk_is_cut_into_so_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a commit stores is bounded; the last part is what is over."""
    monkeypatch.setattr(cutting, "MAX_PARTS", 4)
    monkeypatch.setattr(runner, "SLICE", 0.01)
    outcome = run(slow, list(range(40)), adapt=True)
    assert len(outcome.rest) == 4
    assert items_of(outcome.rest) == {n: n for n in range(outcome.spans[0][1], 40)}


SHARED = [n * 1.5 for n in range(2000)]
ITEMS: dict[str, Any] = {
    "shared": [(SHARED, n) for n in range(200)],
    "apart": [bytes([n]) * 5000 for n in range(200)],
    "range": range(200),
    "array": np.arange(200.0),
    "framed": [Thing(n) for n in range(200)],
}


@pytest.mark.parametrize("items", ITEMS.values(), ids=ITEMS)
@given(bad=st.sets(st.integers(0, 199)), stop=st.integers(1, 199), size=st.integers(1, 200))
def test_what_is_left_is_no_larger_than_what_there_was(items: Any, bad: set[int], stop: int, size: int) -> None:
    """However it is cut, and whatever fails; but for a few bytes a part and an item."""
    payload = body.write(KEYS, 0, items)
    one = Body.read(KEYS, payload)
    failed = sorted(n for n in bad if n < stop)
    rest = cutting.parts_of(one, cutting.cut(range(stop, 200), size), (200 - stop) * cutting.freed(one, 200))
    left = cutting.parts_of(one, [failed] if failed else [], stop * cutting.freed(one, 200))
    headers = [(part, body.read_header(part.body) if part.body else one.header) for part in (*rest, *left)]
    assert [n for part, header in headers for n in header.within(part.range)] == [*range(stop, 200), *failed]
    written = sum(len(part.body) for part, _header in headers)
    assert written <= len(payload) + sum(256 + 32 * part.range.count for part, _header in headers)


def test_what_many_items_share_is_not_written_for_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "SLICE", 0.005)
    outcome = run(lambda _shared, n: slow(n), ITEMS["shared"], start=100, adapt=True, star=True)
    done = outcome.spans[0][1]
    assert len(outcome.rest) > 10
    assert [part.body for part in outcome.rest] == [b""] * len(outcome.rest)
    assert [n for part in outcome.rest for n in range(part.range.start, part.range.end)] == [
        *range(100 + done, 300)
    ]


@pytest.mark.parametrize("name", ["apart", "range"])
def test_what_is_left_of_a_part_of_a_body_stays_in_it(name: str) -> None:
    """Others need the body, so another one would come on top. Small ones are not worth to be without."""
    outcome = run(refuse, ITEMS[name], part=Range(50, 10))
    [left] = outcome.left
    assert left.range == Range(50, 10)
    assert bool(left.body) == (name == "range")
    assert len(left.body) < 256 + 32 * 10
    [left] = run(refuse, ITEMS[name]).left
    assert left.range == Range(0, 200)
    assert left.body


def test_items_that_share_much_stay_where_they_are_if_few_of_them_fail() -> None:
    def call(_shared: list[float], n: int) -> int:
        if n % 10 in {2, 3, 7}:
            raise ValueError
        return n

    outcome = run(call, ITEMS["shared"], star=True, part=Range(50, 10))
    assert outcome.left == [Part(Range(52, 2)), Part(Range(57, 1))], "another body would be as large"
    [left] = run(call, ITEMS["shared"], star=True).left
    assert left.range == Range(2, 196)
    assert len(left.body) < 1.1 * len(body.write(KEYS, 0, ITEMS["shared"])), "which this one replaces"
