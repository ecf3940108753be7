"""Ranges of items and their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import DamagedError
from taskq.payload.ranges import COUNTABLE, Range

ranges = st.builds(Range, st.integers(0, 2**40), st.integers(1, 2**40))


@given(ranges)
def test_a_name_tells_the_range(one: Range) -> None:
    assert Range.parse(str(one)) == Range.parse(str(one).encode()) == one


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":",
        "3",
        "3:",
        ":3",
        "a:b",
        "3:0",
        "-1:3",
        "3:-1",
        "1.5:2",
        "1:2:3",
        f"{COUNTABLE}:1",
        f"0:{COUNTABLE}",
        b"\xff",
    ],
)
def test_what_is_no_range(name: bytes | str) -> None:
    with pytest.raises(DamagedError, match="is no range of items"):
        Range.parse(name)


@given(ranges, ranges)
def test_holds(one: Range, other: Range) -> None:
    assert one.holds(one)
    assert one.holds(other) == (other.start in range(one.start, one.end) and other.end <= one.end)


def test_ranges_are_ordered_by_their_start() -> None:
    assert sorted([Range(9, 1), Range(10, 2), Range(2, 3)]) == [Range(2, 3), Range(9, 1), Range(10, 2)]
