"""How many chunks to claim and how many jobs to take, as the policy says; and what to give back.

In hand is what processes need before Redis can be asked again, and no more: others may be free.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import rq

from taskq_workers.lanes.lane import Lane
from taskq_workers.service.core.account import Offer
from taskq_workers.service.core.execution import AHEAD, FAST, MapRun
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import offers, quarantine, short_path

MAPS = 16  # that are taken at a time: to begin each costs the turn a millisecond or two
OWNED = 500
"""Maps of one queue of which a service is the owner; each turn costs more for each of them.

What waits behind them in their queue is left to others, as long as there is something to run here: else it may be
what they wait for. What there is in other queues does not wait.
"""

BRIEF = (32, 0.1)
"""The same while maps end one soon after the other, within so many seconds: what waits behind them comes soon."""

# -- chunks ------------------------------------------------------------------------------------------


def claims(state: State, *, beside_jobs: bool) -> list[tuple[MapRun, int]]:
    """How many chunks to claim, of which maps; below 0: to give back, since others come first.

    Args:
        state: The service's.
        beside_jobs: Jobs are taken in the same moment, and may come before what would be claimed. Then nothing is
            claimed that takes long: a process that gets a job is not free any more.
    """
    if not (state.active and state.lanes.size):
        return []  # without a place to run anything, what is held is kept: see ``engines/dask.py``, ``AWAY``
    runs = {run.source: run for run in state.active}
    picks = offers.upcoming(state, offers.known(state))
    free = max(0, len(state.lanes.idle) - len(state.errands))
    now = _begun_at_once(state, list(itertools.islice(picks, free)))
    if beside_jobs:  # what comes may be before it; then the process is free no more
        now = [offer for offer in now if _is_fast(state, offer)]
    soon, later = _ahead(state, len(now), picks)
    if not (now or soon) and _one_is_free_soon(state):
        # What is not known to be short is to have the next process: with it in hand, nothing is queued before it.
        first = itertools.islice(offers.upcoming(state, offers.known(state)), 1)
        now = [offer for offer in first if offer.ahead and not _is_fast(state, offer)]
    wanted = Counter(offer.source for offer in (*now, *soon))
    useful = wanted + Counter(offer.source for offer in later)
    counts = []
    for source, run in runs.items():
        lacking, superfluous = wanted[source] - len(run.ready), len(run.ready) - useful[source]
        if run.complete or run.closed:
            continue
        if lacking > 0:
            counts.append((run, lacking))
        elif superfluous > 0:
            counts.append((run, -superfluous))
    return counts


def _begun_at_once(state: State, now: list[Offer]) -> list[Offer]:
    """Without what is counted from its claim on, where the process that it would get is only just starting."""
    if all(offer.ahead for offer in now):
        return now
    ready = sum(not lane.stillborn for lane in state.lanes.idle)
    capped = itertools.islice((offer for offer in now if not offer.ahead), ready)
    return [*(offer for offer in now if offer.ahead), *capped]


def _ahead(state: State, now: int, picks: Iterator[Offer]) -> tuple[list[Offer], list[Offer]]:
    """What else to have in hand, so that no process waits for Redis; and as much again, which is not given back.

    Args:
        state: The service's.
        now: Tasks that idle processes get.
        picks: What comes after these. It ends with the first of which nobody knows that it is short.
    """
    if time.monotonic() < state.shares_until:
        return [], []
    seconds, least, most = AHEAD
    tasks = [note for lane in state.lanes.open for note in lane.tasks.values() if _is_short(lane)]
    held, lanes = len(tasks) + now, now + sum(not lane.idle and _is_short(lane) for lane in state.lanes.open)
    worth = sum(note.seconds for note in tasks if isinstance(note, MapRun))
    found: tuple[list[Offer], list[Offer]] = ([], [])
    fast = None  # the last offer: of one map, all are the same
    for part, share in enumerate((lanes, 2 * lanes)):
        while held < share * most and (held < share * least or worth < share * seconds):
            offer = next(picks, None)
            if offer is None or (offer is not fast and not _is_fast(state, offer)):
                return found
            fast = offer
            found[part].append(offer)
            held, worth = held + 1, worth + offer.seconds
    return found


def _is_fast(state: State, offer: Offer) -> bool:
    return offer.ahead and 0 < offer.seconds < FAST * state.lanes.distance


def _one_is_free_soon(state: State) -> bool:
    """Whether no process is free, but one is in a moment."""
    return not state.lanes.idle and any(_is_short(lane) for lane in state.lanes.open)


def _is_short(lane: Lane) -> bool:
    """Whether the lane is free in a moment."""
    return not lane.lent and all(isinstance(note, MapRun) and note.fast for note in lane.tasks.values())


# -- jobs --------------------------------------------------------------------------------------------


class Takes(NamedTuple):
    """What to take.

    Args:
        queues: From which queues, in this order.
        jobs: Whether jobs of each of them; else only the maps at its front, which need no process.
        room: How many jobs in all.
    """

    queues: Sequence[rq.Queue] = ()
    jobs: Sequence[bool] = ()
    room: int = 0


def takes(state: State) -> Takes:
    """What to take from the queues now."""
    if state.stopping or state.lanes.trouble or quarantine.is_secluded(state):
        return Takes()
    room = max(0, _room(state))
    asked = _before_maps(state)
    if state.polls or not room:  # then only those of which it is known that something waits there
        asked = [(queue, jobs and room > 0) for queue, jobs in asked if state.jobs_waiting.get(queue.name)]
    return Takes([queue for queue, _jobs in asked], [jobs for _queue, jobs in asked], room) if asked else Takes()


def _room(state: State) -> int:
    """How many jobs to take: one for each free process, or for the next one that is; short ones ahead of need."""
    waiting = state.waiting
    if not state.active and state.job_seconds is not None and state.job_seconds < short_path.SHORT:
        seconds, most = short_path.AHEAD
        ahead = state.lanes.size * max(1, min(most, int(seconds / max(state.job_seconds, 1e-6))))
        room = ahead - waiting if waiting <= ahead // 2 else 0
        return min(room, state.allowance)
    if waiting:
        return 0
    # Not behind plain jobs: nobody knows how long they take, and others may be free.
    soon = _one_is_free_soon(state)
    return min(len(state.lanes.idle) or int(soon), state.allowance)


def maps(state: State, queues: Sequence[rq.Queue]) -> tuple[int, list[int]]:
    """How many maps to take at most where jobs are asked for, in all and of each of the queues."""
    owned = Counter(run.queue.name for run in state.maps if not run.guest)
    most = min(OWNED, BRIEF[0]) if time.monotonic() - state.map_ended < BRIEF[1] else OWNED
    room = [max(0, most - owned[queue.name]) for queue in queues]
    if 0 in room and not offers.known(state):
        room = [max(1, one) for one in room]
    return max(1, min(MAPS, state.allowance)), room


def _before_maps(state: State) -> list[tuple[rq.Queue, bool]]:
    """The queues that come before what is known of maps, or with it, in the order in which they are asked.

    With each, whether a plain job of it would come before its maps. A new map is to be known in any case, for it
    may be the next one.
    """
    maps: dict[str, list[Offer]] = {}
    for offer in offers.known(state):
        if not isinstance(offer.source, str):
            maps.setdefault(offer.queue, []).append(offer)
    if not maps:
        return [(queue, True) for queue in state.ordered]
    asked = []
    for queue in state.ordered:
        of_queue = maps.get(queue.name)
        asked.append((queue, of_queue is None or offers.jobs_are_next(state, queue.name, of_queue)))
        if of_queue and not state.order.alternates:
            break
    return asked
