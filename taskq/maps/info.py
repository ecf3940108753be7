"""What a map's hash in Redis says, checked: it may hold anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from taskq.errors import DamagedError
from taskq.maps.chunk import COUNTABLE
from taskq.redis.keys import MapField


@dataclass(frozen=True)
class MapInfo:
    """What the map's hash says."""

    name: str
    function: bytes
    star: bool
    total: int
    done: int
    failed: int
    limit: int
    state: str
    reason: str
    started: float  # Unix time; 0.0: not yet
    ended: float = 0.0
    item_timeout: float = 0.0  # seconds; 0.0: none
    adapt: bool = False
    kill: bool = False
    trace: str = ""  # context of the producer's span
    span: str = ""  # of the job's

    @property
    def complete(self) -> bool:
        return self.done + self.failed >= self.total


def read_info(fields: Mapping[bytes, bytes]) -> MapInfo:
    """What the fields of the hash say.

    Raises:
        DamagedError: If a number is none.
    """
    try:
        return _read(fields)
    except ValueError as error:
        raise DamagedError(f"the map's hash holds what taskq does not write there: {error}") from error


def _seconds(text: str) -> float:
    value = float(text or 0.0)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number of seconds")
    return value


def _read(fields: Mapping[bytes, bytes]) -> MapInfo:
    def number(field: str) -> int:
        value = int(fields.get(field.encode(), 0))
        if not 0 <= value < COUNTABLE:
            raise ValueError(f"{field} is {value}")
        return value

    def text(field: str) -> str:
        return fields.get(field.encode(), b"").decode("utf-8", "replace")

    return MapInfo(
        name=text(MapField.NAME),
        function=fields.get(MapField.FUNCTION.encode(), b""),
        star=text(MapField.STAR) == "1",
        total=number(MapField.TOTAL),
        done=number(MapField.DONE),
        failed=number(MapField.FAILED),
        limit=number(MapField.LIMIT),
        state=text(MapField.STATE),
        reason=text(MapField.REASON),
        started=_seconds(text(MapField.STARTED)),
        ended=_seconds(text(MapField.ENDED)),
        item_timeout=_seconds(text(MapField.ITEM_TIMEOUT)),
        adapt=text(MapField.ADAPT) == "1",
        kill=text(MapField.KILL) == "1",
        trace=text(MapField.TRACE),
        span=text(MapField.SPAN),
    )
