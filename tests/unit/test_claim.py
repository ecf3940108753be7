"""What a worker holds, and how it is split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import DamagedError
from taskq.maps import claim
from taskq.maps.body import Header
from taskq.maps.claim import Claim
from taskq.payload.ranges import Range


def holding(part: Range, within: Range, only: tuple[int, ...] = (), body: bytes | None = None) -> Claim:
    return Claim(part, "t-1", 2, within, "w", bytes(Header(within, only)) if body is None else body)


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    """A range with at least one item to do, of a body of which some items may be missing."""
    start, offsets = draw(st.integers(0, 10**9)), draw(st.sets(st.integers(0, 60), min_size=1, max_size=30))
    first, last = min(offsets), max(offsets)
    only = () if draw(st.booleans()) else tuple(sorted(offset - first for offset in offsets))
    within = Range(start + first, last - first + 1)
    items = Header(within, only).indexes
    low, high = sorted(draw(st.tuples(*[st.integers(0, len(items) - 1)] * 2)))
    return holding(Range(items[low], items[high] - items[low] + 1), within, only)


def test_its_text_is_what_stands_in_redis() -> None:
    one = holding(Range(3, 2), Range(0, 10))
    assert one.text == "t-1 2 0:10 w"
    found = claim.parse(b"3:2", one.text.encode())
    assert found is not None
    assert (found.range, found.text) == (one.range, one.text)


@pytest.mark.parametrize("worker", ["a b", "", "host-\u00fc"])
def test_workers_may_have_any_name(worker: str) -> None:
    found = claim.parse(b"3:2", Claim(Range(3, 2), "t", 0, Range(0, 10), worker).text.encode())
    assert found is not None
    assert found.worker == worker


@pytest.mark.parametrize(
    ("name", "held"),
    [
        (b"x", b"t 0 0:9 w"),
        (b"0:9", b""),
        (b"0:9", b"t 0 0:9"),
        (b"0:9", b"t x 0:9 w"),
        (b"0:9", b"t 0 x w"),
        (b"0:9", b"\xff 0 0:9 w"),
    ],
)
def test_what_is_no_claim(name: bytes, held: bytes) -> None:
    assert claim.parse(name, held) is None


@given(claims())
def test_halves_share_the_items(one: Claim) -> None:
    if len(one.to_do) > 1:
        first, second = (one.header.within(half) for half in one.halves())
        assert [*first, *second] == list(one.to_do)
        assert abs(len(first) - len(second)) <= 1
        assert all(one.range.holds(half) for half in one.halves())


@given(claims())
def test_halving_on_isolates_each_item(one: Claim) -> None:
    def isolate(part: Claim) -> Iterator[int]:
        if len(part.to_do) == 1:
            yield part.to_do[0]
        else:
            for half in part.halves():
                yield from isolate(Claim(half, "t", 0, part.within, "w", part.body))

    assert list(isolate(one)) == list(one.to_do)


@pytest.mark.parametrize(
    "one",
    [
        holding(Range(0, 3), Range(0, 3), body=b"no header"),
        holding(Range(0, 3), Range(0, 3), body=bytes(Header(Range(0, 4)))),
        holding(Range(0, 4), Range(0, 3)),
        holding(Range(5, 1), Range(0, 3)),
    ],
)
def test_a_body_that_does_not_hold_the_range(one: Claim) -> None:
    with pytest.raises(DamagedError):
        one.to_do  # noqa: B018 - it is read


def test_tokens_differ() -> None:
    tokens: list[Any] = [claim.new_token() for _ in range(100)]
    assert len(set(tokens)) == 100
    assert not any(" " in token for token in tokens)


@given(claims(), st.data())
def test_what_lies_beside_an_item_is_all_the_rest(whole: Claim, data: st.DataObject) -> None:
    item = data.draw(st.sampled_from(list(whole.to_do)))
    beside = whole.beside(item)
    left = [index for part in beside for index in whole.header.within(part)]
    assert left == [index for index in whole.to_do if index != item]
    assert all(whole.range.holds(part) and len(whole.header.within(part)) for part in beside)
