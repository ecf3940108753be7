"""Which process gets which task next: errands and callbacks first, then what the policy says."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable

from taskq_workers.lanes.lane import Lane
from taskq_workers.service.core.execution import BATCH, BATCH_BYTES, FAST, MapRun, PlainJob
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import offers, short_path
from taskq_workers.service.jobs.short_path import QuickJob
from taskq_workers.service.upkeep import suspect

MOST = 2  # tasks of a lane that has no batch: one that runs, and one behind it


def top_up(state: State, *, hold: bool = False) -> None:
    """Give each lane its next tasks.

    Args:
        state: The service's.
        hold: A process waits for what comes next also if that is pending in Redis, for Redis is asked in a moment.
            Else it gets what is in hand.
    """
    if state.held:
        suspect.let_go(state)
    if not (state.ready or state.errands or any(run.ready or run.callback for run in state.maps)):
        return
    _read_functions(state)
    lanes = sorted(state.lanes.open, key=lambda lane: len(lane.tasks))
    for lane in lanes:
        while lane.idle and not lane.closed and _give_first(state, lane):
            pass
    if state.maps:
        if lanes := [lane for lane in lanes if not lane.closed and len(lane.tasks) < MOST]:
            _by_policy(state, lanes, hold=hold)
    else:
        for lane in lanes:
            if not (lane.idle and _give_jobs(state, lane)):
                break  # nothing but chunks is queued behind what runs


def _read_functions(state: State) -> None:
    """Read on the functions of maps with chunks in hand: a piece of each."""
    for run in state.maps:
        if run.ready and not run.function.ready and not run.closed:
            with run.guarded():
                run.function.step()


def _give_first(state: State, lane: Lane) -> bool:
    """Give an idle lane an errand, or the callback of a map; whether there was one."""
    if state.errands:
        errand = state.errands.popleft()
        state.lanes.submit(lane, errand.started(), errand)
        return True
    for run in state.maps:
        if run.callback is not None and not run.calling and run.called is None:
            run.calling = True
            state.lanes.submit(lane, run.callback, run)
            return True
    return False


def _by_policy(state: State, lanes: list[Lane], *, hold: bool) -> None:
    """Give plain jobs and chunks in the order of the policy, as far as there is room for them."""
    runs: dict[Hashable, MapRun] = {offers.source_of(run): run for run in state.maps}
    again = True
    while again:
        again = False
        picks = offers.upcoming(state, offers.known(state) if hold else offers.in_hand(state))
        pick = next(picks, None)
        for lane in lanes:
            while pick is not None and not again and (given := _give(state, lane, runs.get(pick.source))):
                again = given > 1  # a batch: reckon anew
                pick = next(picks, None)


def _give(state: State, lane: Lane, run: MapRun | None) -> int:
    """Give a lane the next task of a map, or a plain job, if it has room; how many tasks it was."""
    if lane.closed:
        return 0
    if run is not None:
        return int(_give_chunk(state, lane, run))
    return _give_jobs(state, lane) if lane.idle else 0


def _give_jobs(state: State, lane: Lane) -> int:
    """Give an idle lane the next plain job, or several short ones; how many."""
    if not state.ready or state.stopping or lane.closed:  # what is not begun goes back when we leave
        return 0
    if not suspect.hold_back(state):
        return 0
    suspect.note_begun(state, state.ready[0])  # no suspect travels with others
    jobs = _batch(state, lane)
    for job in jobs:
        job.started()
        state.due = min(state.due, job.deadline or math.inf)
    if len(jobs) == 1:
        first = state.lanes.submit(lane, suspect.task_of(jobs[0]), jobs[0])
    else:
        first = state.lanes.submit_batch(lane, [(job.task(), job) for job in jobs], BATCH[0])
    if state.maps:  # else nobody else wants a process
        now = time.monotonic()
        for number, job in enumerate(jobs, first):
            state.policy.begin(number, offers.of_job(state, job.queue.name), now)
    return len(jobs)


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


def _give_chunk(state: State, lane: Lane, run: MapRun) -> bool:
    """Give a lane with room a chunk that is in hand; whether there was one."""
    # A second task keeps the process from idling while its first result travels. Only short chunks are
    # queued so, behind short ones, and none while something waits for a process: it must not wait for two.
    # Nor are the last ones: another process may be free sooner, and everybody waits for these. Beside another map
    # they are, for its chunks would be in every process before a process is idle.
    many = len(state.maps) > 1 or len(run.ready) + run.pending > len(state.lanes.open)
    room = lane.idle or (run.fast and many and _soon_free(lane) and not state.needs_idle)
    if not room or not run.ready or run.closed or not run.function.ready:
        return False
    claim = run.ready.popleft()
    number = state.lanes.submit(lane, run.task(claim, lane.knows(run.key)), run)
    run.flying[number] = claim
    state.policy.begin(number, offers.of_run(run), time.monotonic())
    state.order.took(run.queue.name)
    return True


def _soon_free(lane: Lane) -> bool:
    """Whether all that the lane has is one short chunk, which has not run for long yet."""
    [*tasks] = lane.tasks.values()
    if len(tasks) != 1 or not isinstance(tasks[0], MapRun) or not tasks[0].fast:
        return False
    return lane.running is None or time.monotonic() - lane.since < FAST
