"""What becomes of the tasks of a pool process that died.

Only the task that ran is to blame. Those that waited behind it go to another process, as if nothing had been. A
process may also die while it reads a task: then that one is to blame, if it happens again and again.
"""

from __future__ import annotations

import logging
import time

from taskq.chunk import read_header
from taskq.map_store import Claim
from taskq.outcome import ChunkOutcome, ItemFailure
from workers import ending
from workers.errands import Errand
from workers.execution import ITEM_TIMEOUT, KILL_HORSE, MapRun, PlainJob, Wounded
from workers.lane import Lane
from workers.settings import MAX_DEATHS
from workers.state import State
from workers.tasks import JobOutcome

log = logging.getLogger(__name__)


def settle(state: State, lane: Lane) -> None:
    """Decide about every task that the dead lane had been given and not finished; the lane is buried."""
    guilty = lane.unheard or lane.marker.task  # it may be at the next one by the time it is killed
    unread = next(iter(lane.tasks), 0) if guilty not in lane.tasks else 0
    told = lane.killed_for == KILL_HORSE  # it makes no difference whether the process had come to its task yet
    if lane.tasks:
        log.warning(
            "pool process %d died by %s%s", lane.pid, lane.cause_of_death(),
            f" ({lane.killed_for})" if lane.killed_for else "", extra={"action": "pool_process_died"},
        )  # fmt: skip
        state.meter.count("taskq_pool_process_deaths", _cause(lane))
    for number, taken in reversed(lane.tasks.items()):
        if isinstance(taken, MapRun):
            _settle_chunk(state, lane, taken, number, guilty=number in (guilty, unread))
        elif isinstance(taken, PlainJob):
            taken.unread += number == unread
            taken.alone = taken.alone or unread != 0  # whose arguments it died of, another death shows
            killed = number == guilty or (told and number == unread)
            _settle_job(state, lane, taken, guilty=killed or taken.unread >= MAX_DEATHS)
        elif isinstance(taken, Errand):
            _settle_errand(state, lane, taken, guilty=number == guilty)
    lane.tasks.clear()


def _cause(lane: Lane) -> str:
    """The cause of death in one of a few words, for the metrics."""
    if lane.killed_for:
        return "timeout" if "timeout" in lane.killed_for else "killed"
    return lane.cause_of_death().partition(" code ")[0]


def _settle_chunk(state: State, lane: Lane, run: MapRun, number: int, *, guilty: bool) -> None:
    claim = run.flying.pop(number, None)
    if claim is None:  # it ran the map's callback
        run.calling = False
        if guilty:
            run.called = JobOutcome(error=f"the callback's process died by {lane.cause_of_death()}")
    elif run.closed or run not in state.taken:
        return
    elif not guilty:
        run.ready.appendleft(claim)
    else:
        _settle_guilty(state, lane, run, claim)


def _settle_guilty(state: State, lane: Lane, run: MapRun, claim: Claim) -> None:
    """Have a chunk that killed its process tried again, or split; or give up the item that is alone in it."""
    if lane.killed_for == ITEM_TIMEOUT:
        _settle_timeout(state, lane, run, claim)
        return
    deaths = claim.deaths + 1
    header = read_header(claim.payload)
    began = time.time() - lane.marker.seconds
    if deaths < MAX_DEATHS or len(header.offsets) > 1:
        run.wounded.append(Wounded(claim, deaths, state.note(lane, "killed"), began))
    else:
        index = header.start + header.offsets[0]
        failure = ItemFailure.lost(index, f"{lane.cause_of_death()} on {state.note(lane).host}", deaths)
        outcome = ChunkOutcome([], [], [failure], began, lane.marker.seconds)
        run.ended.append((claim, outcome, state.note(lane, "killed")))


def _settle_timeout(state: State, lane: Lane, run: MapRun, claim: Claim) -> None:
    """Give up the item whose time was over; the others of its chunk are not to blame, and run again."""
    header = read_header(claim.payload)
    index, _since = lane.marker.running_item
    guilty = index - header.start
    if guilty not in header.offsets:  # it ended just before we killed
        run.ready.appendleft(claim)
        return
    others = [offset for offset in header.offsets if offset != guilty]
    rest = [bytes(header.keeping(others))] if others else []
    failure = ItemFailure.timeout(index, run.info.item_timeout)
    seconds = lane.marker.seconds
    outcome = ChunkOutcome([], [], [failure], time.time() - seconds, seconds, rest)
    run.ended.append((claim, outcome, state.note(lane, "timeout")))


def _settle_errand(state: State, lane: Lane, errand: Errand, *, guilty: bool) -> None:
    if guilty:
        errand.lost(lane)
    else:
        state.errands.appendleft(errand)


def _settle_job(state: State, lane: Lane, job: PlainJob, *, guilty: bool) -> None:
    if job.stopped:
        ending.stopped(state, job)
        return
    if not guilty:
        state.wait_again(job)
        return
    if lane.killed_for == "timeout":
        error = f"rq.timeouts.JobTimeoutException: Task exceeded maximum timeout value ({job.job.timeout} seconds)"
    else:
        status, name = _wait_status(lane)
        error = f"Work-horse terminated unexpectedly; waitpid returned {status}{name}; "  # RQ's own words
        state.worker.handle_work_horse_killed(job.job, lane.pid, status, None)
        ending.killed(state, job, lane.pid, status, error)
        return
    state.note_end(job, JobOutcome(error=error))


def _wait_status(lane: Lane) -> tuple[int, str]:
    """What ``os.waitpid`` would have said."""
    code = lane.exitcode or 0
    return (-code, f" (signal {-code})") if code < 0 else (code << 8, "")
