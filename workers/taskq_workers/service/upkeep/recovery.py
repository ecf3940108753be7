"""Takes over what a dead worker held: its claims go back to pending, its RQ jobs to the front of their queues.

Called by the manager when a service of its own has died, and by any service when a lease is over; also at the
same time. Every step may be done twice, so it does not matter if whoever recovers dies as well. What ran when the
worker died goes back with one death more: the flight record tells (``evidence.py``), or else all may have run. Who
takes it then fails it if these are too many (``suspect.py``, ``quarantine.py``).

What there is to take over, the index of what it held says (``holdings.py``), and nothing is taken over twice:
whoever removes an entry from there puts the job back. No worker is struck off while there is an entry.
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

from taskq.maps.claim import Claim
from taskq.maps.deaths import after_service, settled, total
from taskq.maps.deaths import services as services_of
from taskq.maps.store import MapStore
from taskq.payload.sealed import SealedSerializer
from taskq.redis import holdings, keys, lives, services
from taskq.redis.holdings import Holding
from taskq.redis.kinds import kind_of
from taskq.redis.lua import Scripts
from taskq.views import metrics
from taskq_workers import clock
from taskq_workers.service.core.damage import contained, is_damage
from taskq_workers.service.core.execution import has_last_chance
from taskq_workers.service.upkeep import lost_runs, suspect
from taskq_workers.service.upkeep.evidence import INITIALIZER, LOST, Evidence, Trace, read_trace
from taskq_workers.settings import MAX_SPARED

log = logging.getLogger(__name__)

_TRIES = 10  # if a service that is not dead begins jobs all the time; it learns of it at its next renewal
_DEAD_TTL = 60  # seconds for which RQ keeps a dead worker's record


def concerns(connection: Any, name: str, queues: Iterable[str]) -> bool:
    """Whether who serves these queues is to take over from this worker.

    That is for those who serve a queue of its own: what it held is work of these queues. Its lease stays, and says
    that it is over, and what it held stays with it, until somebody serves one of them; before, nobody would run it
    anyway. Of a worker that holds nothing there is only the name to strike off, and of one that is not registered
    nobody knows whose it was: these are anybody's.
    """
    info = services.known(connection, name)
    return info is None or not set(info.queues).isdisjoint(queues) or not connection.exists(keys.held(name))


def recover(connection: Any, name: str, evidence: Evidence = LOST) -> int:
    """Return everything that the worker with this name held; it must be dead.

    Args:
        connection: To Redis.
        name: The worker's.
        evidence: What is known of its death.

    Returns:
        How many jobs went back to their queues.
    """
    info = services.known(connection, name)
    returned = return_fetched(connection, name, info.queues if info else _all_queues(connection))
    returned += hand_back(connection, name, died=evidence)
    log.warning("took over from worker %s: %d jobs back in their queues", name, returned,
                extra={"action": "recovered", "worker": name})  # fmt: skip
    return returned


def hand_back(connection: Any, name: str, *, died: Evidence | None = None) -> int:
    """Return what a worker (that ``died``, or leaves) holds, and strike it off; how many jobs went back."""
    returned = 0
    for _ in range(_TRIES):
        if _strike_off(connection, name, died=died is not None):
            break
        for one in holdings.read(connection, name).values():
            returned += return_safely(connection, name, one, died=died)
    return returned


def return_fetched(connection: Any, name: str, queues: Iterable[str]) -> int:
    """Return what the server has moved for a fetcher of this worker, and did not come to begin; how many."""
    scripts, returned = Scripts(connection), 0
    for queue in (rq.Queue(one, connection=connection) for one in queues):
        key = keys.fetched(name, queue.name)
        holdings.keep_only(connection, key, "list")
        for job_id in reversed(connection.lrange(key, 0, -1)):
            job = Job.key_for(job_id.decode("utf-8", "replace"))
            returned += scripts.give_back([queue.key, key, job], [job_id])
    return returned


def _all_queues(connection: Any) -> list[str]:
    """What a worker that has told nothing of itself may have served."""
    holdings.keep_only(connection, rq.Queue.redis_queues_keys, "set")
    prefix = rq.Queue.redis_queue_namespace_prefix
    found = (key.decode("utf-8", "replace") for key in connection.smembers(rq.Queue.redis_queues_keys))
    return [key.removeprefix(prefix) for key in found if key.startswith(prefix)]


def _strike_off(connection: Any, name: str, *, died: bool) -> bool:
    """Remove a worker from all registers; False if it holds anything, and then nothing was changed.

    A worker that was only stopped may wake up and take a job at any moment. RQ's ``register_death`` would not
    look, and nobody would ever find that job. And it goes by the worker's own record, which may have expired, or
    begun anew by a late heartbeat, that says nothing of its queues.
    """
    key, held = BaseWorker.redis_worker_namespace_prefix + name, keys.held(name)
    holdings.keep_only(connection, key, "hash")
    known = bool(connection.exists(key))
    info = services.known(connection, name)
    queues = info.queues if info else _all_queues(connection)
    with connection.pipeline() as pipe:
        pipe.watch(held)
        if pipe.exists(held):
            return False
        pipe.multi()
        services.remove(pipe, name, info.host if info else "")
        pipe.delete(WORKER_EXECUTIONS_KEY_TEMPLATE.format(name))
        pipe.srem(worker_registration.REDIS_WORKER_KEYS, key)
        for queue in queues:
            pipe.srem(worker_registration.WORKERS_BY_QUEUE_KEY % queue, key)
        if known:
            pipe.hset(key, "death", utcformat(clock.utc()))
            pipe.expire(key, _DEAD_TTL)
        try:
            removed = pipe.execute()[0]
        except WatchError:
            return False
    if removed and died:  # of several that take over at the same time, one counts
        connection.hincrbyfloat(keys.METRICS, metrics.field("taskq_services_lost"), 1)
    return True


def return_safely(connection: Any, name: str, holding: Holding, *, died: Evidence | None = None) -> bool:
    """As ``return_job``; what can't be returned is struck off, and the job left as it is."""
    try:
        return return_job(connection, name, holding, died=died)
    except Exception as error:
        if not is_damage(error):
            raise
        log.error("the job %s can't be returned: %s", holding.job_id, error, extra={"action": "damage"})
        with connection.pipeline() as pipe:
            _take_off(pipe, name, holding)
            pipe.execute()
        return False


