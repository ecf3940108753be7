"""Takes over what a dead worker held: its claims go back to pending, its RQ jobs to the front of their queues.

Called by the manager when a service of its own has died, and by any service when a lease is over; also at the
same time. Every step may be done twice, so it does not matter if whoever recovers dies as well. A plain job goes
back with one death more; who takes it then fails it if these are too many (``suspect.py``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import rq
from redis.exceptions import WatchError
from rq import worker_registration
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE, Execution
from rq.job import Job, JobStatus
from rq.utils import utcformat
from rq.worker.base import BaseWorker

from taskq.maps.store import MapStore
from taskq.payload.sealed import SealedSerializer
from taskq.redis import ids, keys, services
from taskq.redis.kinds import HELPER, MAP, kind_of
from taskq.redis.lua import Scripts
from taskq.views import metrics
from taskq_workers import clock
from taskq_workers.service.core.damage import is_damage
from taskq_workers.service.upkeep import suspect

log = logging.getLogger(__name__)

_TRIES = 10  # if a service that is not dead begins jobs all the time; it learns of it at its next renewal
_DEAD_TTL = 60  # seconds for which RQ keeps a dead worker's record


def recover(connection: Any, name: str) -> int:
    """Return everything that the worker with this name held; it must be dead.

    Returns:
        How many jobs went back to their queues.
    """
    info = services.known(connection, name)
    returned = return_fetched(connection, name, info.queues if info else ())
    for _ in range(_TRIES):
        if _strike_off(connection, name):
            break
        members = executions_of(connection, name)
        returned += sum(return_safely(connection, name, member, died=True) for member in members)
    log.warning("took over from worker %s: %d jobs back in their queues", name, returned,
                extra={"action": "recovered", "worker": name})  # fmt: skip
    return returned


def return_fetched(connection: Any, name: str, queues: Iterable[str]) -> int:
    """Return what the server has moved for a fetcher of this worker, and did not come to begin; how many."""
    scripts, returned = Scripts(connection), 0
    for queue in (rq.Queue(one, connection=connection) for one in queues):
        key = keys.fetched(name, queue.name)
        keep_only(connection, key, b"list")
        for job_id in reversed(connection.lrange(key, 0, -1)):
            job = Job.key_for(job_id.decode("utf-8", "replace"))
            returned += scripts.give_back([queue.key, key, job], [job_id])
    return returned


def _strike_off(connection: Any, name: str) -> bool:
    """Remove a worker from all registers; False if there are executions, and then nothing was changed.

    A worker that was only stopped may wake up and begin a job at any moment. RQ's ``register_death`` would delete
    its index of executions without looking, and nobody would ever find that job.
    """
    key = BaseWorker.redis_worker_namespace_prefix + name
    worker = BaseWorker.find_by_key(key, connection, serializer=SealedSerializer)
    executions = WORKER_EXECUTIONS_KEY_TEMPLATE.format(name)
    with connection.pipeline() as pipe:
        pipe.watch(executions)
        if pipe.exists(executions):
            return False
        pipe.multi()
        services.remove(pipe, name)
        if worker is not None:
            worker_registration.unregister(worker, pipe)
            pipe.hset(key, "death", utcformat(clock.utc()))
            pipe.expire(key, _DEAD_TTL)
        try:
            removed = pipe.execute()[0]
        except WatchError:
            return False
    if removed:  # of several that take over at the same time, one counts
        connection.hincrbyfloat(keys.METRICS, metrics.field("taskq_services_lost"), 1)
    return True


def executions_of(connection: Any, name: str) -> set[str]:
    """The executions in the worker's index; what can't be one is removed."""
    key, members = WORKER_EXECUTIONS_KEY_TEMPLATE.format(name), set()
    keep_only(connection, key, b"set")
    for member in connection.smembers(key):
        if ids.of_execution(member):
            members.add(member.decode())
        else:
            connection.srem(key, member)
    return members


def keep_only(connection: Any, key: str, kind: bytes) -> None:
    """Delete what a worker can't work with; the key comes back by itself."""
    if connection.type(key) not in (kind, b"none"):
        log.error("%s was no %s, and is deleted", key, kind.decode(), extra={"action": "damage"})
        connection.delete(key)


def return_safely(connection: Any, name: str, composite_key: str, *, died: bool = False) -> bool:
    """As ``return_execution``; that of a job which can't be read is struck off, and the job left as it is."""
    try:
        return return_execution(connection, name, composite_key, died=died)
    except Exception as error:
        if not is_damage(error):
            raise
        log.error("the execution %s can't be returned: %s", composite_key, error, extra={"action": "damage"})
        execution = Execution.from_composite_key(composite_key, connection=connection)
        execution.worker_name = name
        _strike(connection, execution)
        return False


def return_execution(connection: Any, name: str, composite_key: str, *, died: bool = False) -> bool:
    """Undo one execution of a worker (that ``died``, or lets go); whether its job went back to the queue."""
    execution = Execution.from_composite_key(composite_key, connection=connection)
    execution.worker_name = name
    fields = connection.hgetall(Job.key_for(execution.job_id))
    if not fields:
        _strike(connection, execution)
        return False
    job = Job(execution.job_id, connection=connection, serializer=SealedSerializer)
    job.restore(fields)
    kind, map_id, incarnation = kind_of(fields)
    if kind:
        released = MapStore(map_id or job.id, connection, incarnation=incarnation).release_all(name)
        if died and released:
            connection.hincrbyfloat(keys.METRICS, metrics.field("taskq_chunk_reruns", "service"), released)
    started = job.get_status(refresh=False) == JobStatus.STARTED and job.worker_name == name
    with connection.pipeline() as pipe:
        # Whoever takes the execution off the worker's index puts the job back, and nobody else.
        pipe.watch(execution.worker_executions_key)
        if not pipe.sismember(execution.worker_executions_key, composite_key):
            return False
        deaths = suspect.one_more(pipe, execution.key, fields) if died and started and not kind else {}
        pipe.multi()
        execution.delete(job=job, pipeline=pipe)
        if kind == HELPER:
            pipe.delete(job.key)
        elif started:
            if deaths:
                pipe.hset(job.key, mapping=deaths)
            # It may have had its side effects already: worse to lose a job than to run it twice.
            job.set_status(JobStatus.QUEUED, pipeline=pipe)
            queue = rq.Queue(job.origin, connection=connection)
            queue.push_job_id(job.id, pipeline=pipe, at_front=True)
        try:
            pipe.execute()
        except WatchError:
            return return_execution(connection, name, composite_key, died=died)
    return started and kind in ("", MAP)


def _strike(connection: Any, execution: Execution) -> None:
    """Forget an execution whose job is gone."""
    with connection.pipeline() as pipe:
        pipe.delete(execution.key)
        pipe.srem(execution.worker_executions_key, execution.composite_key)
        pipe.execute()


def recover_prefix(connection: Any, prefix: str) -> int:
    """Recover every registered worker whose name begins so: all dead incarnations of one service."""
    found = (*connection.smembers(BaseWorker.redis_workers_keys), *connection.zrange(keys.LEASES, 0, -1))
    names = {name.decode("utf-8", "replace").rpartition(":")[2] for name in found}
    return sum(recover(connection, name) for name in names if name.startswith(prefix))
