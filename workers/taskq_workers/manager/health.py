"""Whether the services of this host are well: for probes, at a command line or by HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil

from taskq.redis import admission, checked, clock, keys, services
from taskq_workers.service import version
from taskq_workers.settings import HOST


@dataclass(frozen=True)
class Health:
    """What was found. ``services``: how many of this host are well."""

    services: int
    problems: list[str]

    @property
    def healthy(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        return "\n".join(self.problems) if self.problems else f"healthy: {self.services} services"


def look(connection: Any, wanted: int) -> Health:
    """Look at this host's services; ``wanted``: how many there should be.

    Raises:
        redis.exceptions.RedisError: If Redis can't be asked.
    """
    ours = services.of_host(connection, HOST)
    with connection.pipeline(transaction=False) as pipe:
        pipe.time()
        for info in ours:
            pipe.zscore(keys.LEASES, info.name)
        told, *replies = pipe.execute(raise_on_error=False)
    now = clock.read(told)
    leases = {info.name: checked.reply(reply, 0.0) for info, reply in zip(ours, replies, strict=True)}
    problems = []
    for info in ours:
        overdue = now - leases[info.name]
        if not psutil.pid_exists(info.pid):
            problems.append(f"the service {info.name} is registered, and its process {info.pid} is not there")
        elif info.trouble:
            problems.append(f"the service {info.name} is not well: {info.trouble}")
        elif overdue > 0:
            problems.append(f"the service {info.name} has not renewed its lease, which ended {overdue:.0f} s ago")
    well = len(ours) - len(problems)
    if well < wanted:
        problems.append(f"{well} of {wanted} services of the host {HOST} are well")
    else:
        problems = []
    others = version.others(admission.strangers(connection))
    open_maps = [] if well else version.open_maps(connection)  # else workers of ours have been admitted
    return Health(well, [*problems, *others, *open_maps])
