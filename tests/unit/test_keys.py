"""One module makes all keys."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq.redis import keys
from taskq.redis.keys import MapKeys, fetched, held, memo, memo_entries, memo_maps, named, shared
from tests.unit import source
from tests.waiting import HANGS

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
    assert not [(line, text) for line, text in texts(path) if KEY.search(text)]


def test_a_prefix_is_before_all_of_them() -> None:
    names = "from taskq.redis import keys as k; print(*k.MapKeys('x').all, k.held('w'), k.fetched('w', 'q'), "
    names += "k.named('list', 'l'), k.MAPS, k.OPEN, k.NOTES, k.LEASES, k.SERVICES, k.SCHEMA, k.RECEIPT)"
    told = _keys(names, "app-1:taskq")
    assert told.returncode == 0, told.stderr
    assert all(key.startswith("app-1:taskq:") for key in told.stdout.split())
    refused = _keys(names, "a b")
    assert "OptionError: TASKQ_KEY_PREFIX may hold letters, digits and _.:- only, not 'a b'" in refused.stderr


def _keys(program: str, prefix: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "TASKQ_KEY_PREFIX": prefix},
        capture_output=True, text=True, timeout=HANGS, check=False,
    )  # fmt: skip


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
        "taskq:{x}:errors", "taskq:{x}:groups", "taskq:{x}:refusals", "taskq:{x}:deaths",
        "taskq:{x}:memo", "taskq:{x}:blobs", "taskq:{x}:later", "taskq:{x}:copies", "taskq:{x}:since",
            "taskq:{x}:took", "taskq:{x}:parts",
    )  # fmt: skip


SINGLE = {
    keys.ACTIVITY, keys.BUSY, keys.CALLED, keys.FLEET, keys.LEASES, keys.MAPS, keys.MEMOS, keys.METRICS,
    keys.REFUSED,
    keys.SCHEMA, keys.SERVICES, keys.TIMELINE,
}  # fmt: skip


def test_maps_and_lists_cannot_meet() -> None:
    names = ["list", "leases", "services", "timeline", "maps", "a:results", "a"]
    maps = {key for name in names for key in MapKeys(name).all}
    others = {*SINGLE, *(make(name) for make in (shared, held, memo) for name in names)}
    others |= {named(kind, name) for kind in keys.NAMED for name in names}
    others |= {fetched(name, name) for name in names}
    assert not maps & others
    assert len({named("list", name) for name in names}) == len(names)


def test_every_key_is_in_the_schema() -> None:
    schema = keys.__doc__ or ""
    of_map = MapKeys("id")
    channels = {of_map.events, of_map.end, keys.NOTES}
    names = (
        *(named(kind, "name") for kind in keys.NAMED),
        fetched("{worker}", "{queue}"),
        held("{worker}"),
        memo("name"),
        memo_entries("name", "{generation}"),
        memo_maps("name"),
        keys.OPEN + "{queue}",
        keys.HOST + "{host}",
        keys.RECEIPT + "{thread}",
        shared("name"),
    )
    made = {*of_map.all, of_map.chunks, MapKeys("id", "{incarnation}").starts, *channels, *names, *SINGLE}
    assert set(re.findall(r"^(taskq:\S+)", schema, re.MULTILINE)) == made
