"""What type checkers are shown of options is all of them: see ``tests/typing``."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

import taskq
from taskq.fronts.keywords import FrontKeywords
from taskq.maps.keywords import ChainCall, LazyCall, MapCall, OpenCall
from tests.unit import source

TYPING = source.ROOT / "tests/typing"
OPTIONS: dict[str, list[Any]] = {
    "map": [MapCall],
    "open_map": [OpenCall],
    "imap": [LazyCall],
    "limit": [taskq.MapJob.limit],
    "Retry": [taskq.Retry],
    "Pool": [taskq.Pool.__init__, FrontKeywords],
    "Executor": [taskq.Executor.__init__, FrontKeywords],
}
NOT_SHOWN = {"self", "options", "place", "mp_context"}
BY_POSITION = {"processes", "max_workers", "initargs", "initializer", "maxtasksperchild"}


def named(call: ast.Call) -> set[str]:
    return {keyword.arg for keyword in call.keywords if keyword.arg}


def calls(of: str) -> list[ast.Call]:
    """All of this method or class in ``tests/typing``."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(TYPING.glob("*.py"))]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [node for node in nodes if getattr(node.func, "attr", getattr(node.func, "id", "")) == of]


@pytest.mark.parametrize("of", OPTIONS)
def test_each_option_is_shown(of: str) -> None:
    there: set[str] = set()
    for one in OPTIONS[of]:
        there |= set(one.__annotations__ if hasattr(one, "__total__") else inspect.signature(one).parameters)
    shown = set().union(*map(named, calls(of)))
    assert there - shown - NOT_SHOWN - BY_POSITION == set()


def test_chains_show_each_option() -> None:
    shown = set().union(*(named(call) for of in ("map", "starmap", "reduce") for call in calls(of)))
    assert set(ChainCall.__annotations__) - shown == set()
