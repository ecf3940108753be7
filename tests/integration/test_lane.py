"""A lane by itself: what it leaves behind."""

from __future__ import annotations

import gc
import queue
import sys
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from taskq_workers.lanes import guard, lone_pool
from taskq_workers.lanes.lane import Lane
from taskq_workers.link.tasks import JobTask
from taskq_workers.settings import Settings
from tests.waiting import HANGS, wait_until


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def lane(ends: queue.SimpleQueue[Any]) -> Lane:
    settings = Settings(url="redis://127.0.0.1:1")
    return Lane(0, lone_pool.context(), settings, "lane", lambda *end: ends.put(end), lambda _lane: None)


def trays() -> int:
    """How many of them are open in this process."""
    found = 0
    for name in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += "taskq-tray" in str(name.readlink())
    return found


@pytest.mark.usefixtures("no_collector")
def test_a_discarded_lane_is_gone_at_once_with_its_memory() -> None:
    ends: queue.SimpleQueue[Any] = queue.SimpleQueue()
    one = lane(ends)
    one.say_when_ready()
    left = weakref.ref(one)
    ends.get(timeout=HANGS)
    one.discard()
    del one
    wait_until(lambda: left() is None)


@pytest.mark.skipif(sys.platform != "linux", reason="open files are found in /proc")
def test_a_lane_that_can_not_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("no forkserver")

    monkeypatch.setattr(guard, "ensure_forkserver", fail)
    gc.collect()
    before = trays()
    for _ in range(3):
        with pytest.raises(OSError, match="no forkserver"):
            lane(queue.SimpleQueue())
    gc.collect()
    assert trays() == before


def test_a_task_with_a_long_name_does_not_wait_for_a_dead_process() -> None:
    ends: queue.SimpleQueue[Any] = queue.SimpleQueue()
    one = lane(ends)
    one.say_when_ready()
    ends.get(timeout=HANGS)
    wait_until(lambda: not one._pool.unanswered)
    one.kill("a test")
    wait_until(lambda: one._pool.process.exitcode is not None)
    one.submit(1, JobTask("x" * 200_000, {b"data": b""}, "worker"), None)  # else it hangs here
    one.discard()
    assert list(one.tasks) == [1]
