"""What pages are told: only what is new to each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from taskq.views.timeline import TimelineEntry
from taskq_workers.dashboard.feed import Feed
from taskq_workers.dashboard.snapshot import Snapshot

LIMIT = 5.0  # seconds


def entry(number: int) -> TimelineEntry:
    return TimelineEntry(f"{number}-0", "job", number, 1.0, 2.0, "host", "worker", 0, 1, 1, 0, 0)


class Script:
    """A reader whose snapshots the test has written; the last one is there for ever."""

    def __init__(self, *steps: Snapshot | Exception) -> None:
        self.steps = list(steps)
        self.reads = 0

    def read(self) -> Snapshot:
        self.reads += 1
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return step


def shot(maps: Any, *entries: TimelineEntry, skipped: bool = False) -> Snapshot:
    return Snapshot(1.0, {"maps": maps, "cards": {"a": 1}}, list(entries), skipped)


async def events(stream: AsyncIterator[str], count: int) -> list[Any]:
    """The next ones, as data."""
    told = [await asyncio.wait_for(anext(stream), LIMIT) for _ in range(count)]  # type: ignore[arg-type]
    return [json.loads(one.partition("data: ")[2]) for one in told]


def feed_of(*steps: Snapshot | Exception) -> Feed:
    return Feed(Script(*steps), {"version": "1"}, pace=0.01)  # type: ignore[arg-type]


def test_first_all_then_what_is_new() -> None:
    async def watch() -> list[Any]:
        feed = feed_of(shot([1], entry(1)), shot([1], entry(2)), shot([2]))
        stream = feed.follow()
        told = await events(stream, 4)
        await stream.aclose()  # type: ignore[attr-defined]
        return told

    about, first, second, third = asyncio.run(watch())
    assert about == {"version": "1"}
    assert (first["maps"], first["cards"], len(first["timeline"]["entries"])) == ([1], {"a": 1}, 1)
    assert "maps" not in second
    assert [one[2] for one in second["timeline"]["entries"]] == [2]
    assert (third["maps"], "cards" in third) == ([2], False)


def test_a_late_page_gets_all() -> None:
    async def watch() -> list[Any]:
        feed = feed_of(shot([1], entry(1)), shot([1], entry(2)), shot([1]))
        early = feed.follow()
        await events(early, 4)
        return await events(feed.follow(), 2)

    _, first = asyncio.run(watch())
    assert first["maps"] == [1]
    assert [one[2] for one in first["timeline"]["entries"]] == [1, 2]


@pytest.mark.parametrize("error", [RedisConnectionError("away"), ValueError("odd")])
def test_trouble_is_told_and_goes_over(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def watch() -> list[Any]:
        return await events(feed_of(shot([1]), error, shot([1])).follow(), 4)

    _, _, trouble, after = asyncio.run(watch())
    assert str(error) in trouble["trouble"]
    assert after["trouble"] == ""
    assert bool(caplog.records) is isinstance(error, ValueError)


def test_what_was_skipped_is_said() -> None:
    async def watch() -> list[Any]:
        return await events(feed_of(shot([1], entry(1)), shot([1], entry(9), skipped=True), shot([1])).follow(), 4)

    _, first, second, third = asyncio.run(watch())
    assert [one["gap"] for one in (first, second, third)] == [0, 1.0, 0]


def test_nobody_looks_nothing_is_read() -> None:
    async def watch() -> None:
        reader = Script(shot([1]))
        feed = Feed(reader, {}, pace=0.01)  # type: ignore[arg-type]
        stream = feed.follow()
        await events(stream, 3)
        await stream.aclose()  # type: ignore[attr-defined]
        assert feed._watching is not None
        await feed._watching
        reads = reader.reads
        assert reads >= 2
        await events(feed.follow(), 2)

    asyncio.run(asyncio.wait_for(watch(), LIMIT))


def test_closing_ends_the_streams() -> None:
    async def watch() -> None:
        feed = feed_of(shot([1]))
        stream = feed.follow()
        await events(stream, 2)
        await feed.close()
        rest = [event async for event in stream]
        assert len(rest) <= 1

    asyncio.run(watch())
