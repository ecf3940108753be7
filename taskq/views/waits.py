"""How long the next job of each queue has waited, and what is before it: for ``taskq status`` and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import rq
from rq.job import Job
from rq.suspension import WORKERS_SUSPENDED

from taskq.redis import checked, clock, ids
from taskq.redis.services import ServiceInfo


@dataclass(frozen=True)
class Wait:
    """Of the next job of a queue.

    Args:
        seconds: For which it has waited, since it was enqueued.
        behind: What is before it, or why nothing is begun, for people.
    """

    seconds: float
    behind: str


@dataclass(frozen=True)
class Load:
    """What there is on a queue: jobs that wait, and jobs that run, maps among them."""

    waiting: int
    running: int


def read(connection: Any, loads: Mapping[str, Load], infos: Sequence[ServiceInfo]) -> dict[str, Wait]:
    """Of those queues in which jobs wait; costs two round trips if there are any, else nothing.

    Args:
        connection: To Redis.
        loads: Of all queues, by name.
        infos: The services that are alive.
    """
    names = [name for name, load in loads.items() if load.waiting]
    if not names:
        return {}
    with connection.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.exists(WORKERS_SUSPENDED)
        for name in names:
            pipe.lindex(f"{rq.Queue.redis_queue_namespace_prefix}{name}", 0)
        now, suspended, *first = pipe.execute(raise_on_error=False)
        found = [ids.read(checked.reply(one, None) or b"") for one in first]
        for job_id in found:
            pipe.hget(Job.key_for(job_id or "-"), "enqueued_at")
        moments = pipe.execute(raise_on_error=False)
    waits = {}
    for name, moment in zip(names, moments, strict=True):
        since = _moment(checked.reply(moment, b""))
        seconds = max(0.0, clock.read(now) - since) if since else 0.0
        waits[name] = Wait(seconds, _behind(name, loads, infos, suspended=bool(checked.reply(suspended, 0))))
    return waits


def _behind(name: str, loads: Mapping[str, Load], infos: Sequence[ServiceInfo], *, suspended: bool) -> str:
    serving = [info for info in infos if name in info.queues]
    if not serving:
        return "no worker serves this queue"
    if suspended:
        return "workers are suspended (rq resume)"
    if all(info.trouble for info in serving):
        return f"its workers are not well: {serving[0].trouble}"
    before = dict.fromkeys(one for info in serving for one in info.queues[: info.queues.index(name)])
    queues = [one for one in before if one in loads and (loads[one].waiting or loads[one].running)]
    said = [f"{one} ({_said(loads[one])})" for one in queues]
    if loads[name].running:
        said.append(f"{loads[name].running} running of its own")
    return ", ".join(said)


def _said(load: Load) -> str:
    parts = (f"{load.waiting} waiting" if load.waiting else "", f"{load.running} running" if load.running else "")
    return ", ".join(filter(None, parts))


def _moment(value: bytes | None) -> float:
    """RQ's UTC stamps as Unix time; 0.0 if there is none."""
    try:
        return max(0.0, datetime.fromisoformat(checked.text(value)).timestamp())
    except (ValueError, OverflowError):
        return 0.0
