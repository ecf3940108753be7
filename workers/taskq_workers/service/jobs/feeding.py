"""Which process gets which task next: errands first, then plain jobs and chunks of maps in turn."""

from __future__ import annotations

import math
import time

from taskq.maps.claim import Claim
from taskq.maps.deaths import services, settled
from taskq_workers.lanes.lane import Lane
from taskq_workers.service.core.damage import is_damage
from taskq_workers.service.core.execution import BATCH, BATCH_BYTES, FAST, MapRun, PlainJob, Wounded
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import quarantine, short_path
from taskq_workers.service.jobs.short_path import QuickJob
from taskq_workers.service.upkeep import suspect


def top_up(state: State) -> None:
    """Give each lane its next task, the jobs taking turns."""
    for run in state.maps:
        if (run.ready or run.last) and not run.function.ready and not run.closed:
            with run.guarded():
                run.function.step()
    if quarantine.waits(state) and not (state.stopping or quarantine.runs(state)):
        _give_alone(state)
    if quarantine.is_secluded(state):
        return
    if not (state.ready or state.errands or any(run.ready or run.callback for run in state.maps)):
        return
    for lane in sorted(state.lanes.open, key=lambda lane: len(lane.tasks)):
        if not lane.idle and not state.maps:
            break  # nothing but chunks is queued behind what runs
        while not lane.closed and _give(state, lane):
            pass


def _give_alone(state: State) -> None:
    """Give a process what is to run alone, if all of them are at rest."""
    lane = quarantine.lane_for(state)
    one = quarantine.next_of(state) if lane else None
    if lane is None or one is None:
        return
    state.drain = None
    for run in state.maps:  # others need not wait for it
        run.wounded.extend(Wounded(held, settled(held.deaths), None, 0.0, 0.0) for held in run.ready)
        run.ready.clear()
    if isinstance(one, PlainJob):
        try:
            suspect.note_begun(state, one)
        except Exception:
            state.held.appendleft(one)
            raise
        one.started()
        state.due = min(state.due, one.deadline or math.inf)
        state.alone = state.lanes.submit(lane, suspect.task_of(one), one)
        return
    run, claim = one
    if _give_claim(state, lane, run, claim):
        state.alone = next(reversed(run.flying))


def _give(state: State, lane: Lane) -> bool:
    """Give one task to a lane with room; whether there was one."""
    if state.errands and lane.idle:
        errand = state.errands.popleft()
        state.lanes.submit(lane, errand.started(), errand)
        return True
    kinds = (_give_job, _give_chunk) if state.jobs_turn else (_give_chunk, _give_job)
    return any(give(state, lane) for give in kinds)


def _give_job(state: State, lane: Lane) -> bool:
    if not lane.idle or not state.ready or state.stopping:  # what is not begun goes back when we leave
        return False
    suspect.note_begun(state, state.ready[0])  # no suspect travels with others
    jobs = _batch(state, lane)
    for job in jobs:
        job.started()
        state.due = min(state.due, job.deadline or math.inf)
    if len(jobs) == 1:
        state.lanes.submit(lane, suspect.task_of(jobs[0]), jobs[0])
    else:
        state.lanes.submit_batch(lane, [(job.task(), job) for job in jobs], BATCH[0])
    state.jobs_turn = False
    return True


def _batch(state: State, lane: Lane) -> list[PlainJob]:
    """The job whose turn it is; where jobs are short, those behind it too, shared fairly among the processes."""
    ready, seconds = state.ready, state.job_seconds
    size = 1
    if seconds is not None and seconds < short_path.SHORT:
        most = min(BATCH[1], int(BATCH[0] / max(seconds, 1e-6)))
        if limit := state.settings.wear.tasks:
            most = min(most, limit - lane.given)
        size = max(1, min(most, -(-len(ready) // len(state.lanes.open))))
    jobs = [ready.popleft()]
    room = BATCH_BYTES - _weight(jobs[0])
    while len(jobs) < size and ready and _travels(jobs[0]) and _travels(ready[0]):
        room -= _weight(ready[0])
        if room < 0:
            break
        jobs.append(ready.popleft())
    return jobs


def _travels(job: PlainJob) -> bool:
    """Whether it may travel with others."""
    return isinstance(job, QuickJob) and not job.alone


def _weight(job: PlainJob) -> int:
    return len(job.fields.get(b"data", b""))


def _give_chunk(state: State, lane: Lane) -> bool:
    for _ in range(len(state.maps)):
        run = state.maps[0]
        state.maps.rotate(-1)
        if _give_of_map(state, lane, run):
            state.jobs_turn = True
            return True
    return False


def _give_of_map(state: State, lane: Lane, run: MapRun) -> bool:
    if run.callback is not None and not run.calling and run.called is None:
        if lane.idle:
            run.calling = True
            state.lanes.submit(lane, run.callback, run)
        return lane.idle and run.calling
    # A second task keeps the process from idling while its first result travels. Only short chunks are
    # queued so, behind short ones, and none while something waits for a process: it must not wait for two.
    # Nor are the last ones: another process may be free sooner, and everybody waits for these. Beside another map
    # they are, for its chunks would be in every process before a process is idle.
    many = len(state.maps) > 1 or len(run.ready) + run.pending > len(state.lanes.open)
    room = lane.idle or (run.fast and many and _soon_free(lane) and not state.needs_idle)
    if not room or not run.ready or run.closed or not run.function.ready:
        return False
    return _give_claim(state, lane, run, run.ready.popleft())


def _give_claim(state: State, lane: Lane, run: MapRun, claim: Claim) -> bool:
    """Give a chunk of a map to a process; False if it is not ours any more."""
    given = _noted_as_given(run, claim) if services(claim.deaths) else claim
    if given is None:
        return False
    task = run.task(given, lane.knows(run.key))
    run.flying[state.lanes.submit(lane, task, run)] = given
    return True


def _noted_as_given(run: MapRun, claim: Claim) -> Claim | None:
    """The claim as it is held from now on, of a range that services have died of; None: it is not held any more.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached. It must not be begun then.
    """
    try:
        given = run.store.give(claim)
    except Exception as error:
        if not is_damage(error):
            run.wait_again(claim)
            raise
        run.break_off(error)
        return None
    run.look = run.look or given is None
    return given


def _soon_free(lane: Lane) -> bool:
    """Whether all that the lane has is one short chunk, which has not run for long yet."""
    [*tasks] = lane.tasks.values()
    if len(tasks) != 1 or not isinstance(tasks[0], MapRun) or not tasks[0].fast:
        return False
    return lane.running is None or time.monotonic() - lane.since < FAST
