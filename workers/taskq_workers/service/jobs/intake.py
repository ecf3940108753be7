"""How a reserved job id becomes something that this service runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import rq
from redis.exceptions import WatchError
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job
from rq.suspension import WORKERS_SUSPENDED

from taskq.errors import ReplacedError, ResultsGoneError
from taskq.maps import strangers
from taskq.maps.info import MapInfo, check_announcement
from taskq.maps.job import HelperJob
from taskq.maps.rq_jobs import HELP_PATH
from taskq.maps.store import MapStore
from taskq.redis import holdings, ids, keys
from taskq.redis.holdings import Holding
from taskq.redis.keys import MapField
from taskq.redis.kinds import HELPER, kind_of
from taskq.views import tracing
from taskq_workers import readable
from taskq_workers.service.core.damage import contained, is_damage, raise_others
from taskq_workers.service.core.execution import MapRun, PlainJob, Taken
from taskq_workers.service.core.state import State
from taskq_workers.service.upkeep import recovery, suspect

log = logging.getLogger(__name__)

_HOLD_BACK = 0.2  # seconds which a call for help has to reach an idle service, before we take jobs ourselves again

_TRIES = 5  # to begin jobs which others change at the same time

Reserved = Iterable[tuple[rq.Queue, str]]


@dataclass(frozen=True)
class _Wanted:
    """A reserved id, and the execution that it is to be."""

    queue: rq.Queue
    job_id: str
    execution: Execution

    @property
    def holding(self) -> Holding:
        return Holding(self.job_id, self.execution.id, holdings.TAKEN, self.queue.name)


def begin(state: State, reserved: Reserved) -> None:
    """Start jobs: first we hold them, then one transaction writes RQ's books, then they are the service's own.

    A crash before leaves the id in RQ's intermediate list (see ``Stranded``); afterwards it is in the index of
    what the worker holds. There ``recovery`` finds it, or ``resolve_doubt`` if only the connection broke.
    """
    wanted = [_Wanted(queue, job_id, state.worker.new_execution(job_id)) for queue, job_id in reserved]
    for _ in range(_TRIES):
        try:
            taken = _begin(state, wanted)
            break
        except WatchError:  # somebody has just changed one of them: cancelled it, perhaps
            continue
    else:
        for each in wanted:
            recovery.return_safely(state.connection, state.name, each.holding)
        return
    for one in taken:
        started = _started_safely(state, one)
        if started not in state.taken:
            state.add(started)
            state.begun += not (isinstance(started, MapRun) and started.helper)


def _begin(state: State, wanted: list[_Wanted]) -> list[Taken]:
    taken: list[Taken] = []
    with state.connection.pipeline() as pipe:
        # A job that is cancelled between our look and the books must not be brought back to life by them; nor one
        # begun that was taken from us, for whoever does that writes to its hash.
        pipe.watch(*(Job.key_for(one.job_id) for one in wanted))
        found = list(_hold(state, wanted))
        pipe.multi()
        for one, fields in found:
            job = _job(state, one.queue, one.job_id, fields)
            if job is None or _own_helper(state, fields):
                pipe.hdel(keys.held(state.name), one.holding.key)
                if job is not None:  # the helper
                    pipe.delete(job.key)
                continue
            execution = state.worker.begin(job, one.queue, pipe, one.execution)
            taken.append(Taken(job, one.queue, execution, fields))
        try:
            raise_others(pipe.execute(raise_on_error=False), "the beginning of jobs")
        except WatchError:
            for each in taken:
                state.worker.executions.pop(each.execution.id, None)
            raise
    return taken


def _hold(state: State, wanted: list[_Wanted]) -> Iterator[tuple[_Wanted, dict[bytes, bytes]]]:
    """Those that are ours to begin, with their hashes; none of them, if RQ's workers are suspended."""
    names = [WORKERS_SUSPENDED, keys.LEASES, keys.held(state.name)]
    args = [state.name]
    for one in wanted:
        names += [one.queue.intermediate_queue_key, Job.key_for(one.job_id)]
        args += [one.job_id, one.execution.id, one.holding.value]
    reply = state.scripts.hold(names, args)
    if isinstance(reply, int):  # suspended, after we had begun to wait for a job
        state.suspended = True
        for one in wanted:
            give_back(state, one.queue, one.job_id)
        return
    for one, flat in zip(wanted, reply, strict=True):
        if flat is not None:  # else we were away so long that another service took it for stranded
            yield one, dict(zip(flat[::2], flat[1::2], strict=True))


