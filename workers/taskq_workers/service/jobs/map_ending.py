"""How a map ends here: finished, failed, or dropped because its end is not ours to say.

Each function may be called again if Redis went away in its middle.
"""

from __future__ import annotations

import logging

from rq.defaults import DEFAULT_FAILURE_TTL

from taskq.errors import ReplacedError, ResultsGoneError
from taskq.maps import follow, orphans
from taskq.maps.info import MapInfo
from taskq.maps.options import MAP_RESULT_TTL
from taskq.maps.proof import Proof
from taskq.maps.rq_jobs import failure_text
from taskq.payload.outcome import summary
from taskq.redis import lives, refusals
from taskq.redis.kinds import RUN_MAP
from taskq_workers import clock, readable
from taskq_workers.link.tasks import CallbackTask, StoppedTask
from taskq_workers.service.core.damage import contained, is_damage
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import guests
from taskq_workers.service.upkeep import mirror, suspect

log = logging.getLogger(__name__)

_MOMENT = 60  # seconds: how long keys last that are deleted in a moment


def end(state: State, run: MapRun) -> None:
    """End a map whose last chunk is committed, or which was closed; callbacks of the user's go first."""
    if run.closed not in ("", "closed", "gone"):
        run.store.close(run.closed)  # a refusal: nobody else need try
        refusals.count(state.connection, run.refusal)
        run.refusal = ""  # counted
    if run.guest:
        guests.leave(state, run)
        return
    if run.closed:
        _end_closed(state, run)
        return
    run.proof = run.proof or Proof(run.store, discards=run.info.terms.discards)
    try:
        if not _is_sealed(run):
            return  # it is tried again
        info = run.proof.step()
    except (ResultsGoneError, ReplacedError):
        run.closed = "gone"  # deleted at its end, or replaced; the next turn says so to RQ
        return
    if info is None:
        return  # the dispatcher comes back
    run.proof = None
    if not info.complete:
        # Redis has died since and come back as it was some moments before (appendfsync everysec): it goes on.
        run.complete, state.unsure = False, True
        return
    error = failure_text(run.store, info) if info.failed and not info.enough else None
    _end_owned(state, run, info, error)


def _is_sealed(run: MapRun) -> bool:
    """Whether it is known how many items it has; of an open map with all results that it wants, this says it."""
    if not (run.info.terms.first and run.info.terms.orphan):
        return True
    info = run.store.info()
    return info.sealed or not info.enough or orphans.seal(run.store, info)


def _end_closed(state: State, run: MapRun) -> None:
    error = _why_closed(state, run)
    if error is None:
        state.worker.forget(run.job, run.execution)
        state.drop(run)
    elif run.closed in ("closed", "gone") and _is_open(run):
        # Redis has died since, and come back as it was before that: it goes on.
        run.closed, run.look, state.unsure = "", True, True
    else:
        _end_owned(state, run, None, error)


def _end_owned(state: State, run: MapRun, info: MapInfo | None, error: str | None) -> None:
    run.summary = run.summary or (_summary(info) if info else None)
    if run.called is None and _wants_callback(run, error):
        run.called = suspect.given_up(run)
    if run.called is None and _wants_callback(run, error):
        if run.stopped:
            run.callback = StoppedTask(run.job.id, run.fields, state.name, float(run.began))
        else:
            run.callback = CallbackTask(
                run.job.id, run.fields, state.name, run.summary, error, run.info.item_timeout
            )
        return  # the dispatcher runs it, and comes back
    reason = ""
    if run.called is not None and run.called.error is not None and not run.stopped:
        error = run.called.error
        reason = f"its callback failed: {error.strip().splitlines()[-1].strip()}"
        refusals.count(state.connection, run.called.refusal)
    if not (state.worker.holds(run.execution) or mirror.is_held(state, run)):
        run.store.tell_end()  # its end is on record: only the reply was lost; or it is somebody else's by now
        state.drop(run)
        return
    if not run.closed:
        run.store.close(reason, whole=True)
    run.job._func_name = RUN_MAP  # noqa: SLF001 - for webhooks; RQ would read the same from the pickle
    again = error is not None and run.job.should_retry and not run.stopped
    ttl = -1 if again else _ttl(run, failed=error is not None)
    if not again:
        # Before RQ's own record, so that a crash between the two leaves nothing for ever: whoever gets the job
        # then opens the map again, and that takes the time limit off.
        run.store.expire(ttl or _MOMENT)
    run.job.meta = {}  # not written then: items and callbacks may have stored theirs, each in its own process
    if error is None:
        if run.info.terms.follows is not None:  # it may have ended before its owner has looked once
            follow.let_go(run.store, run.info.terms.follows)
        recorded = state.worker.succeed(run.job, run.queue, run.execution, run.summary)
    else:
        recorded = state.worker.fail(*run.rq, error, stopped=run.stopped, told=run.told)
    run.store.tell_end(delete=recorded and not ttl)
    failed = "stopped" if run.stopped else "retried" if again else "failed"
    state.ended(run, "finished" if error is None else failed, error)
    state.drop(run)
    log.info("map %s (%s) ended: %s", run.job.id, run.info.name, "failed" if error else "finished",
             extra={"action": "map_ended", "job": run.job.id})  # fmt: skip


