"""A large function waits in a file, from which pool processes read it, and of which nothing stays."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from taskq.errors import FunctionError
from taskq_workers.service.core import map_function
from taskq_workers.service.core.map_function import PIECE, MapFunction


class Store:
    """Has a function."""

    def __init__(self, function: bytes) -> None:
        self._function = function

    def function(self, first: int, count: int) -> bytes:
        return self._function[first : first + count]


def read(function: bytes) -> MapFunction:
    found = MapFunction(Store(function))  # type: ignore[arg-type]
    while not found.ready:
        found.step()
    return found


def test_a_small_one_is_kept() -> None:
    found = read(b"small")
    assert (found.data, found.path, found.size) == (b"small", "", 5)


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 7])
def test_all_of_it_arrives(size: int) -> None:
    function = os.urandom(size)
    found = read(function)
    assert (Path(found.path).read_bytes() if found.path else found.data) == function
    assert found.size == size
    assert bool(found.path) == (size >= PIECE), "a large one takes none of our memory"


def test_no_step_reads_more_than_a_piece() -> None:
    steps = []

    class Counting(Store):
        def function(self, first: int, count: int) -> bytes:
            steps.append((first, count))
            return super().function(first, count)

    found = MapFunction(Counting(bytes(2 * PIECE + 1)))  # type: ignore[arg-type]
    while not found.ready:
        found.step()
    assert steps == [(0, PIECE), (PIECE, PIECE), (2 * PIECE, PIECE)]


def test_nothing_of_it_stays() -> None:
    found = read(bytes(PIECE))
    path = found.path
    if sys.platform == "linux":
        assert not Path(path).readlink().exists(), "it has a name of its own, and would stay after a kill"
    del found
    gc.collect()
    assert not os.path.exists(path)  # noqa: PTH110 - a link of /proc whose end has no name


def test_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(map_function.os, "write", full)
    found = MapFunction(Store(bytes(PIECE)))  # type: ignore[arg-type]
    with pytest.raises(FunctionError, match=r"No space left on device\. Make room there, or set TMPDIR"):
        found.step()
    assert (found.size, found.path) == (0, ""), "what there was of it takes no room any longer"
