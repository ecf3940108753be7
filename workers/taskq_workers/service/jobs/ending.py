"""How a plain job ends here, as RQ records it.

Each function may be called again if Redis went away in its middle.
"""

from __future__ import annotations

import logging

from rq.defaults import CALLBACK_TIMEOUT
from rq.job import Job

from taskq.payload.sealed import Sealed
from taskq.redis import checked, limits, refusals
from taskq_workers import readable
from taskq_workers.link.tasks import JobOutcome, KilledTask, StoppedTask
from taskq_workers.service.core.damage import contained, is_damage
from taskq_workers.service.core.errands import Errand
from taskq_workers.service.core.execution import PlainJob
from taskq_workers.service.core.state import State
from taskq_workers.service.rq import own_keys, successes
from taskq_workers.service.rq.worker import STOPPED
from taskq_workers.service.upkeep import mirror

log = logging.getLogger(__name__)


def end(state: State) -> None:
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
    made = job.fields.get(b"created_at", b"")
    readable.fail(state.connection, job.queue.name, job.job_id, why, job.execution, state.name, made)
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
    if not (state.worker.holds(job.execution) or mirror.is_held(state, job)):
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