def _summary(info: MapInfo) -> dict[str, object]:
    return summary(info.done, info.failed, info.total, clock.SERVER.now() - info.started)


def _wants_callback(run: MapRun, error: str | None) -> bool:
    job = run.job
    if run.stopped:
        return bool(job._stopped_callback_name)  # noqa: SLF001 - the callback itself would be imported
    return bool(job._success_callback_name if error is None else job._failure_callback_name)  # noqa: SLF001


def _ttl(run: MapRun, *, failed: bool) -> int:
    if failed:
        return DEFAULT_FAILURE_TTL if run.job.failure_ttl is None else run.job.failure_ttl
    return int(run.job.get_result_ttl(MAP_RESULT_TTL))


def _why_closed(state: State, run: MapRun) -> str | None:
    """Why a closed map failed; None if it is not ours to say: somebody wanted the end, or owns the map now."""
    status, worker, made = state.connection.hmget(run.job.key, "status", "worker_name", "created_at")
    key, before = run.execution.composite_key, run.fields.get(b"created_at", b"")
    over = lives.is_over(state.connection, run.job.id, status)
    if over or lives.is_another(state.connection, key, before, made):
        return None
    as_begun = status == b"started" and worker == state.name.encode()
    if not as_begun and lives.is_elsewhere(state.connection, key):
        return None
    if run.closed not in ("closed", "gone"):
        return run.closed
    try:
        return run.store.info().reason or "the map was closed by another worker"
    except (ResultsGoneError, ReplacedError):
        return f"the map {run.job.id} has no keys in Redis: they were deleted, evicted or have expired"


def _is_open(run: MapRun) -> bool:
    try:
        return run.store.info().state == "open"
    except (ResultsGoneError, ReplacedError):
        return False


def end_safely(state: State, run: MapRun) -> None:
    """As ``end``; what goes wrong with this map, whatever it is, does not stop the service."""
    try:
        end(state, run)
    except Exception as error:
        if not is_damage(error):
            raise
        run.break_off(error)
        log.error("map %s can't be ended: %s", run.job.id, error, extra={"action": "bad_end", "job": run.job.id})
        _end_damaged(state, run)
        state.drop(run)


def _end_damaged(state: State, run: MapRun) -> None:
    """Whatever can still be done about a map whose keys, or whose job's, are broken."""
    what = f"the end of map {run.job.id}"
    with contained(what):
        if run.guest:
            guests.leave(state, run)
        elif _why_closed(state, run) is None:
            state.worker.forget(run.job, run.execution)
        else:
            try:
                state.worker.fail(run.job, run.queue, run.execution, run.closed)
            except Exception as error:
                if not is_damage(error):
                    raise
                made = run.fields.get(b"created_at", b"")
                readable.fail(
                    state.connection, run.queue.name, run.job.id, run.closed, run.execution, state.name, made
                )
    if not run.guest:
        with contained(what):
            run.store.close(run.closed)
        with contained(what):
            run.store.expire(_ttl(run, failed=True))
        with contained(what):
            run.store.tell_end()
