"""Removes what a map leaves behind when its RQ job is ended or removed by a tool that knows nothing of our keys.

After ``rq empty``, a stock ``Job.delete()`` or ``Job.cancel()``, or when RQ gives a job up as abandoned, the keys
of the map would stay for ever. ``taskq:maps`` lists every map; a few of them are looked at each time, so the cost
does not grow with their number. Every service does so; twice does no harm.
"""

from __future__ import annotations

import time
from typing import Any

from rq.defaults import DEFAULT_FAILURE_TTL
from rq.job import Job, JobStatus

from taskq.maps.job import CANCELED_TTL, ENDED
from taskq.redis import ids, keys
from taskq.redis.keys import MapField, MapKeys
from taskq_workers.service.core.damage import contained
from taskq_workers.service.core.state import State

INTERVAL = 10.0  # seconds between two looks of one service
_COUNT = 100  # maps looked at, about
_YOUNG = 60.0  # seconds for which a map is left alone: its producer may be in the middle of announcing it
_LIFE = {JobStatus.CANCELED: CANCELED_TTL, JobStatus.STOPPED: CANCELED_TTL}  # seconds; others: RQ's, for failures


class Sweep:
    """Goes round all maps, a few at a time."""

    def __init__(self) -> None:
        self._cursor = 0
        self._swept = 0.0  # on the monotonic clock

    def look(self, state: State) -> None:
        """Look at the next few maps, if it is time to."""
        if time.monotonic() - self._swept < INTERVAL:
            return
        self._swept = time.monotonic()
        self._cursor, found = state.connection.zscan(keys.MAPS, self._cursor, count=_COUNT)
        if strange := [name for name, _pushed in found if not ids.read(name)]:
            state.connection.zrem(keys.MAPS, *strange)
        old = [name for one, pushed in found if (name := ids.read(one)) and abs(time.time() - pushed) > _YOUNG]
        if old:
            _look_at(state, old)


def _look_at(state: State, maps: list[str]) -> None:
    with state.connection.pipeline(transaction=False) as pipe:
        for map_id in maps:
            pipe.ttl(MapKeys(map_id).hash)
            pipe.hget(Job.key_for(map_id), "status")
            pipe.hget(MapKeys(map_id).hash, MapField.INCARNATION)
        replies = pipe.execute(raise_on_error=False)
    for map_id, ttl, status, known in zip(maps, *(replies[at::3] for at in range(3)), strict=True):
        with contained(f"what is left of the map {map_id}"):
            _sweep(
                state, map_id, known.decode("ascii", "replace") if isinstance(known, bytes) else "", ttl, status
            )


def _sweep(state: State, map_id: str, incarnation: str, ttl: Any, status: Any) -> None:
    store = state.store(map_id, incarnation)
    if ttl == -2:  # noqa: PLR2004 - Redis's word for: there is no such key
        state.connection.zrem(keys.MAPS, map_id)
    elif ttl == -1 and status is None:
        store.close("its RQ job was deleted")
        store.tell_end(delete=True)
    elif ttl == -1 and _ended(status):
        store.close()
        store.expire(_LIFE.get(JobStatus(status.decode()), DEFAULT_FAILURE_TTL))
        store.tell_end()


def _ended(status: Any) -> bool:
    return any(status == one.value.encode() for one in ENDED)
