"""The lines of the maps: the newest, and all that run, however old."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rq.job import Job, JobStatus

from taskq.maps import told
from taskq.redis import checked, clock, ids
from taskq.redis.checked import count, seconds, text
from taskq.redis.keys import MapField, MapKeys
from taskq.redis.kinds import MAP
from taskq_workers.dashboard.queues import FIELDS, MAX_TEXT, job_row
from taskq_workers.dashboard.rates import Rates

NEWEST = 100  # maps shown, besides those that run
MAX_RUNNING = 200  # running jobs of each queue that are looked at
ENDED = frozenset({JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED})

_HASH = (MapField.NAME, MapField.TOTAL, MapField.DONE, MapField.FAILED, MapField.STARTED, MapField.ENDED,
         MapField.REASON, MapField.REFUSED, MapField.NEXT, MapField.PAUSED, *told.FIELDS)  # fmt: skip


class Maps:
    """Reads the maps' counters; remembers how they grow, and what has ended.

    A map that has ended costs one command a time, to see whether it was requeued; one that runs costs four.
    """

    def __init__(self) -> None:
        self._rates = Rates()
        self._rows: dict[str, dict[str, Any]] = {}

    def ask(self, pipe: Any, ids: Iterable[str]) -> None:
        """Queue the commands whose replies are for ``rows``."""
        for map_id in ids:
            pipe.hmget(Job.key_for(map_id), FIELDS)
            if not self._has_ended(map_id):
                k = MapKeys(map_id)
                pipe.hmget(k.hash, _HASH)
                pipe.llen(k.pending)
                pipe.hlen(k.claims)

    def rows(self, ids: Sequence[str], replies: Sequence[Any], now: float) -> list[dict[str, Any]]:
        """A line for each map that still exists, in the order of ``ids``."""
        rows: dict[str, dict[str, Any]] = {}
        rest = iter(replies)
        for map_id in ids:
            job = job_row(map_id, next(rest))
            known = self._rows.get(map_id, {})
            if self._has_ended(map_id):
                if job["status"] == known["status"]:
                    rows[map_id] = known
                elif job["status"] != "gone":
                    rows[map_id] = {**known, **job}  # tried again: its counters come the next time
                continue
            values: list[bytes | None] = checked.reply(next(rest), [None] * len(_HASH))
            pending, claimed = (checked.reply(next(rest), 0) for _ in range(2))
            if job["status"] != "gone" or values[1] is not None:
                rows[map_id] = self._row(job, values, pending, claimed, now)
        self._rows = rows
        self._rates.keep_only(rows)
        return list(rows.values())

    def _has_ended(self, map_id: str) -> bool:
        return self._rows.get(map_id, {}).get("status") in ENDED

    def _row(
        self, job: dict[str, Any], values: Sequence[bytes | None], pending: int, claimed: int, now: float
    ) -> dict[str, Any]:
        fields = dict(zip(_HASH, values, strict=True))
        total, sealed = checked.items(fields[MapField.TOTAL], fields[MapField.NEXT])
        done, failed = (count(fields[name]) for name in (MapField.DONE, MapField.FAILED))
        started, ended = (seconds(fields[name]) for name in (MapField.STARTED, MapField.ENDED))
        rate = self._rates.note(job["id"], now, done + failed)
        running = job["status"] == JobStatus.STARTED
        if rate is None or not running:  # seen for the first time, or over: on the average
            ran = (ended or now) - started if started else 0.0
            rate = (done + failed) / ran if ran > 0 else 0.0
        left = (total - done - failed) / rate if running and rate > 0 and sealed else None
        return {
            **job, "name": text(fields[MapField.NAME]) or job["description"], "total": total, "done": done,
            "failed": failed, "pending": pending, "claimed": claimed, "rate": round(rate, 3),
            "left": None if left is None else round(left, 1), "started": started or job["started"],
            "ended": ended or job["ended"], "reason": text(fields[MapField.REASON], MAX_TEXT),
            "refused": text(fields[MapField.REFUSED], MAX_TEXT), "sealed": sealed,
            "terms": told.shown([fields[name] for name in told.FIELDS]),
            "paused": fields[MapField.PAUSED] is not None,
        }  # fmt: skip


def find(connection: Any, map_id: str) -> dict[str, Any] | None:
    """The line of any map, however old; None if there is none of this id."""
    if not ids.read(map_id):
        return None
    maps = Maps()
    with connection.pipeline(transaction=False) as pipe:
        pipe.time()
        maps.ask(pipe, [map_id])
        now, *replies = pipe.execute(raise_on_error=False)
    rows = maps.rows([map_id], replies, clock.read(now))
    return rows[0] if rows and rows[0]["kind"] == MAP else None
