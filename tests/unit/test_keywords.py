"""The options of a map as type checkers see them, and as they are checked."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from taskq.maps.keywords import (
    FedKeywords,
    LazyCall,
    LazyKeywords,
    MapCall,
    MapKeywords,
    OpenCall,
    OpenKeywords,
    WholeKeywords,
)
from taskq.maps.options import MapOptions
from taskq.queue import Queue


def test_what_a_type_checker_knows_is_what_is_checked() -> None:
    assert set(MapKeywords.__annotations__) == set(MapOptions.__dataclass_fields__) - {"names"}
    opening = set(inspect.signature(Queue.open_map).parameters) & set(MapOptions.__dataclass_fields__)
    closed = {
        "if_exists",
        "memo",
        "key",
        "memo_ttl",
        "memo_changed",
    }  # of maps whose items are there at the push
    assert set(OpenKeywords.__annotations__) | opening | closed == set(MapKeywords.__annotations__)
    assert not closed & (set(OpenKeywords.__annotations__) | opening)
    assert set(LazyKeywords.__annotations__) < set(OpenKeywords.__annotations__)


@pytest.mark.parametrize(
    ("method", "call", "keywords"),
    [
        (Queue.imap, LazyCall, LazyKeywords),
        (Queue.imap_unordered, LazyCall, LazyKeywords),
        (Queue.open_map, OpenCall, OpenKeywords),
        (Queue.map, MapCall, MapKeywords),
    ],
)
def test_what_an_overload_takes_is_what_its_method_takes(method: Any, call: Any, keywords: Any) -> None:
    parameters = inspect.signature(method).parameters.values()
    named = {one.name for one in parameters if one.kind is one.KEYWORD_ONLY} - {"star"}
    assert set(call.__annotations__) == named | set(keywords.__annotations__)


def test_each_is_documented_where_it_is_declared() -> None:
    kinds = (LazyKeywords, WholeKeywords, FedKeywords, OpenKeywords, MapKeywords)
    docs = "".join(inspect.getdoc(one) or "" for one in kinds)
    assert [name for name in MapKeywords.__annotations__ if f"    {name}: " not in docs] == []
