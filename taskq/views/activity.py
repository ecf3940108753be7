"""What the services are doing at this moment, as each tells about once a second: the live part of any view."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from taskq.redis import keys, services


@dataclass(frozen=True)
class ProcessActivity:
    """One pool process.

    Args:
        lane: Its row in the service; its successor has the same.
        started: Unix time.
        memory: Resident bytes.
        cpu: Seconds of CPU it has used.
        deaths: Predecessors in the same lane that died.
        job: Id of what it runs; "" while it is idle.
        chunk: Its range, if the job is a map.
        since: Unix time at which it began with that.
    """

    lane: int
    pid: int
    started: float
    memory: int
    cpu: float
    deaths: int = 0
    job: str = ""
    chunk: str | None = None
    since: float = 0.0


@dataclass(frozen=True)
class Activity:
    """One service and its pool processes; its JSON is the value in ``taskq:activity``. ``at``: Unix time."""

    name: str
    host: str
    pid: int
    at: float
    memory: int
    cpu: float
    processes: tuple[ProcessActivity, ...] = ()

    @property
    def busy(self) -> int:
        """Pool processes that run something."""
        return sum(bool(process.job) for process in self.processes)


def tell(pipe: Any, activity: Activity) -> None:
    """Queue the command which says so; it is forgotten together with the service (``services.remove``)."""
    pipe.hset(keys.ACTIVITY, activity.name, json.dumps(asdict(activity)))


def live(connection: Any) -> list[Activity]:
    """What the services whose lease is not over say, by name."""
    alive = [info.name for info in services.live(connection)]
    raw = connection.hmget(keys.ACTIVITY, alive) if alive else []
    return [read(data) for data in raw if data is not None]


def cores_on(connection: Any, job_id: str) -> tuple[int, int]:
    """How many pool processes run this job now, and how many there are."""
    found = [process for activity in live(connection) for process in activity.processes]
    return sum(process.job == job_id for process in found), len(found)


def read(data: bytes) -> Activity:
    """What one service says, from the value in the hash."""
    fields = json.loads(data)
    return Activity(**{**fields, "processes": tuple(ProcessActivity(**one) for one in fields["processes"])})
