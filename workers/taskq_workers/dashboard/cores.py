"""Services and their pool processes: how many cores there are, how many work, and on what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from taskq.redis.services import ServiceInfo
from taskq.views.activity import Activity, ProcessActivity
from taskq.views.timeline import place_of
from taskq_workers.dashboard.rates import Rates

STALE = 15.0  # seconds after which what a service has said tells nothing about now


class Cores:
    """Makes a row of each service; remembers CPU seconds, whose growth is the use of cores."""

    def __init__(self) -> None:
        self._rates = Rates()

    def rows(
        self, infos: Iterable[ServiceInfo], told: Iterable[Activity], jobs: dict[str, tuple[int, int]], now: float
    ) -> list[dict[str, Any]]:
        """A row for each service with its processes; ``jobs``: how many finished and failed, by worker name."""
        fresh = {one.name: one for one in told if now - one.at < STALE}
        rows = [self._row(info, fresh.get(info.name), jobs.get(info.name, (0, 0))) for info in infos]
        self._rates.keep_only(f"{row['host']} {one['pid']}" for row in rows for one in (row, *row["processes"]))
        return rows

    def _row(self, info: ServiceInfo, told: Activity | None, jobs: tuple[int, int]) -> dict[str, Any]:
        return {
            "name": info.name, "place": place_of(info.name), "host": info.host, "pid": info.pid,
            "python": info.python, "queues": list(info.queues), "started": info.started, "cores": info.processes,
            "trouble": info.trouble,
            "memory": told.memory if told else 0, "cpu": self._cpu(info.host, told, told),
            "finished": jobs[0], "failed": jobs[1],
            "processes": [self._process(info.host, one, told) for one in told.processes] if told else [],
        }  # fmt: skip

    def _process(self, host: str, one: ProcessActivity, told: Activity) -> dict[str, Any]:
        return {
            "lane": one.lane, "pid": one.pid, "memory": one.memory, "cpu": self._cpu(one.host or host, one, told),
            "host": one.host,
            "started": one.started, "deaths": one.deaths, "job": one.job, "chunk": one.chunk, "since": one.since,
        }  # fmt: skip

    def _cpu(self, host: str, one: Activity | ProcessActivity | None, told: Activity | None) -> float:
        """Cores used lately; 0.0 until it has been seen twice."""
        if one is None or told is None:
            return 0.0
        return round(self._rates.note(f"{host} {one.pid}", told.at, one.cpu) or 0.0, 2)


def busy(services: Iterable[dict[str, Any]]) -> tuple[int, int]:
    """Pool processes that run something, of all there are."""
    rows = list(services)
    return sum(bool(one["job"]) for row in rows for one in row["processes"]), sum(row["cores"] for row in rows)
