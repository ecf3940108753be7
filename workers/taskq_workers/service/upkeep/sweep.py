"""Removes what a map leaves behind when its RQ job is ended or removed by a tool that knows nothing of our keys.

After ``rq empty``, a stock ``Job.delete()`` or ``Job.cancel()``, or when RQ gives a job up as abandoned, the keys
of the map would stay for ever. ``taskq:maps`` lists every map; a few of them are looked at each time, so the cost
does not grow with their number. Every service does so, the less often the more there are; twice does no harm. A
map that is kept for ever stays in the list, for its job may be deleted one day.
"""

from __future__ import annotations

import math
import time
from typing import Any

from rq.defaults import DEFAULT_FAILURE_TTL
from rq.job import Job, JobStatus

from taskq.maps.control import CANCELED_TTL
from taskq.maps.options import MAP_RESULT_TTL
from taskq.maps.store import MapStore
from taskq.redis import clock, ids, keys
from taskq.redis.keys import MapField, MapKeys
from taskq_workers.service.core.damage import contained
from taskq_workers.service.core.state import State

INTERVAL = 10.0  # seconds between two looks of one service, where these are few
_COUNT = 100  # maps looked at, about
_YOUNG = 60.0  # seconds for which a map is left alone: its producer may be in the middle of announcing it
_LIFE = {  # of a map that has ended so: the job's field which says how long it is kept, and else how many seconds
    JobStatus.FINISHED: ("result_ttl", MAP_RESULT_TTL),
    JobStatus.FAILED: ("failure_ttl", DEFAULT_FAILURE_TTL),
    JobStatus.STOPPED: ("failure_ttl", DEFAULT_FAILURE_TTL),
    JobStatus.CANCELED: ("", CANCELED_TTL),
}
_FIELDS = ("status", "result_ttl", "failure_ttl")


class Sweep:
    """Goes round all maps, a few at a time."""

    def __init__(self) -> None:
        self._cursor = 0
        self._swept = -math.inf  # on the monotonic clock

    def look(self, state: State) -> None:
        """Look at the next few maps, if it is time to."""
        if time.monotonic() - self._swept < INTERVAL * state.fleet.times:
            return
        self._swept = time.monotonic()
        with state.connection.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zscan(keys.MAPS, self._cursor, count=_COUNT)
            now, (self._cursor, found) = pipe.execute()
        if strange := [name for name, _pushed in found if not ids.read(name)]:
            state.connection.zrem(keys.MAPS, *strange)
        seconds = clock.read(now)
        old = [name for one, pushed in found if (name := ids.read(one)) and abs(seconds - pushed) > _YOUNG]
        if old:
            _look_at(state, old)


def _look_at(state: State, maps: list[str]) -> None:
    with state.connection.pipeline(transaction=False) as pipe:
        for map_id in maps:
            pipe.ttl(MapKeys(map_id).hash)
            pipe.hmget(MapKeys(map_id).hash, MapField.INCARNATION, MapField.STATE)
            pipe.hmget(Job.key_for(map_id), _FIELDS)
        replies = pipe.execute(raise_on_error=False)
    for map_id, ttl, known, job in zip(maps, *(replies[at::3] for at in range(3)), strict=True):
        with contained(f"what is left of the map {map_id}"):
            if ttl == -2:  # noqa: PLR2004 - Redis's word for: there is no such key
                state.connection.zrem(keys.MAPS, map_id)
            elif ttl == -1 and isinstance(job, list):  # else what stands there is not RQ's
                incarnation, its_state = known if isinstance(known, list) else (None, None)
                store = state.store(map_id, (incarnation or b"").decode("ascii", "replace"))
                _end(store, dict(zip(_FIELDS, job, strict=True)), closed=its_state == b"closed")


def _end(store: MapStore, job: dict[str, Any], *, closed: bool) -> None:
    """End a map, whose keys have no time to live, as its job was ended."""
    if job["status"] is None:
        store.close("its RQ job was deleted")
        store.tell_end(delete=True)
        return
    life = _life(job)
    if life is None or (life < 0 and closed):
        return
    store.close()
    store.expire(life)
    store.tell_end()


def _life(job: dict[str, Any]) -> int | None:
    """Seconds for which the map is to be kept, -1: for ever; None: its job has not ended."""
    ended = [one for one in _LIFE if job["status"] == one.value.encode()]
    if not ended:
        return None
    field, default = _LIFE[ended[0]]
    try:
        return int(job.get(field) or default)
    except ValueError:  # nothing that RQ has written
        return default