def _job(state: State, queue: rq.Queue, job_id: str, fields: dict[bytes, bytes]) -> Job | None:
    """The job, if it can be begun."""
    if not fields:
        return None  # deleted or expired while it waited; RQ passes over these silently, too
    if fields.get(b"status") in (b"canceled", b"stopped", b"failed"):
        return None  # between our taking it and now; failed: it can't be read, and that is on record
    try:
        return state.worker.job_of(job_id, fields)
    except Exception as error:  # noqa: BLE001 - the hash may hold anything, and must not stop the service
        why = f"the job's hash can't be read: {type(error).__name__}: {error}"
        readable.fail(state.connection, queue.name, job_id, why, worker=state.name)
        return None


def _own_helper(state: State, fields: dict[bytes, bytes]) -> bool:
    """Whether this is a call for help with a map that this service works on already."""
    kind, map_id, incarnation = kind_of(fields)
    if kind != HELPER:
        return False
    for run in state.maps:
        if (run.store.keys.id, run.store.keys.incarnation) == (map_id, incarnation):
            state.connection.hdel(run.store.keys.hash, MapField.HELPER)  # nobody else was free; ask again later
            return True
    if state.leaves_alone(map_id, incarnation):
        state.connection.hdel(state.store(map_id, incarnation).keys.hash, MapField.HELPER)
        return True
    return False


def _started_safely(state: State, one: Taken) -> Taken:
    """As ``_started``; a map whose keys can't be worked with is one that has ended already."""
    try:
        return _started(state, one)
    except Exception as error:
        if not is_damage(error):
            raise
        kind, map_id, incarnation = kind_of(one.fields)
        store = state.store(map_id or one.job.id, incarnation)
        run = MapRun(one.job, one.queue, one.execution, one.fields, store=store, info=_GONE, helper=kind == HELPER)
        run.break_off(error)
        return run


def _started(state: State, one: Taken) -> Taken:
    kind, map_id, incarnation = kind_of(one.fields)
    timeout = one.job.timeout
    deadline = time.monotonic() + timeout if timeout and timeout > 0 else None
    books = (one.job, one.queue, one.execution, one.fields)
    if not kind:
        plain = PlainJob(*books, deaths=suspect.deaths_of(one.fields))
        parent = one.fields.get(keys.JOB_TRACE.encode(), b"").decode("utf-8", "replace")
        plain.span = tracing.begin_job(_name_of(plain), parent, _attributes(state, plain))
        return plain
    helper = kind == HELPER
    if not helper and (refusal := strangers.refusal(one.fields)):
        store = state.store(one.job.id, incarnation)
        return MapRun(*books, store=store, info=_GONE, helper=False, closed=refusal)
    run = None if helper else _become_owner(state, one, incarnation)
    store = state.store(map_id or one.job.id, incarnation)
    info = _info(state, store, helper=helper)
    if info is None:
        run = run or MapRun(*books, store=store, info=_GONE, helper=helper)
        run.closed = "gone"
        return run
    log.info(
        "%s %s: %d items",
        "helps with map" if helper else "map",
        store.keys.id,
        info.total,
        extra={"action": "map_taken", "job": store.keys.id},
    )
    run = run or MapRun(*books, store=store, info=info, helper=helper)
    run.deadline = None if helper else deadline
    run.complete = info.complete and not helper
    run.look = info.state != "open"  # cancelled just now
    _trace(state, run, info)
    return run


def _trace(state: State, run: MapRun, info: MapInfo) -> None:
    """Begin the map's span; those who help with it find its context in the map's hash."""
    run.context = info.span
    if run.helper or run.span is not None:
        return
    run.span = tracing.begin_job(f"map {info.name}", info.trace, _attributes(state, run))
    if run.span is not None:
        run.context = tracing.context_of(run.span)
        state.connection.hset(run.store.keys.hash, MapField.SPAN, run.context)


def _name_of(plain: PlainJob) -> str:
    """What RQ's ``func_name`` would say, without unpickling anything of the user's."""
    return (plain.job.description or "job").partition("(")[0]


def _attributes(state: State, taken: Taken) -> dict[str, str]:
    return {"taskq.job": taken.job.id, "taskq.queue": taken.queue.name, "taskq.worker": state.name}


def _become_owner(state: State, one: Taken, incarnation: str) -> MapRun | None:
    """If this service helps with the map that it now comes to own (its owner has died), go on with that run.

    And if it owned the map, and was given up for dead without knowing it yet, let go of the old run.
    """
    for run in list(state.maps):
        if run.store.keys.id != one.job.id:
            continue
        state.worker.forget(run.job, run.execution, delete=run.helper)
        if run.helper and run.store.keys.incarnation == incarnation:
            run.job, run.queue, run.execution, run.fields = one.job, one.queue, one.execution, one.fields
            run.helper = False
            return run
        state.drop(run)
        run.store.release_all(state.name)
    return None


