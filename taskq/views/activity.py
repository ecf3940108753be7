"""What the services are doing at this moment, as each tells about once a second: the live part of any view."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from taskq.redis import checked, keys, services
from taskq.redis.lua import Scripts


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
        host: Where it is; "": where its service is.
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
    host: str = ""


_MOST = 10_000  # processes that a service can have
_COUNTED = 2000  # microseconds for which what was counted is believed, for each service beyond a few
_DEFAULTS: dict[str, Any] = {
    one.name: None if one.default is dataclasses.MISSING else one.default
    for one in dataclasses.fields(ProcessActivity)
}


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
    told = asdict(activity)
    for one in told["processes"]:
        if not one["host"]:
            del one["host"]  # as nearly always
    pipe.hset(keys.ACTIVITY, activity.name, checked.dumps(told))


def live(connection: Any) -> list[Activity]:
    """What the services whose lease is not over say, by name."""
    alive = [info.name for info in services.live(connection)]
    if not alive:
        return []
    with connection.pipeline(transaction=False) as pipe:
        pipe.hmget(keys.ACTIVITY, alive)
        [raw] = pipe.execute(raise_on_error=False)
    return read_all(zip((name.encode() for name in alive), checked.reply(raw, [None] * len(alive)), strict=True))


def of(connection: Any, name: str) -> Activity | None:
    """What this service has said last; None: nothing."""
    with connection.pipeline(transaction=False) as pipe:
        pipe.hget(keys.ACTIVITY, name)
        [raw] = pipe.execute(raise_on_error=False)
    return next(iter(read_all([(name.encode(), checked.reply(raw, None))])), None)


def cores_on(scripts: Scripts, job_id: str) -> tuple[int, int]:
    """How many pool processes run this job now, and how many there are; as far as services tell sound things.

    Counted by the server, since a caller asks often: what a hundred services tell is a lot to send. Of many it
    was counted some moments ago: 2 ms for each beyond ``services.FEW``.
    """
    busy, found = scripts.busy([keys.LEASES, keys.ACTIVITY, keys.BUSY], [job_id, services.FEW, _COUNTED])
    return busy, found


def read_all(raw: Iterable[tuple[bytes, bytes | None]]) -> list[Activity]:
    """What the services with these names say, from the values in the hash; what no service says is left out."""
    return [activity for name, data in raw if (activity := _read(name, data))]


def _read(name: bytes, data: bytes | None) -> Activity | None:
    fields = checked.record(data)
    processes = fields.get("processes")
    if not isinstance(processes, list) or len(processes) > _MOST:
        return None
    known: dict[str, Any] = {one.name: fields.get(one.name) for one in dataclasses.fields(Activity)}
    read = tuple(_process(one) for one in processes if isinstance(one, dict))
    activity = Activity(**{**known, "processes": tuple(one for one in read if one is not None)})
    sound = (
        checked.are(checked.is_text, (activity.name, activity.host))
        and checked.are(checked.is_count, (activity.pid, activity.memory))
        and checked.are(checked.is_seconds, (activity.at, activity.cpu))
    )
    return activity if sound and activity.name.encode() == name else None


def _process(fields: dict[str, Any]) -> ProcessActivity | None:
    one = ProcessActivity(**{name: fields.get(name, default) for name, default in _DEFAULTS.items()})
    sound = (
        checked.is_count(one.lane, _MOST)
        and checked.are(checked.is_count, (one.pid, one.memory, one.deaths))
        and checked.are(checked.is_seconds, (one.started, one.cpu, one.since))
        and checked.are(checked.is_text, (one.job, one.host))
        and (one.chunk is None or checked.is_text(one.chunk))
    )
    return one if sound else None
