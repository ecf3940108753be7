"""How a job ends here: finished, failed, or dropped because its end is not ours to say.

Each function may be called again if Redis went away in its middle.
"""

from __future__ import annotations

import logging

from rq.defaults import CALLBACK_TIMEOUT, DEFAULT_FAILURE_TTL
from rq.job import Job

from taskq.errors import ReplacedError, ResultsGoneError
from taskq.maps.controlled import CANCELED
from taskq.maps.info import MapInfo
from taskq.maps.options import MAP_RESULT_TTL
from taskq.maps.proof import Proof
from taskq.maps.rq_jobs import MAP_PATH, failure_text
from taskq.maps.terms import TOO_MANY
from taskq.payload.outcome import summary
from taskq.payload.sealed import Sealed
from taskq.redis import checked, keys, limits, refusals
from taskq.redis.kinds import kind_of
from taskq_workers import clock, readable
from taskq_workers.link.tasks import CallbackTask, JobOutcome, KilledTask, StoppedTask
from taskq_workers.service.core.damage import contained, is_damage
from taskq_workers.service.core.errands import Errand
from taskq_workers.service.core.execution import MapRun, PlainJob
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import guests
from taskq_workers.service.rq import own_keys, successes
from taskq_workers.service.rq.worker import STOPPED
from taskq_workers.service.upkeep import suspect

log = logging.getLogger(__name__)

_MOMENT = 60  # seconds: how long keys last that are deleted in a moment


def end_plain(state: State) -> None:
    """Record how plain jobs ended, the way RQ records it; simple successes all together."""
    ended = [job for job in state.unrecorded if not job.succeeded]
    if not ended:
        return
    for job in ended:
        assert job.outcome is not None
        state.worker.take_over(job.job, job.outcome)
    simple = successes.without_dependents(state.connection, [job for job in ended if _is_simple(job)])
    if simple and not state.speech.apart:
        with contained("the ends of plain jobs"):  # each is then looked at alone
            refused = successes.record(state.worker, [(*job.rq, _value(job)) for job in simple])
            for job in simple:
                if error := refused.get(job.job_id):
                    _not_recorded(state, job, error)
                else:
                    state.ended(job, "finished")
                state.drop(job)
    for job in ended:
        if job in state.taken:
            _end_safely(state, job)
            state.drop(job)


def _end_safely(state: State, job: PlainJob) -> None:
    """As ``_end_alone``; a job of which RQ's code can't record the end fails, and costs nobody else anything."""
    tries, mended = 0, False
    while True:
        tries += 1
        try:
            _end_alone(state, job)
        except Exception as error:
            if is_damage(error):
                mended = not mended and _mended(state, job)
                if mended:
                    continue
                _not_recorded(state, job, error)
            elif not _is_large(job):
                raise
            elif refused := state.speech.blames(state.connection, _sizes(job), tries, error):
                _not_recorded(state, job, refused)
            else:
                continue
        return


