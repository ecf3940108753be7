"""How a reserved job id becomes something that this service runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import rq
from redis.exceptions import WatchError
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job
from rq.suspension import WORKERS_SUSPENDED

from taskq.maps import strangers
from taskq.maps.info import MapInfo, check_announcement
from taskq.redis import holdings, ids, keys
from taskq.redis.holdings import Holding
from taskq.redis.keys import MapField
from taskq.redis.kinds import MAP, is_left_over, kind_of
from taskq.views import tracing
from taskq.views.counted import counted
from taskq_workers import readable
from taskq_workers.service.core.damage import contained, is_damage, raise_others
from taskq_workers.service.core.execution import MapRun, PlainJob, Taken
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import chains, guests, kept, refusing
from taskq_workers.service.rq.job import name_of
from taskq_workers.service.upkeep import recovery, suspect

log = logging.getLogger(__name__)

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
    what the worker holds. There ``recovery`` finds it, or ``reconcile`` if only the connection broke.
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
            state.begun += 1


def _begin(state: State, wanted: list[_Wanted]) -> list[Taken]:
    taken: list[Taken] = []
    with state.connection.pipeline() as pipe:
        # A job that is cancelled between our look and the books must not be brought back to life by them; nor one
        # begun that was taken from us, for whoever does that writes to its hash.
        pipe.watch(*(Job.key_for(one.job_id) for one in wanted))
        found = list(_hold(state, wanted))
        pipe.multi()
        for one, fields in found:
            if is_left_over(fields):
                pipe.hdel(Job.key_for(one.job_id), keys.JOB_KIND)
                del fields[keys.JOB_KIND.encode()]
            job = _job(state, one.queue, one.job_id, fields)
            if job is None:
                pipe.hdel(keys.held(state.name), one.holding.key)
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
    if fields.get(b"status") == b"finished" and kind_of(fields).name == MAP:
        return None  # the id was left of an earlier map, and others have run the one that is there now
    try:
        return state.worker.job_of(job_id, fields)
    except Exception as error:  # noqa: BLE001 - the hash may hold anything, and must not stop the service
        why = f"the job's hash can't be read: {type(error).__name__}: {error}"
        readable.fail(state.connection, queue.name, job_id, why, worker=state.name)
        return None


def _started_safely(state: State, one: Taken) -> Taken:
    """As ``_started``; a map whose keys can't be worked with is one that has ended already."""
    try:
        return _started(state, one)
    except Exception as error:
        if not is_damage(error):
            raise
        store = state.store(one.job.id, kind_of(one.fields).incarnation)
        run = MapRun(one.job, one.queue, one.execution, one.fields, store=store, info=_GONE)
        run.break_off(error)
        return run


def _started(state: State, one: Taken) -> Taken:
    kind = kind_of(one.fields)
    timeout = one.job.timeout
    deadline = time.monotonic() + timeout if timeout and timeout > 0 else None
    books = (one.job, one.queue, one.execution, one.fields)
    if not kind.name:
        plain = PlainJob(*books, deaths=suspect.deaths_of(one.fields))
        parent = one.fields.get(keys.JOB_TRACE.encode(), b"").decode("utf-8", "replace")
        plain.span = tracing.begin_job(name_of(plain.job), parent, _attributes(state, plain))
        return plain
    store = state.store(one.job.id, kind.incarnation)
    if refusal := strangers.refusal(one.fields):
        return MapRun(*books, store=store, info=_GONE, closed=refusal)
    run = _become_owner(state, one, kind.incarnation)
    info = store.open(state.name, one.holding.key)
    if info is None:
        run = run or MapRun(*books, store=store, info=_GONE)
        run.closed = "gone"
        return run
    store.release_orphans()  # of workers that died while nobody owned it
    check_announcement(store.keys.id, info)
    log.info("map %s (%s): %s", store.keys.id, info.name, counted(info.items, "item"),
             extra={"action": "map_taken", "job": store.keys.id})  # fmt: skip
    run = run or MapRun(*books, store=store, info=info)
    run.deadline = deadline
    run.complete = info.complete
    run.look = info.state != "open"  # cancelled just now
    chains.begin(state, run)
    refusing.refuse_deadly(state, run)
    _trace(state, run, info)
    return run


def _trace(state: State, run: MapRun, info: MapInfo) -> None:
    """Begin the map's span; guests find its context in the map's hash."""
    run.context = info.span
    if run.span is not None:
        return
    run.span = tracing.begin_job(f"map {info.name}", info.trace, _attributes(state, run))
    if run.span is not None:
        run.context = tracing.context_of(run.span)
        state.connection.hset(run.store.keys.hash, MapField.SPAN, run.context)


def _attributes(state: State, taken: Taken) -> dict[str, str]:
    return {"taskq.job": taken.job.id, "taskq.queue": taken.queue.name, "taskq.worker": state.name}


def _become_owner(state: State, one: Taken, incarnation: str) -> MapRun | None:
    """If this service is a guest of the map that it now comes to own (its owner has died), go on with that run.

    And if it owned the map, and was given up for dead without knowing it yet, let go of the old run.
    """
    for run in list(state.maps):
        if run.store.keys.id != one.job.id:
            continue
        if run.guest and run.store.keys.incarnation == incarnation:
            state.connection.hdel(keys.held(state.name), run.holding.key)
            kept.keep(state, run)
            known = run.key
            run.job, run.queue, run.execution, run.fields = one.job, one.queue, one.execution, one.fields
            run.guest = False
            if known not in state.kept:
                state.lanes.forget(known)
            return run
        if run.guest:
            guests.leave(state, run)
        else:
            state.worker.forget(run.job, run.execution)
            state.drop(run)
        run.store.release_all(state.name)
    return None


_GONE = MapInfo("", star=False, total=0, done=0, failed=0, limit=0, state="", reason="", started=0.0)


def give_back(state: State, queue: rq.Queue, job_id: str) -> bool:
    """Put a reserved id that was not begun to the front of its queue again, unless somebody did before."""
    executions = ExecutionRegistry(job_id, state.connection).key
    lists = [queue.key, queue.intermediate_queue_key, Job.key_for(job_id), executions]
    return bool(state.scripts.give_back(lists, [job_id]))


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
        with state.connection.pipeline(transaction=False) as pipe:
            for queue in state.queues:
                pipe.lrange(queue.intermediate_queue_key, 0, -1)
            found = pipe.execute(raise_on_error=False)
        raise_others(found, "the intermediate lists")
        for queue, members in zip(state.queues, found, strict=True):
            for job_id in members if isinstance(members, list) else ():
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
