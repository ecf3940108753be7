"""One reader for any number of open pages: reads while somebody looks, and tells each page what is new to it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from taskq.redis import checked
from taskq.views.timeline import TimelineEntry
from taskq_workers.dashboard.snapshot import Reader, Snapshot

log = logging.getLogger(__name__)

PACE = 1.0  # seconds between two looks at Redis
KEPT = 6000  # timeline entries for pages that are opened later
RETRY = 1000  # milliseconds after which a browser that lost us comes back


@dataclass(frozen=True)
class _Section:
    version: int
    json: str


class Feed:
    """What pages are told, as server-sent events.

    A page that is slow, or comes back after a while, gets the latest state and skips what was between. Each event
    holds the sections which have changed since the page's last one, and the timeline's new entries.

    Args:
        reader: Used in one thread at a time.
        about: What never changes: sent once, at first.
        pace: Seconds between two looks.
    """

    def __init__(self, reader: Reader, about: dict[str, Any], pace: float = PACE) -> None:
        self._reader = reader
        self._about = about
        self._pace = pace
        self._version = 0
        self._at = 0.0
        self._trouble = ""
        self._sections: dict[str, _Section] = {}
        self._entries: deque[tuple[int, TimelineEntry]] = deque(maxlen=KEPT)
        self._gap: tuple[int, float] = (0, 0.0)  # version, and the time before which entries are missing
        self._news = asyncio.Condition()
        self._watching: asyncio.Task[None] | None = None
        self._followers = 0
        self._closed = False

    async def follow(self) -> AsyncIterator[str]:
        """Server-sent events for one page, until the page or the server goes."""
        yield f"retry: {RETRY}\nevent: about\ndata: {checked.dumps(self._about)}\n\n"
        self._followers += 1
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        seen = 0
        try:
            while not self._closed:
                if self._version > seen:
                    event, seen = self._since(seen), self._version
                    yield f"data: {event}\n\n"
                async with self._news:
                    if self._version == seen and not self._closed:
                        await self._news.wait()
        finally:
            self._followers -= 1

    async def close(self) -> None:
        """End all pages' streams, so that the server can end."""
        self._closed = True
        async with self._news:
            self._news.notify_all()

    async def _watch(self) -> None:
        while self._followers and not self._closed:
            try:
                self._take(await asyncio.to_thread(self._reader.read))
            except (RedisError, OSError) as error:
                self._tell(f"Redis: {error}")
            except Exception as error:
                log.exception("the page can't be read", extra={"action": "bad_snapshot"})
                self._tell(f"{type(error).__name__}: {error}")
            async with self._news:
                self._news.notify_all()
            await asyncio.sleep(self._pace)

    def _take(self, snapshot: Snapshot) -> None:
        self._version += 1
        self._at, self._trouble = snapshot.at, ""
        for name, data in snapshot.sections.items():
            text = _compact(data)
            if name not in self._sections or self._sections[name].json != text:
                self._sections[name] = _Section(self._version, text)
        self._entries.extend((self._version, entry) for entry in snapshot.entries)
        if snapshot.skipped:
            self._gap = self._version, snapshot.entries[0].start

    def _tell(self, trouble: str) -> None:
        self._version += 1
        self._trouble = trouble

    def _since(self, version: int) -> str:
        """What is new to a page that has seen this version; JSON in one line."""
        parts = {name: one.json for name, one in self._sections.items() if one.version > version}
        parts["at"] = checked.dumps(self._at)
        parts["trouble"] = checked.dumps(self._trouble)
        parts["gap"] = checked.dumps(self._gap[1] if self._gap[0] > version else 0)
        parts["timeline"] = _compact(encode([entry for number, entry in self._entries if number > version]))
        return "{" + ",".join(f'"{name}":{text}' for name, text in parts.items()) + "}"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def encode(entries: Sequence[TimelineEntry]) -> dict[str, Any]:
    """Timeline entries in little space: rows and jobs are listed once, and entries refer to them by number."""
    rows: dict[tuple[str, str, int], int] = {}
    jobs: dict[str, int] = {}
    return {
        "entries": [
            [
                rows.setdefault(entry.row, len(rows)), jobs.setdefault(entry.job, len(jobs)), entry.chunk,
                round(entry.start, 3), round(entry.end - entry.start, 4), entry.items, entry.failed, entry.deaths,
                entry.outcome,
            ]
            for entry in entries
        ],
        "rows": list(rows),
        "jobs": list(jobs),
    }  # fmt: skip
