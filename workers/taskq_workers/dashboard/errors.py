"""What failed in the newest maps, in groups; read again only when there is more of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from taskq.maps.reader import MapReader
from taskq.redis.checked import clean
from taskq.redis.patience import says_damage
from taskq.views.error_groups import ErrorGroup, Frame

MAPS = 10  # newest maps with failed items that are looked at
RECORDS = 500  # error records of one map that are read at most
GROUPS = 20  # shown of one map
MAX_TRACEBACK = 8000  # characters
AGAIN = 5.0  # seconds between two looks at the same map


class Errors:
    """Groups the error records of maps; remembers them as long as a map's number of failed items is the same."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._known: dict[str, tuple[int, float, list[dict[str, Any]]]] = {}

    def groups(self, maps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The groups of the first ``MAPS`` of these maps that have failed items."""
        failing = [one for one in maps if one["failed"]][:MAPS]
        self._known = {one["id"]: self._of(one["id"], one["failed"]) for one in failing}
        return [
            {**group, "map": one["id"], "name": one["name"], "records": min(one["failed"], RECORDS)}
            for one in failing
            for group in self._known[one["id"]][2]
        ]

    def _of(self, map_id: str, failed: int) -> tuple[int, float, list[dict[str, Any]]]:
        known = self._known.get(map_id)
        if known and (known[0] == failed or time.monotonic() - known[1] < AGAIN):
            return known
        try:
            groups = groups_of(self._connection, map_id)
        except Exception as error:  # of this map's own keys; the page shows all others
            if isinstance(error, RedisError) and not says_damage(error):
                raise
            groups = [_unreadable(error)]
        return failed, time.monotonic(), groups


def _unreadable(error: Exception) -> dict[str, Any]:
    """In place of groups that can't be read."""
    message = clean(str(error))[:MAX_TRACEBACK]
    return {
        "type": type(error).__name__, "frame": "", "count": 0, "item": 0, "message": message, "traceback": "",
        "attempts": 0, "killed": 0,
    }  # fmt: skip


def groups_of(connection: Any, map_id: str) -> list[dict[str, Any]]:
    """One map's failures in groups. Only text is read: the pickled exceptions stay closed."""
    return [_row(group) for group in MapReader(map_id, connection).groups()[:GROUPS]]


def frame_text(frame: Frame) -> str:
    """Where an exception was raised, in few words; the traceback has the whole path."""
    file = frame.file.replace("\\", "/").rpartition("/")[2]
    return f"{file}:{frame.line} in {frame.function}" if file else ""


def _row(group: ErrorGroup) -> dict[str, Any]:
    sample = group.sample
    return {
        "type": clean(group.type), "frame": clean(frame_text(group.frame)), "count": group.count,
        "item": sample.index, "message": clean(sample.message[:MAX_TRACEBACK]),
        "traceback": clean(sample.traceback[-MAX_TRACEBACK:]),
        "attempts": sample.attempts, "killed": sample.attempts if group.type == "WorkerLostError" else 0,
    }  # fmt: skip
