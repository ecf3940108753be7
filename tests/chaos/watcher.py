"""Follows the timeline while chaos reigns: when chunks were committed."""

from __future__ import annotations

import threading
from typing import Any

from redis.exceptions import RedisError

from taskq.redis import keys
from taskq.redis.connection import connect
from tests.chaos.load import Pushed

_PAUSE = 0.1  # seconds between looks
_BATCH = 2_000


class Watcher(threading.Thread):
    """Collects the times of all commits, by the server's clock."""

    def __init__(self, url: str) -> None:
        super().__init__(name="watcher", daemon=True)
        self.commits: list[float] = []
        self._connection = connect(url, retries=0)
        self._last = "-"
        self._enough = threading.Event()

    def run(self) -> None:
        while not self._enough.is_set():
            self._read()
            self._enough.wait(_PAUSE)
        self._read()

    def stop(self) -> None:
        self._enough.set()
        self.join()
        self._connection.close()

    def _read(self) -> None:
        try:
            entries: Any = self._connection.xrange(keys.TIMELINE, self._last, "+", count=_BATCH)
        except RedisError:
            return
        for entry_id, fields in entries:
            self._last = "(" + entry_id.decode()
            if fields.get(b"outcome", b"ok") == b"ok":
                self.commits.append(int(entry_id.split(b"-")[0]) / 1000)


def longest_gap(commits: list[float], pushed: list[Pushed], until: float) -> tuple[float, float]:
    """The longest time without a commit while some map could have had one: seconds, and when it began.

    Work is available from the first push of a map to its end; a map whose producer had no answer does not count.
    """
    work = _union([(one.at, one.ended or until) for one in pushed if one.is_map and one.sure])
    times = iter(sorted(commits))
    commit = next(times, None)
    longest = 0.0, 0.0
    for begin, end in work:
        last = begin
        while commit is not None and commit <= end:
            if commit >= begin:
                longest = max(longest, (commit - last, last))
                last = commit
            commit = next(times, None)
        longest = max(longest, (end - last, last))
    return longest


def _union(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged
