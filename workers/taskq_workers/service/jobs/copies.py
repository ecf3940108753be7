"""Ranges that run a second time, where nothing else is to be done, and the first run takes too long.

That is for maps that were told ``speculate``. What is to run again, and from when on, the server says
(``lua/stragglers.lua``) to whoever has a process idle and nothing pending for it: with each look at open maps, and
with each second claim. Both runs have claims as any other, and the first commit ends both; what becomes of who
comes second, says ``beaten.py``.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from typing import Any

from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.core.state import OpenMap, State
from taskq_workers.service.jobs import guests, offers

log = logging.getLogger(__name__)


def due(state: State) -> float:
    """When a range is to run a second time, on the monotonic clock; never, while anything else is to be done."""
    times = [one.copies_at for one in state.stragglers if _may_run(state, one)]
    return min(times, default=math.inf) if times and _free(state) > 0 else math.inf


def are_due(state: State) -> bool:
    """Whether one is, now."""
    return bool(state.stragglers) and due(state) <= time.monotonic()


def join(state: State) -> None:
    """Become a guest of those maps of which a range is to run a second time here."""
    if not are_due(state):
        return
    for one in [*_due_now(state)][: _free(state)]:
        if (one.id, one.incarnation) not in state.runs:
            guests.join_map(state, one)


def wanted(state: State) -> list[tuple[MapRun, int]]:
    """Of which maps how many ranges are to be claimed a second time now, at most."""
    if not are_due(state):
        return []
    due_now = (state.runs.get((one.id, one.incarnation)) for one in _due_now(state))
    runs = [run for run in due_now if run is not None and not (run.complete or run.closed)]
    return [(run, _free(state)) for run in runs[:1]]  # of the next one when that has no more


def claimed(state: State, run: MapRun, reply: Any) -> None:
    """Take what was claimed a second time, and learn when more may be."""
    answer = run.store.read_claims(reply, state.name)
    run.pending = answer.pending
    if (one := state.open.get(run.source)) is not None:
        one.copies_at = math.inf if answer.wait is None else time.monotonic() + answer.wait
    if run.refused:
        run.hand_back(answer.claims)
    else:
        run.ready.extend(answer.claims)
    for claim in answer.claims:
        log.info("the chunk %s of map %s runs a second time", claim.range, run.job.id,
                 extra={"action": "chunk_copied", "job": run.job.id})  # fmt: skip
        state.meter.count("taskq_chunk_copies")
    run.look = run.look or answer.state != "open"
    state.look_over()


def _may_run(state: State, one: OpenMap) -> bool:
    return one.copies_at < math.inf and not state.leaves_alone(one.id, one.incarnation)


def _due_now(state: State) -> Iterator[OpenMap]:
    now = time.monotonic()
    return (one for one in state.stragglers if _may_run(state, one) and one.copies_at <= now)


def _free(state: State) -> int:
    """How many processes have nothing to do for which anything waits, here or in the queues."""
    if state.ready or state.jobs_waiting or offers.known(state):
        return 0
    return len(state.lanes.idle) - len(state.errands)
