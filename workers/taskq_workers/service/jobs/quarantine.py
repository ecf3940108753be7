"""What has its last chance runs alone in its service: what services have died of, be it chunk, job or callback.

Whoever runs beside something that takes the whole service down is suspect, too, as nobody can tell them apart. So
of each of these the next death, which is to end it, must be its own: nothing else runs then, here. What ends well
is acquitted. What has one death only runs among the others, or the loss of one host would make long jobs wait for
each other.

Not for ever, for it may run for long, or hang: for twice as long as it had run at its last death, and a minute at
most. Then others begin beside it, and a death which they have been near is not the end of it: it has its chance
again (``upkeep/recovery.py``), though not more often than ``MAX_SPARED`` times.

While something waits for that, nothing new is begun, so that the processes come to rest; but not for long at a
time, for what runs may take hours. If it was in vain, what waits goes back, for others may have nothing to do; and
if it always is, it runs beside what runs so long.

Services of one host run theirs one after the other (``core/solitude.py``), for a host may be taken down as well.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from taskq.maps.claim import Claim
from taskq_workers.lanes.lane import Lane
from taskq_workers.service.core.drain import Drain
from taskq_workers.service.core.execution import MapRun, PlainJob
from taskq_workers.service.core.state import State
from taskq_workers.service.upkeep import suspect

LEAST, MOST = 10.0, 60.0
"""Seconds for which what runs alone does so."""

_ASKS = 0.1  # seconds between two looks at whether another service of this host runs something alone


def begins(state: State, number: int, seconds: float) -> None:
    """The task with this number runs alone from now on, and had run so long when it last died (0.0: unknown)."""
    alone = min(MOST, max(LEAST, 2 * seconds)) if seconds else MOST
    beside = any(not (lane.idle or lane.lent or number in lane.tasks) for lane in state.lanes)
    state.alone, state.alone_noted = number, True
    state.alone_until = -math.inf if beside else time.monotonic() + alone


def runs(state: State) -> bool:
    """Whether something runs alone; not while it waits for other work, which may have to run here."""
    return time.monotonic() < state.alone_until and any(not lane.lent for lane in _lanes(state))


def is_alone(state: State) -> bool:
    """Whether nothing else runs, so that the death of the service is its own."""
    own = _lanes(state)
    return runs(state) and all(lane.idle or lane.lent or lane in own for lane in state.lanes)


def is_here(state: State) -> bool:
    """Whether what runs alone, or did, has not ended."""
    return bool(_lanes(state))


def _lanes(state: State) -> list[Lane]:
    """That which has what runs alone, or did, and has not ended; if there is one."""
    return [lane for lane in state.lanes if state.alone in lane.tasks] if state.alone else []


def waits(state: State) -> bool:
    """Whether something waits until it can run alone."""
    if state.held:
        return True
    for run in state.active:  # each turn asks some ten times
        if (run.last and not run.closed) or (run.callback is not None and suspect.calls_alone(run)):
            return True
    return False


def look(state: State) -> bool:
    """Let the processes come to rest for a while, if something waits for that; to be called with each turn.

    Returns:
        Whether that was in vain just now: what waits is to go back.
    """
    if runs(state):
        return False
    if state.solitude.held and not _unsaid(state):
        state.solitude.let_go()
    now = time.monotonic()
    if waits(state):
        state.drain = state.drain or Drain()
        return state.drain.look(now)
    if state.drain and state.drain.is_over(now):
        state.drain = None
    return False


def _unsaid(state: State) -> bool:
    """Whether Redis does not know yet how something has ended: it would be taken for running, if we died now."""
    return bool(state.unrecorded) or any(run.ended or run.wounded for run in state.active)


def is_secluded(state: State) -> bool:
    """Whether nothing is to be begun, nor taken: something runs alone, or the processes are to come to rest."""
    if state.drain and time.monotonic() < state.drain.away:
        return True
    return runs(state) or (waits(state) and (state.drain is None or bool(state.drain.until)))


def due(state: State) -> Iterator[float]:
    """Moments of the monotonic clock at which to look."""
    drain, now = state.drain, time.monotonic()
    if runs(state):
        yield state.alone_until
    if drain and now < drain.away:
        yield drain.away
    if drain and waits(state):
        yield drain.until or drain.again
        if state.solitude.waits:
            yield now + _ASKS


def next_of(state: State) -> PlainJob | MapRun | tuple[MapRun, Claim] | None:
    """What is to run alone next, if all processes are at rest, or wait for other work; it stays where it waits.

    Also if that was waited for in vain. Of a map: its callback, or a chunk.
    """
    rests = all(lane.idle or lane.lent for lane in state.lanes)
    if not (rests or (state.drain and state.drain.enough)):
        return None
    if state.held:
        return state.held[0]
    for run in state.active:
        if suspect.calls_alone(run):
            return run
        if run.last and run.function.ready and not run.closed:
            return run, run.last[0]
    return None


def lane_for(state: State) -> Lane | None:
    """One that can be given what is to run alone."""
    return next((lane for lane in state.lanes.open if lane.idle), None)
