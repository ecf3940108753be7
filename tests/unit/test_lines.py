"""Values of any kind as lines of JSON, and items out of texts."""

from __future__ import annotations

import datetime as dt
import io
import json
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.errors import UsageError
from taskq.maps.arrivals import Arrival
from taskq.payload.outcome import ItemFailure
from taskq_workers.cli.items import items_of, json_lines, value_of
from taskq_workers.json_lines import line_of, to_json


@dataclass
class Point:
    x: int
    y: float


class Odd:
    def __repr__(self) -> str:
        return "<odd>"


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": (1, None, True)}, '{"a": [1, null, true]}'),
        ("ä\n", '"ä\\n"'),
        (Point(1, 2.5), '{"x": 1, "y": 2.5}'),
        (dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), '"2026-01-02T03:00:00+00:00"'),
        (b"\x00\xff", '"AP8="'),
        ({3}, "[3]"),
        (np.arange(3), "[0, 1, 2]"),
        (np.float64(0.5), "0.5"),
        (Odd(), '"<odd>"'),
        ([float("nan"), float("inf"), 1.0], "[null, null, 1.0]"),
        ({(1, 2): float("nan")}, '{"(1, 2)": null}'),
        ({(1, 2): Odd()}, '{"(1, 2)": "<odd>"}'),
        ({1: {2}}, '{"1": [2]}'),
    ],
)
def test_any_value_is_one_line(value: Any, text: str) -> None:
    assert to_json(value) == text


def test_a_value_that_holds_itself() -> None:
    assert json.loads(to_json(LOOP))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda one: st.lists(one) | st.dictionaries(st.text() | st.integers(), one)))  # fmt: skip
def test_always_json_and_never_two_lines(value: Any) -> None:
    text = to_json(value)
    assert "\n" not in text
    json.loads(text, parse_constant=pytest.fail)


def test_lines() -> None:
    assert line_of(Arrival(3), 9) == '{"item": 3, "value": 9}'
    failure = ItemFailure(4, "KeyError", "'k'", attempts=2)
    assert json.loads(line_of(Arrival(4, failure=failure), None)) == {
        "item": 4,
        "error": {"type": "KeyError", "message": "'k'", "attempts": 2},
    }


@pytest.mark.parametrize(
    ("text", "value"), [("4", 4), ('"4"', "4"), ("x", "x"), ("[1]", [1]), ("", ""), ("-", "-")]
)
def test_items_on_the_command_line(text: str, value: Any) -> None:
    assert value_of(text) == value


def test_exactly_one_source() -> None:
    with pytest.raises(click.UsageError, match="ITEMS and --stdin"):
        items_of(("1",), None, "json", io.StringIO())
    assert items_of((), 0, None, io.StringIO()) == range(0)


def test_stdin_is_read_as_items_are_taken() -> None:
    def endless() -> Any:
        yield "1\n"
        raise AssertionError("read ahead")

    assert next(iter(json_lines(endless()))) == 1


def test_stdin_that_is_not_text() -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"1\n\xff\n"), encoding="utf-8")
    with pytest.raises(UsageError, match="not UTF-8"):
        list(items_of((), None, "lines", stdin))
