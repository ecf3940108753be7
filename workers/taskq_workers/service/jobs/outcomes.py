"""What becomes of a task that a pool process has ended; what of those of a dead one, says ``casualties.py``."""

from __future__ import annotations

from typing import Any

from taskq.payload.outcome import ChunkOutcome, ChunkRefused
from taskq_workers.lanes.lane import Lane
from taskq_workers.link.tasks import NOT_RUN, JobOutcome
from taskq_workers.service.core.errands import Errand
from taskq_workers.service.core.execution import MapRun, PlainJob, Taken
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import ending, refusing

_REMEDY = "Store it elsewhere, and return where."


def arrived(state: State, lane: Lane, number: int, outcome: Any) -> None:
    """Note how one task of a lane ended; nothing, if it was forgotten before."""
    if isinstance(outcome, ChunkOutcome):
        outcome = lane.read(outcome)
    first = lane.is_first_of_batch(number)
    taken: Taken | Errand | None = state.lanes.done(lane, number)
    state.policy.end(number, _seconds(outcome))
    if isinstance(taken, PlainJob):
        if outcome is NOT_RUN:
            # Not even the first was begun in time: it goes where nobody recalls it, or this might never end.
            taken.alone = taken.alone or first
            _not_run(state, taken)
        else:
            _has_run(state, taken, outcome)
    elif isinstance(taken, Errand):
        taken.then(outcome)
    elif isinstance(taken, MapRun):
        _of_map(state, lane, taken, number, outcome)


def _seconds(outcome: Any) -> float:
    """How long a process was busy with it."""
    if isinstance(outcome, ChunkOutcome):
        return outcome.seconds
    ran = outcome.ran if isinstance(outcome, JobOutcome) else None
    return ran[1] - ran[0] if ran else 0.0


def _not_run(state: State, job: PlainJob) -> None:
    if job.stopped:
        ending.stopped(state, job)
    else:
        state.wait_again(job)


def _has_run(state: State, job: PlainJob, outcome: JobOutcome) -> None:
    state.ran(outcome)
    job.told = outcome.error is not None and outcome.ran is not None  # one that is given up has not run
    if outcome.value and (why := state.speech.limits.refuses(len(outcome.value) * 4 // 3)):  # as RQ stores it
        text = f"taskq.errors.TooLargeError: the result of the job {job.job_id} can't be stored: {why}. {_REMEDY}"
        outcome = outcome._replace(value=None, retry=None, error=text)
    state.note_end(job, outcome)


def _of_map(state: State, lane: Lane, run: MapRun, number: int, outcome: Any) -> None:
    claim = run.flying.pop(number, None)
    if run.beaten.pop(number, None) is not None:
        return  # its chunk was committed by another
    if claim is None:
        run.called, run.calling, run.told = outcome, False, outcome.error is not None
    elif outcome is NOT_RUN:
        if not run.closed:
            run.wait_again(claim)
    elif isinstance(outcome, ChunkRefused):
        if run.closed:
            return
        if outcome.local:
            refusing.refuse(state, run, outcome.reason, [claim])
        else:
            run.closed, run.refusal = outcome.reason, outcome.refusal
    else:
        run.ran(outcome)
        run.remembers = run.remembers or outcome.remembers
        run.ended.append((claim, outcome, state.note(lane)))