_GONE = MapInfo("", star=False, total=0, done=0, failed=0, limit=0, state="", reason="", started=0.0)


def _info(state: State, store: MapStore, *, helper: bool) -> MapInfo | None:
    if not helper:
        if (info := store.open(state.name)) is not None:
            store.release_orphans()  # of workers that died while nobody owned it
            check_announcement(store.keys.id, info)
        return info
    state.connection.hdel(store.keys.hash, MapField.HELPER)
    try:
        return store.info()
    except (ResultsGoneError, ReplacedError):
        return None


def give_back(state: State, queue: rq.Queue, job_id: str) -> bool:
    """Put a reserved id that was not begun to the front of its queue again, unless somebody did before."""
    executions = ExecutionRegistry(job_id, state.connection).key
    lists = [queue.key, queue.intermediate_queue_key, Job.key_for(job_id), executions]
    return bool(state.scripts.give_back(lists, [job_id]))


def ask_for_help(state: State, run: MapRun) -> None:
    """Put a helper job for this map at the front of its queue; an idle service takes it.

    At most one waits at any time: whoever takes it asks for the next one if there is still too much to do.
    """
    store = run.store
    queue = rq.Queue(run.queue.name, connection=state.connection)
    with state.connection.pipeline() as pipe:
        pipe.watch(store.keys.hash)
        waiting, number = pipe.hmget(store.keys.hash, MapField.HELPER, MapField.HELPERS)
        if not pipe.exists(store.keys.hash) or (waiting and pipe.exists(Job.key_for(waiting.decode()))):
            return
        number = int(number or 0) + 1
        helper_id = f"{store.keys.id}-helper-{number}"
        job = HelperJob.create(
            HELP_PATH, args=(store.keys.id, store.keys.incarnation), connection=state.connection, id=helper_id,
            origin=queue.name, timeout=-1, result_ttl=0, failure_ttl=60, description=f"helps with {store.keys.id}",
        )  # fmt: skip
        pipe.multi()
        pipe.hset(store.keys.hash, mapping={MapField.HELPER: helper_id, MapField.HELPERS: number})
        pipe.sadd(queue.redis_queues_keys, queue.key)
        queue._enqueue_job(job, pipeline=pipe, at_front=True)  # noqa: SLF001 - enqueue_job would call multi() again
        with suppress(WatchError):  # the map was just changed; the next tick asks again
            pipe.execute()
            state.holds_back_until = time.monotonic() + _HOLD_BACK


def withdraw_helper(state: State, run: MapRun) -> None:
    """Remove the helper job that may still wait for somebody, now that the map has ended."""
    helper_id = state.connection.hget(run.store.keys.hash, MapField.HELPER)
    if helper_id:
        with state.connection.pipeline() as pipe:
            pipe.lrem(run.queue.key, 1, helper_id)
            pipe.delete(Job.key_for(helper_id.decode()))
            pipe.hdel(run.store.keys.hash, MapField.HELPER)
            pipe.execute()


class Stranded:
    """Finds ids that a service took from a queue and died before it could begin them.

    Such an id is in RQ's intermediate list and nowhere else. One that stays there for seconds, and that this
    service does not hold, is put back at the front; removing it decides who may do that.
    """

    AFTER = 3.0  # seconds

    def __init__(self) -> None:
        self._since: dict[tuple[str, bytes], float] = {}

    def look(self, state: State, held: set[str]) -> None:
        """To be called about once a second."""
        now = time.monotonic()
        since: dict[tuple[str, bytes], float] = {}
        for queue in state.queues:
            for job_id in state.connection.lrange(queue.intermediate_queue_key, 0, -1):
                first = since[queue.name, job_id] = self._since.get((queue.name, job_id), now)
                if now - first >= self.AFTER and job_id.decode("ascii", "replace") not in held:
                    self._put_back(state, queue, job_id)
        self._since = since

    @staticmethod
    def _put_back(state: State, queue: rq.Queue, raw: bytes) -> None:
        job_id, back = ids.read(raw), None
        if job_id is not None:
            with contained(f"job {job_id}"):
                back = give_back(state, queue, job_id)
        if back:
            log.warning("job %s was stranded, back to the front", job_id, extra={"action": "stranded"})
        if back is None:  # no id of a job, or none of which anything can be done: it would be stranded for ever
            state.connection.lrem(queue.intermediate_queue_key, 1, raw)
