"""A map is closed before it is complete, here or elsewhere, and what runs of it is let go."""

from __future__ import annotations

import time
from dataclasses import replace

from taskq.errors import ReplacedError, ResultsGoneError
from taskq.maps.control import CANCELED
from taskq.maps.info import MapInfo
from taskq.maps.terms import TOO_MANY
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import beaten
from taskq_workers.service.rq.worker import STOPPED

OVER = "the map is over"
LINGERS = 0.1
"""Seconds for which an item of a map that was deleted, or cancelled with ``kill``, may run before it is killed.

To start another process takes as long, and the next map would wait for it: whoever takes no more of what ``imap``
gives ends a map of which some items run, and most of these end by themselves."""


def look(state: State, run: MapRun) -> None:
    """See what has become of a map of which no event tells: others may have completed or closed it."""
    run.look = False
    try:
        info = run.store.info()
    except (ResultsGoneError, ReplacedError):
        run.closed = "gone"
        _let_linger(state, run)
        return
    _look_at_caps(state, run, info)
    if info.complete and not info.reason and (info.enough or not run.guest):
        run.complete = True  # also if it is closed: by us, in an end that Redis went away in the middle of
    elif info.state != "open":
        run.closed = "closed"
        if info.kill or not info.reason.startswith((CANCELED, TOO_MANY)):
            _let_linger(state, run)
        else:
            let_go(state, run, kill=False)
    elif info.paused and run.in_hand:
        _let_rest(state, run)
    elif not run.guest:
        run.complete = False
        if run.held:
            return
        if run.store.release_orphans():
            run.pending += 1
        else:
            run.store.check()


def _look_at_caps(state: State, run: MapRun, info: MapInfo) -> None:
    """See whether somebody has changed how much of it may run; what is too much by that ends its item."""
    before = run.info.caps
    if info.caps == before:
        return
    run.info = replace(run.info, caps=info.caps, pushed_caps=info.pushed_caps, caps_seal=info.caps_seal)
    run.resumes = None
    if info.caps.is_tighter(before) and run.in_hand:
        _let_rest(state, run)


def _let_rest(state: State, run: MapRun) -> None:
    """Have nothing more of it begin here, of what waits to run alone neither; what runs ends its item."""
    run.hand_back([*run.ready, *run.last])
    run.ready.clear()
    run.last.clear()
    let_go(state, run, kill=False)


def _let_linger(state: State, run: MapRun) -> None:
    """Free the processes that still run something of this map: soon they are killed (``deadlines.py``)."""
    let_go(state, run, kill=False)
    run.kills_at = time.monotonic() + LINGERS


def let_go(state: State, run: MapRun, *, kill: bool) -> None:
    """Free the processes that still run something of this map: ``kill`` them, or let them end their item."""
    for lane in state.lanes:
        for number, note in lane.tasks.items():
            if note is run:
                lane.stop(number)
        if kill and lane.running is run:
            lane.kill(OVER)


def fail_map(run: MapRun, reason: str) -> None:
    """Close a map which can't go on; ``map_ending`` then fails its job, here or at its owner."""
    run.closed = reason
    run.store.close(reason)


def fail_early(state: State, run: MapRun) -> None:
    """End a map of which too many items have failed; what runs of it may end the item that it is at."""
    fail_map(run, run.too_many)
    let_go(state, run, kill=False)


def let_rest_go(state: State, run: MapRun) -> None:
    """End what is in hand of a map that is complete; what runs of it may end the item that it is at.

    If that ran twice, it may for a moment: else it might hold its process for ever.
    """
    _let_rest(state, run)
    if run.info.terms.speculate:
        beaten.all_of_it(state, run)


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
