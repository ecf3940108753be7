"""Maps that this service can't run: a module is missing here, its Python is another, its build is.

The range goes back as if nobody had claimed it, the refusal is noted where people and the owner see it, and this
service leaves the map alone, for a while: what is missing may be installed meanwhile. An owner that refuses still
owns; others do the work. It fails the map when every live service of its queue has refused it, and none has come
for a while that might do better.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Sequence

from taskq.maps import refusal
from taskq.maps.claim import Claim
from taskq.maps.refusal import Refusal
from taskq.redis import services
from taskq.redis.keys import MapKeys
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import closing
from taskq_workers.service.upkeep.evidence import INITIALIZER, read_trace
from taskq_workers.settings import HOST, MAX_DEATHS, MAX_SPARED

log = logging.getLogger(__name__)

_LOOK = 0.5  # seconds between two looks at who else has refused


def refuse(state: State, run: MapRun, why: str, claims: Sequence[Claim] = ()) -> None:
    """Let go of all that is not running of this map, and of these claims, for this service can't run it."""
    if not run.refused:
        log.warning("can't run the map %s, and leaves it to others: %s", run.store.keys.id, why,
                    extra={"action": "refused_map", "job": run.store.keys.id})  # fmt: skip
        run.unsaid = Refusal(state.name, HOST, platform.python_version(), why)
    run.refused = run.refused or why
    run.hand_back([*claims, *run.ready, *run.last])
    run.ready.clear()
    run.last.clear()  # nothing is to come to rest for it here
    state.note_refusal(run.store.keys.id, run.store.keys.incarnation)


def hear(state: State) -> None:
    """Try what was refused here again, if somebody has the map tried again: then no refusal stands there any more.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached.
    """
    sources = [source for source in state.told if source in state.open and state.leaves_alone(*source)]
    if not sources:
        return
    with state.connection.pipeline(transaction=False) as pipe:
        for map_id, _incarnation in sources:
            pipe.hexists(MapKeys(map_id).refusals, state.name)
        replies = pipe.execute(raise_on_error=False)
    for source, there in zip(sources, replies, strict=True):
        if there == 0:
            state.forget_refusal(source)


def refuse_deadly(state: State, run: MapRun) -> None:
    """Refuse a map that this service has just got, if services have died in its initializer, and one too many.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached.
    """
    if not (name := run.info.terms.initializer):
        return
    trace = read_trace(state.connection.hget(run.store.keys.deaths, INITIALIZER))
    if trace.times >= MAX_DEATHS or trace.spared >= MAX_SPARED:  # of these each beside others that ran
        times = trace.times + trace.spared
        why = f"{refusal.INITIALIZER}{name} has taken {times} services down, the last one by {trace.cause}"
        refuse(state, run, why)


def look(state: State, run: MapRun) -> None:
    """In its owner: fail a map which nobody can run.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached.
    """
    now = time.monotonic()
    if not run.refused or run.unsaid or run.guest or run.closed or run.complete or now < run.refusals_at:
        return
    run.refusals_at = now + _LOOK
    refusals = run.store.refusals()
    if any(info.name not in refusals for info in services.live(state.connection, run.queue.name)):
        run.nobody_since = None
        return
    run.nobody_since = now if run.nobody_since is None else run.nobody_since
    if now - run.nobody_since >= state.settings.refusal_grace:
        closing.fail_map(run, refusal.reason(refusals))
