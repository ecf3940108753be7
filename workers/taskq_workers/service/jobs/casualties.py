"""What becomes of the tasks of a pool process that died.

Only the task that ran is to blame. Those that waited behind it go to another process, as if nothing had been. A
process may also die while it reads a task: then that one is to blame, if it happens again and again. One that has
not come to read one, or not even got ready for it, has died of something else, and nobody is to blame.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from taskq.maps.claim import Claim
from taskq.maps.deaths import SERVICE, only_tried, services, settled, total, tried
from taskq.maps.refusal import INITIALIZER
from taskq.payload.outcome import ChunkOutcome, ItemFailure, Part
from taskq.payload.ranges import Range
from taskq.views.timeline import TimelineNote
from taskq_workers import clock
from taskq_workers.lanes.death import Death
from taskq_workers.lanes.lane import Lane
from taskq_workers.link.tasks import JobOutcome
from taskq_workers.service.core.errands import Errand
from taskq_workers.service.core.execution import (
    BEATEN,
    ITEM_TIMEOUT,
    KILL_HORSE,
    MapRun,
    PlainJob,
    Wounded,
    runs_alone,
)
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import ending, refusing
from taskq_workers.service.rq.job import name_of
from taskq_workers.service.upkeep.evidence import read_trace
from taskq_workers.settings import HOST, MAX_DEATHS

log = logging.getLogger(__name__)


def settle(state: State, lane: Lane) -> None:
    """Decide about every task that the dead lane had been given and not finished; the lane is buried."""
    death = lane.death
    is_read = death.reading and death.task not in lane.tasks and not lane.stillborn
    unread = next(iter(lane.tasks), 0) if is_read else 0
    beaten = death.killed_for == BEATEN
    if beaten:
        unread = 0  # it was killed as it had nothing else; what it was given after that it has not seen
    first = next(iter(lane.tasks), 0)
    told = death.killed_for == KILL_HORSE  # it makes no difference whether the process had come to its task yet
    if lane.lost and lane.tasks:
        log.warning("%d tasks given to the host %s are to run again: %s", len(lane.tasks), lane.where.host,
                    lane.lost, extra={"action": "seat_lost"})  # fmt: skip
    elif lane.tasks:
        log.log(logging.INFO if beaten else logging.WARNING, "pool process %d died by %s%s", lane.where.pid, death,
                _work_of(lane, death), extra={"action": "pool_process_died"})  # fmt: skip
        state.meter.count("taskq_pool_process_deaths", death.why)
    for number, taken in reversed(lane.tasks.items()):
        if isinstance(taken, MapRun):
            _settle_chunk(state, lane, death, taken, number, guilty=number in (death.task, unread))
        elif isinstance(taken, PlainJob):
            taken.unread += number == unread
            taken.alone = taken.alone or unread != 0  # whose arguments it died of, another death shows
            killed = number == death.task or (told and number == first)
            _settle_job(state, lane, death, taken, guilty=killed or taken.unread >= MAX_DEATHS)
        elif isinstance(taken, Errand):
            _settle_errand(state, lane, taken, guilty=number == death.task)
    lane.tasks.clear()


def _work_of(lane: Lane, death: Death) -> str:
    """At what the process was, for the log; empty if at nothing."""
    taken = lane.tasks.get(death.task)
    if isinstance(taken, PlainJob):
        return f", at the job {taken.job_id} ({name_of(taken.job)})"
    if not isinstance(taken, MapRun):
        return ""
    claim = taken.flying.get(death.task)
    if claim is None:
        what = "the callback"
    elif death.initializing:
        what = "the initializer"
    else:
        what = f"the chunk {claim.range}" if death.item is None else f"item {death.item}"
    return f", at {what} of the map {taken.job_id} ({taken.info.name})"


def _settle_chunk(state: State, lane: Lane, death: Death, run: MapRun, number: int, *, guilty: bool) -> None:
    claim = run.flying.pop(number, None)
    if run.beaten.pop(number, None) is not None:
        return  # its chunk was committed by another
    if claim is None:  # it ran the map's callback
        run.calling = False
        if guilty:
            run.called = JobOutcome(error=f"the callback's process died by {death}")
    elif run.closed or run not in state.taken:
        return
    elif not guilty:
        run.wait_again(claim)
    else:
        _settle_guilty(state, lane, death, run, claim)


def _settle_guilty(state: State, lane: Lane, death: Death, run: MapRun, claim: Claim) -> None:
    """Have a chunk that killed its process tried again, or split; or give up the item that is alone in it."""
    if death.initializing:
        _settle_initializer(state, lane, death, run, claim)
        return
    if death.killed_for == ITEM_TIMEOUT:
        _settle_timeout(state, lane, death, run, claim)
        return
    noted = settled(claim.deaths) + 1
    note = state.note(lane, "killed")
    if total(noted) < MAX_DEATHS or len(claim.to_do) > 1:
        parts = _parts(claim, noted, death.item if total(claim.deaths) else None, own=1)
        run.wounded.append(Wounded(claim, noted, note, death.began, death.seconds, parts))
    else:
        run.ended.append((claim, _lost(claim, noted, f"{death.cause} on {lane.where.host}", death), note))


def _settle_initializer(state: State, lane: Lane, death: Death, run: MapRun, claim: Claim) -> None:
    """It died in the initializer, and no item is to blame; after some such deaths this service refuses the map."""
    note = state.note(lane, "killed")
    run.wounded.append(Wounded(claim, settled(claim.deaths), note, death.began, death.seconds))
    run.initializer_deaths += 1
    if run.initializer_deaths >= MAX_DEATHS:
        name, times = run.info.terms.initializer, run.initializer_deaths
        why = f"{INITIALIZER}{name} has killed {times} processes here, the last one by {death.cause}"
        refusing.refuse(state, run, why)


def _parts(claim: Claim, noted: int, item: int | None, *, own: int) -> tuple[tuple[Range, int], ...]:
    """Into which to divide a range after so many deaths; nothing, if it is to run as it is once more.

    Args:
        claim: The range's.
        noted: Its deaths.
        item: That ran when something died of it; None: nobody knows exactly.
        own: Those which are the item's. Of processes it is the last one: at those before another may have run, so
            alone it has to be there at two more before it is given up. Of services it is all of them: what takes a
            service down is not tried more often than it must be.
    """
    before = only_tried(claim.deaths)
    if len(claim.to_do) == 1:
        return ()
    if item is not None and item in claim.to_do:  # the others have done nothing
        return tuple(sorted([(Range(item, 1), before + own), *((one, before) for one in claim.beside(item))]))
    if total(noted) < MAX_DEATHS:
        return ()
    # From the third death on each one halves it, until the item at fault is alone.
    unit = SERVICE if services(noted) else 1
    return tuple(
        (half, before + unit * (MAX_DEATHS - 1 - (len(claim.header.within(half)) == 1))) for half in claim.halves()
    )


def _lost(claim: Claim, noted: int, cause: str, death: Death | None = None) -> ChunkOutcome:
    """The outcome of a range of one item that is given up."""
    [index] = claim.to_do
    failure = ItemFailure.lost(index, cause, total(noted), HOST, services=services(noted))
    began, seconds = (death.began, death.seconds) if death else (clock.SERVER.now(), 0.0)
    return ChunkOutcome([], [], [failure], began, seconds, left=[Part(claim.range)])


def sift(state: State, run: MapRun, claims: list[Claim]) -> list[Claim]:
    """Those of new claims that can run as any other; what services have died of is set apart, divided or given up.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached.
    """
    for claim in claims:
        if runs_alone(claim):
            _set_apart(state, run, claim)
    return [claim for claim in claims if not runs_alone(claim)]


def _set_apart(state: State, run: MapRun, claim: Claim) -> None:
    trace = read_trace(state.connection.hget(run.store.keys.deaths, str(claim.range)))
    if parts := _parts(claim, claim.deaths, trace.item, own=SERVICE * services(claim.deaths)):
        run.wounded.append(Wounded(claim, claim.deaths, None, 0.0, 0.0, parts))
        told = {str(span): trace.to_json() for span, noted in parts if noted}
        run.store.note_traces(told)  # what is known of the whole, by their names
    elif total(claim.deaths) < MAX_DEATHS:
        run.last.append(claim)
    else:
        note = TimelineNote(HOST, state.name, 0, 0, "killed")
        run.ended.append((claim, _lost(claim, claim.deaths, trace.cause), note))


def _settle_timeout(state: State, lane: Lane, death: Death, run: MapRun, claim: Claim) -> None:
    """Give up the item whose time was over; the others of its chunk are not to blame, and run again."""
    index = death.item
    if index is None or index not in claim.to_do or not _was_over_its_time(lane, run):
        run.wait_again(claim)  # it ended just before we killed
        return
    rest = [Part(one) for one in claim.beside(index)]
    part, before, spell = Part(Range(index, 1)), tried(claim.deaths), run.info.terms.spell
    if spell and spell.timeouts and before < spell.max:
        outcome = ChunkOutcome([], [], [], death.began, death.seconds, rest, again=[part])
    else:
        failure = ItemFailure.timeout(index, run.info.item_timeout, host=lane.where.host)
        failures = [replace(failure, attempts=before + 1)]
        outcome = ChunkOutcome([], [], failures, death.began, death.seconds, rest, [part])
    run.ended.append((claim, outcome, state.note(lane, "timeout")))


def _was_over_its_time(lane: Lane, run: MapRun) -> bool:
    """Whether the item at which a process was killed for its time was the one that was meant, and not the next."""
    return lane.item is None or lane.killed_at - lane.item[1] >= run.info.item_timeout


def _settle_errand(state: State, lane: Lane, errand: Errand, *, guilty: bool) -> None:
    if guilty:
        errand.lost(lane)
    else:
        state.errands.appendleft(errand)


def _settle_job(state: State, lane: Lane, death: Death, job: PlainJob, *, guilty: bool) -> None:
    if job.stopped:
        ending.stopped(state, job)
        return
    if not guilty:
        state.wait_again(job)
        return
    if death.killed_for == "timeout":
        error = f"rq.timeouts.JobTimeoutException: Task exceeded maximum timeout value ({job.job.timeout} seconds)"
    else:
        status, name = _wait_status(death)
        error = f"Work-horse terminated unexpectedly; waitpid returned {status}{name}; "  # RQ's own words
        state.worker.handle_work_horse_killed(job.job, lane.where.pid, status, None)
        ending.killed(state, job, lane.where.pid, status, error)
        return
    state.note_end(job, JobOutcome(error=error))


def _wait_status(death: Death) -> tuple[int, str]:
    """What ``os.waitpid`` would have said."""
    code = death.exit_code or 0
    return (-code, f" (signal {-code})") if code < 0 else (code << 8, "")
