"""All that the page shows at one moment, read in three pipelines and one or two commands more.

The number of commands depends on the queues, services and maps shown, which are few; not on jobs, items or chunks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError
from rq import Queue
from rq.registry import StartedJobRegistry
from rq.worker.base import BaseWorker

from taskq.redis import checked, clock, ids, keys, services
from taskq.redis.services import ServiceInfo
from taskq.views import activity, backlog, timeline, waits
from taskq.views.timeline import TimelineEntry
from taskq.views.waits import Load
from taskq_workers.dashboard import queues
from taskq_workers.dashboard.cores import Cores, busy
from taskq_workers.dashboard.errors import Errors
from taskq_workers.dashboard.maps import ENDED, MAX_RUNNING, NEWEST, Maps
from taskq_workers.dashboard.rates import Flow, Rates

MAX_SERVICES = 500  # shown
ENTRIES = 3000  # of the timeline, read at a time


@dataclass(frozen=True)
class Snapshot:
    """What there is to see.

    Args:
        sections: The parts of the page, by name; plain data.
        entries: Of the timeline, since the last snapshot of the same reader; oldest first.
        skipped: There were more of them, and the older ones were not read.
    """

    at: float
    sections: dict[str, Any]
    entries: list[TimelineEntry]
    skipped: bool


class Reader:
    """Reads snapshots, one after the other; not thread-safe.

    Raises (all methods):
        redis.exceptions.RedisError: If the server can't be reached or refuses.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._maps = Maps()
        self._errors = Errors(connection)
        self._cores = Cores()
        self._rates = Rates()
        self._flow = Flow()
        self._last = ""  # id of the newest timeline entry that was read

    def read(self) -> Snapshot:
        first = self._read_registers()
        now = first["now"]
        second = self._read_queues(first["queues"], first["services"])
        found = list(dict.fromkeys([*first["maps"], *second["running"]]))
        maps = self._read_maps(found, set(first["maps"]), now)
        workers = self._cores.rows(first["services"], first["activities"], second["jobs"], now)
        entries = first["entries"]
        skipped = len(entries) == ENTRIES and bool(self._last)
        if entries:
            self._last = entries[-1].id
        self._flow.note(now, entries, skipped=skipped)
        sections = {
            "cards": self._cards(maps, workers, second["queues"], first["memory"], now),
            "maps": maps,
            "queues": second["queues"],
            "services": workers,
            "errors": self._errors.groups(maps),
        }
        return Snapshot(now, sections, entries, skipped)

    def _read_registers(self) -> dict[str, Any]:
        with self._connection.pipeline(transaction=False) as pipe:
            pipe.zrevrange(keys.MAPS, 0, NEWEST - 1)
            pipe.smembers(Queue.redis_queues_keys)
            services.ask_live(pipe)
            pipe.hgetall(keys.ACTIVITY)
            timeline.newest(pipe, ENTRIES, self._last)
            maps, names, *live, told, entries = pipe.execute(raise_on_error=False)
        infos = services.read_live(*live)[:MAX_SERVICES]
        members: list[bytes] = checked.reply(maps, [])
        served = {name for info in infos for name in info.queues}
        return {
            "now": clock.read(live[0]),  # it goes by no clock of its own: what it shows is of several hosts
            "maps": [map_id for map_id in map(ids.read, members) if map_id],
            "queues": backlog.names_of(checked.reply(names, set()), served, queues.MAX_QUEUES),
            "services": infos,
            "activities": activity.read_all(checked.reply(told, {}).items()),
            "entries": timeline.read(checked.reply(entries, [])),
            "memory": self._memory(),
        }

    def _memory(self) -> dict[str, Any]:
        try:
            return dict(self._connection.info("memory"))
        except ResponseError:  # a user who may not ask, or a server that does not know
            return {}

    def _read_queues(self, names: list[str], infos: list[ServiceInfo]) -> dict[str, Any]:
        with self._connection.pipeline(transaction=False) as pipe:
            for name in names:
                queues.ask_counts(pipe, name)
                pipe.zrange(StartedJobRegistry.key_template.format(name), 0, MAX_RUNNING - 1)
            for info in infos:
                key = BaseWorker.redis_worker_namespace_prefix + info.name
                pipe.hmget(key, "successful_job_count", "failed_job_count")
            replies = pipe.execute(raise_on_error=False) if names or infos else []
        each = len(queues.PLACES) + 1
        rows, running = [], []
        for position, name in enumerate(names):
            *counted, members = replies[position * each : (position + 1) * each]
            rows.append(queues.counts(name, counted))
            running += queues.started_ids(members)
        jobs = {
            info.name: tuple(map(checked.count, checked.reply(reply, [None, None])))
            for info, reply in zip(infos, replies[len(names) * each :], strict=True)
        }
        loads = {row["name"]: Load(row["queued"], row["started"]) for row in rows}
        found = waits.read(self._connection, loads, infos)
        for row in rows:
            wait = found.get(row["name"])
            row["waited"], row["behind"] = (round(wait.seconds), wait.behind) if wait else (None, "")
        return {"queues": rows, "running": running, "jobs": jobs}

    def _read_maps(self, found: list[str], known: set[str], now: float) -> list[dict[str, Any]]:
        """The maps among those ``found``; those not ``known`` as maps are running jobs of any kind."""
        with self._connection.pipeline(transaction=False) as pipe:
            others = [one for one in found if one not in known]
            if others:
                pipe.zmscore(keys.MAPS, others)
                [reply] = pipe.execute(raise_on_error=False)
                scores = checked.reply(reply, [None] * len(others))
                known |= {one for one, score in zip(others, scores, strict=True) if score is not None}
            maps = [one for one in found if one in known]
            self._maps.ask(pipe, maps)
            return self._maps.rows(maps, pipe.execute(raise_on_error=False) if maps else [], now)

    def _cards(
        self, maps: list[dict[str, Any]], workers: list[dict[str, Any]], counted: list[dict[str, Any]],
        memory: dict[str, Any], now: float,
    ) -> dict[str, Any]:  # fmt: skip
        running, total = busy(workers)
        active = [one for one in maps if one["status"] not in ENDED]
        jobs = {one["name"]: one["finished"] + one["failed"] for one in workers}
        rates = [self._rates.note(name, now, count) or 0.0 for name, count in jobs.items()]
        self._rates.keep_only(jobs)
        return {
            "rate": round(self._flow.rate(now), 2),
            "job_rate": round(sum(rates), 2),
            "busy": running,
            "cores": total,
            "pending": sum(one["pending"] for one in active),
            "claimed": sum(one["claimed"] for one in active),
            "active": len(active),
            "failed": sum(one["failed"] for one in maps),
            "failed_jobs": sum(one["failed"] for one in counted),
            "memory": memory.get("used_memory", 0),
            "max_memory": memory.get("maxmemory", 0),
            "policy": memory.get("maxmemory_policy", "noeviction"),
            "evicts": bool(memory.get("maxmemory")) and memory.get("maxmemory_policy") != "noeviction",
        }