def return_job(connection: Any, name: str, holding: Holding, *, died: Evidence | None = None) -> bool:
    """Take a job off a worker that ``died``, or lets go of it; whether it went back to its queue."""
    with connection.pipeline() as pipe:
        while True:
            try:
                return _return_job(connection, pipe, name, holding, died=died)
            except WatchError:  # the job, or what the worker holds, has just changed
                continue


def _return_job(connection: Any, pipe: Any, name: str, holding: Holding, *, died: Evidence | None) -> bool:
    pipe.watch(keys.held(name), Job.key_for(holding.job_id))
    # Whoever takes the entry off puts the job back, and nobody else. It is looked at here and now: a worker that
    # only slept may have begun, since the index was read, what it had just taken.
    now = holdings.as_it_is(pipe, name, holding)
    if now is None:
        return False
    holding = now
    fields = pipe.hgetall(Job.key_for(holding.job_id))
    kind, incarnation = kind_of(fields)
    guest = holding.guest_of
    if kind or guest:
        meant = guest or incarnation
        released = _release(MapStore(holding.job_id, connection, incarnation=meant), name, died)
        if died and released:
            connection.hincrbyfloat(keys.METRICS, metrics.field("taskq_chunk_reruns", "service"), released)
    goes_back = bool(fields) and not guest and _is_unfinished(pipe, name, holding, fields)
    begun = holding.stage != holdings.TAKEN
    deaths = suspect.one_more(holding, fields, died) if goes_back and begun and died else {}
    pipe.multi()
    _take_off(pipe, name, holding)
    if goes_back:
        job = Job(holding.job_id, connection=connection, serializer=SealedSerializer)
        # It may have had its side effects already: worse to lose a job than to run it twice. And who is about to
        # begin it, while we take it for dead, sees that this was written.
        job.set_status(JobStatus.QUEUED, pipeline=pipe)
        if deaths:
            pipe.hset(job.key, mapping=deaths)
        queue = rq.Queue(fields.get(b"origin", b"").decode() or holding.queue, connection=connection)
        queue.push_job_id(job.id, pipeline=pipe, at_front=True)
    pipe.execute()
    return goes_back


