"""Open maps of others: found in the registers of our queues, joined when it is their turn, and left again.

Each queue has a register of its open maps. A service looks there once a second, when a message says that there is
something, and when a process has nothing to do. What is pending of a map that it does not own it offers to the
policy as all else; when it is such a map's turn, the service joins: it becomes a *guest*, which claims and commits
chunks as the owner does, and has nothing to do with the map's RQ job. An entry among what it holds says so, for
whoever may have to take over from it. It leaves when nothing is pending any more.

Who is idle and finds nothing pending, though others hold chunks, says so, unless another just has; they give back
what they have not begun.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from rq.executions import Execution
from rq.job import Job
from rq.suspension import WORKERS_SUSPENDED

from taskq.errors import TaskqError
from taskq.maps import strangers
from taskq.maps.info import HEAVIEST, LIGHTEST
from taskq.redis import checked, holdings, ids, keys, services
from taskq.redis.keys import MapKeys
from taskq.redis.kinds import MAP, kind_of
from taskq.redis.patience import says_damage
from taskq_workers.service.core.damage import contained
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.core.state import OpenMap, State
from taskq_workers.service.jobs import kept, offers, quarantine, refusing
from taskq_workers.service.rq import prefixes

log = logging.getLogger(__name__)

SHARES = 0.1  # seconds for which nothing is claimed ahead, after somebody had nothing to do
STAYS = 2.0  # seconds for which a guest stays that gets nothing to run
_BEFORE, _AFTER = MapKeys("|").hash.split("|")


def look(state: State) -> None:
    """See what is open in the queues, and what of it is pending; and whether RQ's workers are suspended."""
    names = [queue.name for queue in state.queues]
    most = state.fleet.maps
    args = [keys.OPEN, _BEFORE, _AFTER, prefixes.QUEUE, most, state.looks * most, state.name, *names]
    state.looks += 1
    found: dict[tuple[str, str], OpenMap] = {}
    jobs: dict[str, int] = {}
    suspended, *queues = state.scripts.look([WORKERS_SUSPENDED], args)
    state.suspended = bool(suspended)
    for number, waiting, *maps in queues:
        if waiting:
            jobs[names[number]] = waiting
        for raw in maps:
            one = _read(names[number], *raw)
            if one is not None:
                found[one.id, one.incarnation] = one
    own = state.runs
    for source in [source for source in state.open if source not in found and source not in own]:
        state.policy.forget(source)
    kept.look(state, found)
    state.open, state.jobs_waiting = found, jobs
    state.stragglers = [one for one in found.values() if one.copies_at < math.inf]
    for source, run in own.items():
        if source in found:
            run.pending, run.resumes = found[source].pending, found[source].resumes
            run.heard = time.monotonic()
    state.look_over()


def _read(
    queue: str, raw_id: bytes, incarnation: bytes, weight: bytes, pending: int, claimed: int, wait: bytes,
    second: bytes,
) -> OpenMap | None:  # fmt: skip
    map_id = ids.read(raw_id)
    if map_id is None or not incarnation:
        return None
    share = checked.seconds(weight) or 1.0
    share = min(HEAVIEST, max(LIGHTEST, share))
    now = time.monotonic()
    resumes = now + float(wait) if wait and not pending else None
    copies_at = now + float(second) if second else math.inf
    told = incarnation.decode("ascii", "replace")
    return OpenMap(map_id, told, queue, pending, claimed, share, resumes, copies_at)


def join(state: State) -> None:
    """Become a guest of those maps whose turn it is."""
    if (
        state.stopping
        or state.suspended
        or state.lanes.trouble
        or quarantine.is_secluded(state)
        or not any(state.others)
    ):
        return
    room = len(state.lanes.idle) or 1
    for offer, _ in zip(offers.upcoming(state, offers.known(state)), range(room), strict=False):
        one = state.open.get(offer.source) if isinstance(offer.source, tuple) else None
        if one is not None and (one.id, one.incarnation) not in state.runs:
            join_map(state, one)


