"""What each worker holds: the jobs that it has taken from a queue, and whose end is not on record.

This index says who owns what; RQ's executions, heartbeats and registries are a mirror of it, and expire while the
server, or the worker, is away. An entry here does not. It comes with the script or transaction that takes a job,
and it goes with the one that records the job's end, lets go of it, or recovers it from the dead: whoever takes it
off has the right to say what becomes of the job, and nobody else.

Whoever holds something has an entry in ``taskq:leases``, so that somebody looks after it: the scripts that take a
job see to that.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from taskq.redis import checked, clock, ids, keys

log = logging.getLogger(__name__)

TAKEN = "taken"
"""It is off its queue; of RQ's books nothing is written yet."""
BEGUN = "begun"
"""RQ's books say that it has started."""
GIVEN = "given"
"""A pool process has been given it; noted of suspects only, see ``suspect.py``."""

GUEST = "guest"
"""What begins an entry's execution id if the worker has not got the map's job, but a place in its work."""

STAGES = (TAKEN, BEGUN, GIVEN)

_VOUCHED = 120  # seconds; until then its owner beats for it again, or somebody takes over


@dataclass(frozen=True)
class Holding:
    """One entry."""

    job_id: str
    execution_id: str
    stage: str
    queue: str

    @property
    def key(self) -> str:
        """RQ's word for the execution: job id and execution id."""
        return f"{self.job_id}:{self.execution_id}"

    @property
    def guest_of(self) -> str:
        """The incarnation of the map of which a worker runs chunks without being its owner; "" if it is a job."""
        prefix, _, incarnation = self.execution_id.partition("-")
        return incarnation if prefix == GUEST else ""

    @property
    def value(self) -> str:
        return f"{self.stage} {self.queue}"


def read(connection: Any, worker: str) -> dict[str, Holding]:
    """What this worker holds, by ``Holding.key``; what is no entry is removed."""
    key, found = keys.held(worker), {}
    keep_only(connection, key, "hash")
    for field, value in connection.hgetall(key).items():
        one = _read(field, value)
        if one is None:
            log.error("%r in %s is no entry, and is deleted", field, key, extra={"action": "damage"})
            connection.hdel(key, field)
        else:
            found[one.key] = one
    return found


def as_it_is(pipe: Any, worker: str, holding: Holding) -> Holding | None:
    """The entry as it stands there now, which may have come a stage further; None: it is not held any more."""
    value = pipe.hget(keys.held(worker), holding.key)
    return None if value is None else _read(holding.key.encode(), value) or holding


def vouch(connection: Any, registry: str, queue: str) -> None:
    """Let no entry of RQ's registry of running jobs count as abandoned while a worker of ours holds it.

    Args:
        connection: To Redis.
        registry: The registry's key.
        queue: Its queue's name.
    """
    with connection.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.zrange(keys.LEASES, 0, -1)
        time, workers = pipe.execute()
        for worker in workers:
            pipe.hgetall(keys.held(worker.decode("utf-8", "replace")))
        found = pipe.execute(raise_on_error=False)
    until = clock.read(time) + _VOUCHED
    entries = (entry for reply in found if isinstance(reply, dict) for entry in reply.items())
    held = [one.key for entry in entries if (one := _read(*entry)) and one.queue == queue]
    if held:
        # Only what is in there: the others' owners make it anew, or it has ended in this moment.
        connection.zadd(registry, dict.fromkeys(held, until), xx=True, gt=True)


def keep_only(connection: Any, key: str, kind: str) -> None:
    """Delete what a worker can't work with; the key comes back by itself."""
    if not checked.is_a(connection, key, kind):
        log.error("%s was no %s, and is deleted", key, kind, extra={"action": "damage"})
        connection.delete(key)


def _read(field: bytes, value: bytes) -> Holding | None:
    try:
        job_id, _colon, execution_id = field.decode().partition(":")
        stage, space, queue = value.decode().partition(" ")
    except UnicodeDecodeError:
        return None
    sound = space and stage in STAGES and ids.of_execution(field)
    return Holding(job_id, execution_id, stage, queue) if sound else None