def _release(store: MapStore, name: str, died: Evidence | None) -> int:
    """Give back the claims of a worker on a map, those that ran when it died with one death more."""
    if died is None:
        return store.release_all(name)
    incarnation, traces, held = store.known.incarnation, {}, []
    seen: set[str] = set()  # ranges: one may run twice in the same service, whose death is one

    def noted(claim: Claim) -> int:
        name = str(claim.range)
        if name in seen:
            return settled(claim.deaths)
        seen.add(name)
        held.append(claim)
        ran, spared = died.ran_chunk(incarnation, name), 0
        if ran and has_last_chance(total(claim.deaths)) and not died.ran_alone(incarnation, name):
            spared = 1 + read_trace(store.connection.hget(store.keys.deaths, name)).spared
        number = after_service(claim.deaths, ran, spared=0 < spared <= MAX_SPARED)
        if ran or services_of(number) > services_of(claim.deaths):
            item, seconds = died.item_of(incarnation, name), died.seconds_of(incarnation, name)
            traces[name] = Trace(str(died), item, seconds=seconds, spared=spared).to_json()
        return number

    released = store.release_all(name, noted)
    if died.ran_initializer(incarnation):
        with contained(f"the deaths with the initializer of the map {store.keys.id}"):
            before = read_trace(store.connection.hget(store.keys.deaths, INITIALIZER))
            beside = not died.initialized_alone(incarnation)
            traces[INITIALIZER] = Trace(
                str(died), None, before.times + (not beside), spared=before.spared + beside
            ).to_json()
    if traces:
        with contained(f"the causes of deaths with the map {store.keys.id}"):
            store.note_traces(traces)
    if held:
        with contained(f"the timeline of the map {store.keys.id}"):
            lost_runs.note(store, name, held, died)
    return released


def _is_unfinished(pipe: Any, name: str, holding: Holding, fields: dict[bytes, bytes]) -> bool:
    """Whether nobody has ended the job since this worker had it, and nobody else has it."""
    status = fields.get(b"status")
    if holding.stage == holdings.TAKEN:
        as_left = status == b"queued"
    else:
        as_left = status == b"started" and fields.get(b"worker_name") == name.encode()
    if as_left:
        return True
    return not (lives.is_over(pipe, holding.job_id, status) or lives.is_elsewhere(pipe, holding.key))


def _take_off(pipe: Any, name: str, holding: Holding) -> None:
    """Queue the commands by which a worker does not hold this any more, with all that mirrors it."""
    pipe.hdel(keys.held(name), holding.key)
    execution = Execution(holding.execution_id, holding.job_id, pipe, name)
    job = Job(holding.job_id, connection=pipe, serializer=SealedSerializer)
    job.origin = holding.queue
    execution.delete(job=job, pipeline=pipe)


def recover_prefix(connection: Any, prefix: str, evidence: Evidence = LOST) -> int:
    """Recover every registered worker whose name begins so: all dead incarnations of one service."""
    found = (*connection.smembers(BaseWorker.redis_workers_keys), *connection.zrange(keys.LEASES, 0, -1))
    names = {name.decode("utf-8", "replace").rpartition(":")[2] for name in found}
    return sum(recover(connection, name, evidence) for name in names if name.startswith(prefix))