def join_map(state: State, one: OpenMap) -> None:
    """Become a guest of this map, or remember that this can't be."""
    with contained(f"the map {one.id}"):
        run = _guest(state, one)
        if run is not None:
            state.add(run)
            refusing.refuse_deadly(state, run)
            state.worker.helps()
            log.info("works on map %s", one.id, extra={"action": "map_joined", "job": one.id})
            return
    state.open.pop((one.id, one.incarnation), None)
    state.note_refusal(one.id, one.incarnation)  # or the next look would bring it back, and so on


def _guest(state: State, one: OpenMap) -> MapRun | None:
    store = state.store(one.id, one.incarnation)
    execution = Execution(f"{holdings.GUEST}-{one.incarnation}", one.id, state.connection, state.name)
    fields: dict[bytes, bytes] = state.connection.hgetall(Job.key_for(one.id))
    kind = kind_of(fields)
    if kind.name != MAP or kind.incarnation != one.incarnation or strangers.refusal(fields):
        return None
    try:
        info = store.info()
        job = state.worker.job_of(one.id, fields)
    except TaskqError as error:
        log.warning("can't work on map %s: %s", one.id, error, extra={"action": "not_joined", "job": one.id})
        return None
    queue = next(queue for queue in state.queues if queue.name == one.queue)
    run = MapRun(job, queue, execution, fields, store=store, info=info, guest=True, pending=one.pending)
    run.context, run.looked = info.span, time.monotonic()
    run.remembers = state.kept.pop(run.key, None) is not None
    with state.connection.pipeline() as pipe:  # first of all, so that whoever takes over from us knows of it
        pipe.hset(keys.held(state.name), run.holding.key, run.holding.value)
        services.note_work(pipe, state.name)
        pipe.execute()
    return run


def leave(state: State, run: MapRun) -> None:
    """Be no guest any more; what is claimed has been committed or given back."""
    state.connection.hdel(keys.held(state.name), run.holding.key)
    if (one := state.open.get(run.source)) is not None:
        # As known, until it is looked at: who seems to want nothing for a moment loses its place in the line.
        one.pending = 0 if run.complete else run.pending
    if not (run.complete or run.closed):
        kept.keep(state, run)
    state.drop(run)


def is_over(run: MapRun) -> bool:
    """Whether a guest has nothing to do here any more."""
    idle = time.monotonic() - run.looked > STAYS
    left = run.in_hand or run.wounded or run.unsaid
    rests = not run.pending and run.resumes is None
    return not left and (run.complete or rests or run.refused != "" or idle)


def call(state: State) -> None:
    """Say that a process has nothing to do, if others may have something."""
    held = {run.source: len(run.held) for run in state.active}
    for source, one in state.open.items():
        if one.claimed > held.get(source, 0) and not state.leaves_alone(*source):
            args = [keys.NOTES, keys.note(keys.IDLE, one.id), round(state.fleet.call * 1000)]
            state.scripts.idle([keys.CALLED], args)
            return


def share(state: State) -> None:
    """A process elsewhere has nothing to do: what is not begun here goes back, unless it is begun now."""
    if not state.lanes.idle and any(run.ready or len(run.flying) > state.lanes.size for run in state.active):
        state.shares_until = time.monotonic() + SHARES


def say_work(pipe: Any, run: MapRun) -> None:
    """Queue the message that chunks of this map are pending, for those who have nothing to do."""
    pipe.publish(keys.NOTES, keys.note(keys.WORK, run.store.keys.id))


def register(state: State) -> None:
    """See that the maps which this service owns are in the register: it may have been lost with the server."""
    owned = [run for run in state.maps if not (run.guest or run.closed or run.complete)]
    if not owned:
        return
    with state.connection.pipeline(transaction=False) as pipe:
        for run in owned:
            pipe.zadd(keys.OPEN + run.queue.name, {run.store.keys.id: run.info.started}, nx=True)
        replies = pipe.execute(raise_on_error=False)
    for run, reply in zip(owned, replies, strict=True):
        if says_damage(reply):
            state.connection.delete(keys.OPEN + run.queue.name)  # it comes back with the next look