def _sizes(job: PlainJob) -> list[int]:
    """Bytes of what is large at the end of a job."""
    outcome = job.outcome
    assert outcome is not None
    return [len(outcome.value or b"") * 4 // 3, len(outcome.error or "")]  # RQ stores a result as base64


def _is_large(job: PlainJob) -> bool:
    return limits.is_much(_sizes(job))


def _not_recorded(state: State, job: PlainJob, error: Exception) -> None:
    why = f"the job's end could not be recorded: {type(error).__name__}: {error}"
    readable.fail(state.connection, job.queue.name, job.job_id, why, job.execution, state.name)
    state.ended(job, "failed", why)


def _mended(state: State, job: PlainJob) -> bool:
    """Whether what was in the way is not the job's, and is away now: our own books, or jobs that wait for it."""
    mended = own_keys.mend(state.worker, (one.execution for one in state.taken))
    key = Job.dependents_key_for(job.job_id)
    if not checked.is_a(state.connection, key, "set"):
        state.connection.delete(key)
        return True
    waiting = state.connection.smembers(key)
    return bool(readable.sift(state.connection, job.queue.name, key, waiting)) or mended


def _end_alone(state: State, job: PlainJob) -> None:
    assert job.outcome is not None
    refusals.count(state.connection, job.outcome.refusal)
    if job.outcome.refusal:
        job.job.webhooks = []  # of somebody whose job is not run: nor are others called for them
    if not state.worker.holds(job.execution):
        pass  # its end is on record, or we were given up for dead and it runs elsewhere
    elif not state.connection.exists(job.job.key, job.execution.key):
        state.worker.forget(job.job, job.execution)  # somebody has deleted it
    elif job.outcome.retry is not None:
        state.worker.retry(*job.rq, job.outcome)
        state.ended(job, "retried")
    elif job.outcome.error is not None:
        stopped = job.outcome.stopped
        outcome = "stopped" if stopped else "retried" if job.job.should_retry else "failed"
        state.worker.fail(*job.rq, job.outcome.error, stopped=stopped, told=job.told)
        state.ended(job, outcome, job.outcome.error)
    else:
        state.worker.succeed(*job.rq, _value(job))
        state.ended(job, "finished")


def _is_simple(job: PlainJob) -> bool:
    outcome = job.outcome
    assert outcome is not None
    return outcome.error is None and outcome.retry is None and successes.is_simple(job.job)


def _value(job: PlainJob) -> Sealed | None:
    assert job.outcome is not None
    return None if job.outcome.value is None else Sealed(job.outcome.value)


def stopped(state: State, job: PlainJob) -> None:
    """A plain job was stopped, and its process, if it had one, is dead; its callback goes first, as in RQ."""
    outcome = JobOutcome(error=STOPPED, stopped=True)
    if not job.job._stopped_callback_name:  # noqa: SLF001 - the callback itself would be imported
        state.note_end(job, outcome)
        return
    task = StoppedTask(job.job.id, job.fields, state.name, float(job.began))
    _first(state, job, task, outcome, "stopped callback", job.job.stopped_callback_timeout)


def killed(state: State, job: PlainJob, pid: int, status: int, error: str) -> None:
    """A plain job's process has died; the user's handler is told before that is recorded."""
    outcome = JobOutcome(error=error)
    if state.settings.rq.user.work_horse_killed_handler is None:
        state.note_end(job, outcome)
        return
    task = KilledTask(job.job.id, job.fields, state.name, float(job.began), pid, status)
    _first(state, job, task, outcome, "work-horse-killed handler", CALLBACK_TIMEOUT)


def _first(
    state: State, job: PlainJob, task: StoppedTask | KilledTask, outcome: JobOutcome, what: str, timeout: float
) -> None:
    """Have an errand run; whatever comes of it, the job's own end is recorded then."""

    def then(result: JobOutcome) -> None:
        if result.error:
            log.error("the %s of job %s failed: %s", what, job.job.id, result.error,
                      extra={"action": "callback_failed", "job": job.job.id})  # fmt: skip
        state.note_end(job, outcome)

    state.errands.append(Errand(task, then, timeout))


def end_map(state: State, run: MapRun) -> None:
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
    run.proof = run.proof or Proof(run.store)
    try:
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
    error = failure_text(run.store, info) if info.failed else None
    _end_owned(state, run, info, error)


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
    if not state.worker.holds(run.execution):
        run.store.tell_end()  # its end is on record: only the reply was lost; or it is somebody else's by now
        state.drop(run)
        return
    if not run.closed:
        run.store.close(reason, whole=True)
    run.job._func_name = MAP_PATH  # noqa: SLF001 - for webhooks; RQ would read the same from the pickle
    again = error is not None and run.job.should_retry and not run.stopped
    ttl = -1 if again else _ttl(run, failed=error is not None)
    if not again:
        # Before RQ's own record, so that a crash between the two leaves nothing for ever: whoever gets the job
        # then opens the map again, and that takes the time limit off.
        run.store.expire(ttl or _MOMENT)
    run.job.meta = {}  # not written then: items and callbacks may have stored theirs, each in its own process
    if error is None:
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
    status, worker, mark = state.connection.hmget(run.job.key, "status", "worker_name", keys.JOB_KIND)
    replaced = kind_of({keys.JOB_KIND.encode(): mark or b""}).incarnation != run.store.keys.incarnation
    if replaced or status != b"started" or (worker or b"").decode() != state.name:
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


def look(state: State, run: MapRun) -> None:
    """See what has become of a map of which no event tells: others may have completed or closed it."""
    run.look = False
    try:
        info = run.store.info()
    except (ResultsGoneError, ReplacedError):
        run.closed = "gone"
        let_go(state, run, kill=True)
        return
    if info.complete and not info.reason and not run.guest:
        run.complete = True  # also if it is closed: by us, in an end that Redis went away in the middle of
    elif info.state != "open":
        run.closed = "closed"
        let_go(state, run, kill=info.kill or not info.reason.startswith((CANCELED, TOO_MANY)))
    elif info.paused and run.in_hand:
        run.hand_back(run.ready)
        run.ready.clear()
        let_go(state, run, kill=False)  # what runs ends its item
    elif not run.guest:
        run.complete = False
        if run.held:
            return
        if run.store.release_orphans():
            run.pending += 1
        else:
            run.store.check()


def let_go(state: State, run: MapRun, *, kill: bool) -> None:
    """Free the processes that still run something of this map: ``kill`` them, or let them end their item."""
    for lane in state.lanes:
        for number, note in lane.tasks.items():
            if note is run:
                lane.stop(number)
        if kill and lane.running is run:
            lane.kill("the map is over")


def end_map_safely(state: State, run: MapRun) -> None:
    """As ``end_map``; what goes wrong with this map, whatever it is, does not stop the service."""
    try:
        end_map(state, run)
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
                readable.fail(state.connection, run.queue.name, run.job.id, run.closed, run.execution, state.name)
    if not run.guest:
        with contained(what):
            run.store.close(run.closed)
        with contained(what):
            run.store.expire(_ttl(run, failed=True))
        with contained(what):
            run.store.tell_end()


def fail_map(run: MapRun, reason: str) -> None:
    """Close a map which can't go on; ``end_map`` then fails its job, here or at its owner."""
    run.closed = reason
    run.store.close(reason)


def fail_early(state: State, run: MapRun) -> None:
    """End a map of which too many items have failed; what runs of it may end the item that it is at."""
    fail_map(run, run.too_many)
    let_go(state, run, kill=False)


def time_out(state: State, run: MapRun) -> None:
    """End a map that has used up its ``job_timeout``, and what runs of it."""
    seconds = run.job.timeout
    fail_map(run, f"rq.timeouts.JobTimeoutException: Task exceeded maximum timeout value ({seconds} seconds)")
    let_go(state, run, kill=True)


def stop_map(state: State, run: MapRun) -> None:
    """End a map because somebody wants it, and what runs of it; services that help are told by ``close.lua``."""
    run.stopped = True
    fail_map(run, STOPPED)
    let_go(state, run, kill=True)
