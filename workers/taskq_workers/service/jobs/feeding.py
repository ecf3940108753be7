"""Which process gets which task next: errands and callbacks first, then what the policy says."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable

from taskq.errors import FunctionError
from taskq.maps.claim import Claim
from taskq.maps.deaths import services
from taskq_workers.lanes.lane import Lane
from taskq_workers.service.core.damage import is_damage
from taskq_workers.service.core.execution import BATCH, BATCH_BYTES, FAST, MapRun, PlainJob
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import offers, quarantine, refusing, short_path, surrender
from taskq_workers.service.jobs.short_path import QuickJob
from taskq_workers.service.upkeep import suspect
from taskq_workers.service.upkeep.evidence import Trace, read_trace

MOST = 2  # tasks of a lane that has no batch: one that runs, and one behind it


def top_up(state: State, *, hold: bool = False) -> None:
    """Give each lane its next tasks.

    Args:
        state: The service's.
        hold: A process waits for what comes next also if that is pending in Redis, for Redis is asked in a moment.
            Else it gets what is in hand.
    """
    _see_to_suspects(state)
    if quarantine.is_secluded(state):
        return
    if not (state.ready or state.errands or any(run.ready or run.callback for run in state.active)):
        return
    _read_functions(state)
    # One that is only just starting comes last: it may never get ready.
    lanes = sorted(state.lanes.open, key=lambda lane: (len(lane.tasks), lane.stillborn))
    for lane in lanes:
        while lane.idle and not lane.closed and _give_first(state, lane):
            pass
    if state.active:
        if lanes := [lane for lane in lanes if not lane.closed and len(lane.tasks) < MOST]:
            _by_policy(state, lanes, hold=hold)
    else:
        for lane in lanes:
            if not (lane.idle and _give_jobs(state, lane)):
                break  # nothing but chunks is queued behind what runs


def _see_to_suspects(state: State) -> None:
    """Have what is to run alone begin, if it can; or go back, if that was waited for in vain.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached. What waits, waits as before.
    """
    if quarantine.is_here(state) and quarantine.is_alone(state) != state.alone_noted:
        suspect.note_alone(state, alone=not state.alone_noted)
    if quarantine.waits(state) and not (state.stopping or state.suspended or quarantine.runs(state)):
        _give_alone(state)
    if quarantine.look(state):
        surrender.suspects(state)


def _give_alone(state: State) -> None:
    """Give a process what is to run alone, if all of them are at rest.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached. It was not begun then, and waits as before.
    """
    _read_functions(state)
    lane = quarantine.lane_for(state)
    one = quarantine.next_of(state) if lane else None
    if lane is None or one is None or not state.solitude.take():
        return
    _let_others_go(state)
    state.drain = None
    if isinstance(one, MapRun):
        quarantine.begins(state, _call_back(state, lane, one), suspect.seconds_of(one.fields))
    elif isinstance(one, PlainJob):
        suspect.note_begun(state, one)
        state.held.remove(one)
        one.started(state.settings.rq.user.hooks)
        state.due = min(state.due, one.deadline or math.inf)
        number = state.lanes.submit(lane, suspect.task_of(one), one)
        quarantine.begins(state, number, suspect.seconds_of(one.fields))
        state.policy.begin(number, offers.of_job(state, one.queue.name), time.monotonic())
    else:
        run, claim = one
        seconds = _ran_before(state, run, claim)
        run.last.remove(claim)
        quarantine.begins(state, _give_claim(state, lane, run, claim), seconds)


def _ran_before(state: State, run: MapRun, claim: Claim) -> float:
    """For how many seconds this range had run when a service last died of it."""
    trace = Trace("", None)
    with run.guarded():
        trace = read_trace(state.connection.hget(run.store.keys.deaths, str(claim.range)))
    return trace.seconds


def _let_others_go(state: State) -> None:
    """Give back what is in hand: it need not wait for what runs alone, which may take hours."""
    for job in reversed(list(state.ready)):
        short_path.give_back(state, job)
    for run in state.maps:
        run.hand_back(run.ready)
        run.ready.clear()


def reads_on(state: State) -> bool:
    """Whether a function is being read, so that its next piece is to be read at once."""
    reads = any(run.function.size and not run.function.waits and _lacks_function(run) for run in state.active)
    return reads and not quarantine.runs(state)


def waits_for_files(state: State) -> bool:
    """Whether a large object is being read by another service of this host."""
    return any(run.function.waits and _lacks_function(run) for run in state.active)


def _read_functions(state: State) -> None:
    """Read on the functions of maps with chunks in hand: a piece of each."""
    for run in state.active:
        if not _lacks_function(run):
            continue
        with run.guarded():
            try:
                run.function.step()
            except FunctionError as error:  # this host has no room for it; others may have
                refusing.refuse(state, run, str(error))


def _lacks_function(run: MapRun) -> bool:
    return bool(run.ready or run.last) and not (run.function.ready or run.closed or run.refused)


def _give_first(state: State, lane: Lane) -> bool:
    """Give an idle lane an errand, or the callback of a map; whether there was one."""
    if state.errands:
        errand = state.errands.popleft()
        state.lanes.submit(lane, errand.started(), errand)
        return True
    for run in state.active:
        if run.to_call is not None and not suspect.calls_alone(run):
            _call_back(state, lane, run)
            return True
    return False


def _call_back(state: State, lane: Lane, run: MapRun) -> int:
    """Have a process call the callback of a map; returns the task's number.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached. It is not called then.
    """
    assert run.to_call is not None
    suspect.note_begun(state, run)
    task = run.to_call
    run.calls(state.settings.rq.user.hooks)
    return state.lanes.submit(lane, task, run)


def _by_policy(state: State, lanes: list[Lane], *, hold: bool) -> None:
    """Give plain jobs and chunks in the order of the policy, as far as there is room for them."""
    runs: dict[Hashable, MapRun] = {run.source: run for run in state.active}
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
    suspect.note_begun(state, state.ready[0])  # no suspect travels with others
    jobs, hooks = _batch(state, lane), state.settings.rq.user.hooks
    for job in jobs:
        job.started(hooks)
        state.due = min(state.due, job.deadline or math.inf)
    if len(jobs) == 1:
        first = state.lanes.submit(lane, suspect.task_of(jobs[0]), jobs[0])
    else:
        first = state.lanes.submit_batch(lane, [(job.task(), job) for job in jobs], BATCH[0])
    if state.active:  # else nobody else wants a process
        now = time.monotonic()
        for number, job in enumerate(jobs, first):
            state.policy.begin(number, offers.of_job(state, job.queue.name), now)
    if state.maps:
        for job in jobs:
            state.order.took(job.queue.name)
    return len(jobs)


def _batch(state: State, lane: Lane) -> list[PlainJob]:
    """The job whose turn it is; where jobs are short, those behind it too, shared fairly among the processes."""
    ready, seconds = state.ready, state.job_seconds
    size = 1
    if seconds is not None and seconds < short_path.SHORT and lane.takes_batches:
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
    many = len(state.active) > 1 or len(run.ready) + run.pending > len(state.lanes.open)
    room = lane.idle or (run.fast and many and _soon_free(lane) and not state.needs_idle)
    if not room or not run.ready or run.closed or not run.function.ready:
        return False
    if run.capped and lane.stillborn:  # it has only just been started; others are ready
        return False
    return _give_claim(state, lane, run, run.ready.popleft()) > 0


def _give_claim(state: State, lane: Lane, run: MapRun, claim: Claim) -> int:
    """Give a chunk of a map to a process; the task's number, 0 if the claim is not ours any more."""
    given = _noted_as_given(run, claim) if services(claim.deaths) else claim
    if given is None:
        return 0
    number = state.lanes.submit(lane, run.task(given, lane.knows(run.key)), run)
    run.flying[number] = given
    state.policy.begin(number, offers.of_run(run), time.monotonic())
    state.order.took(run.queue.name)
    return number


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
    if len(tasks) != 1 or lane.lent or not isinstance(tasks[0], MapRun) or not tasks[0].fast:
        return False
    return lane.running is None or time.monotonic() - lane.since < FAST * tasks[0].distance
