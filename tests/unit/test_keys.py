"""One module makes all keys."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq.redis import keys
from taskq.redis.keys import MapKeys, fetched, free_list, held
from tests.unit import source

KEY = re.compile(r"taskq:(?!\s|$)")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The string constants of a file, without docstrings."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    ignored = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    assert any(isinstance(node, documented) for node in ast.walk(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in ignored:
            yield node.lineno, node.value


@pytest.mark.parametrize(
    "path", source.files("taskq", "workers"), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_no_key_is_spelled_elsewhere(path: Path) -> None:
    found = [(line, text) for line, text in texts(path) if KEY.search(text)]
    assert bool(found) is (path == source.ROOT / "taskq" / "redis" / "keys.py")


@pytest.mark.parametrize("path", source.files("taskq/redis/lua", suffix=".lua"), ids=lambda path: path.name)
def test_no_key_is_spelled_in_lua(path: Path) -> None:
    code = [line.partition("--")[0] for line in path.read_text().splitlines()]
    assert not [line for line in code if "taskq:" in line or "rq:" in line]


def test_all_keys_of_a_map_share_a_hash_slot() -> None:
    keys_of = MapKeys("a-1")
    assert all("{a-1}" in key for key in (*keys_of.all, keys_of.events, keys_of.end))


def test_the_keys_of_a_map() -> None:
    assert MapKeys("x").all == (
        "taskq:{x}", "taskq:{x}:function", "taskq:{x}:bodies", "taskq:{x}:uses", "taskq:{x}:pending",
        "taskq:{x}:again", "taskq:{x}:claims", "taskq:{x}:failed", "taskq:{x}:results", "taskq:{x}:spans",
        "taskq:{x}:errors", "taskq:{x}:groups", "taskq:{x}:refusals", "taskq:{x}:deaths", "taskq:{x}:later",
    )  # fmt: skip


SINGLE = {
    keys.ACTIVITY, keys.LEASES, keys.MAPS, keys.METRICS, keys.REFUSED, keys.SCHEMA, keys.SERVICES,
    keys.TIMELINE,
}  # fmt: skip


def test_maps_and_lists_cannot_meet() -> None:
    names = ["list", "leases", "services", "timeline", "maps", "a:results", "a"]
    maps = {key for name in names for key in MapKeys(name).all}
    others = {*SINGLE, *map(free_list, names), *map(held, names), *(fetched(name, name) for name in names)}
    assert not maps & others
    assert len(set(map(free_list, names))) == len(names)


def test_every_key_is_in_the_schema() -> None:
    schema = keys.__doc__ or ""
    of_map = MapKeys("id")
    channels = {of_map.events, of_map.end, keys.NOTES}
    names = (
        free_list("name"),
        fetched("{worker}", "{queue}"),
        held("{worker}"),
        keys.OPEN + "{queue}",
        keys.RECEIPT + "{thread}",
    )
    made = {*of_map.all, of_map.chunks, MapKeys("id", "{incarnation}").starts, *channels, *names, *SINGLE}
    assert set(re.findall(r"^(taskq:\S+)", schema, re.MULTILINE)) == made
