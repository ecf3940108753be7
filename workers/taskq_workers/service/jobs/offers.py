"""What this service could run now, as offers to the policy: plain jobs that it has begun, and chunks of maps."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator

from taskq_workers.service.core.account import Offer
from taskq_workers.service.core.execution import LOOK_AGAIN, MapRun
from taskq_workers.service.core.queue_order import QueueOrder
from taskq_workers.service.core.state import State


def in_hand(state: State) -> list[Offer]:
    """What can be given to a process at once."""
    return [*_jobs(state), *(_of(run, len(run.ready)) for run in state.active if _can_run(run))]


def known(state: State) -> list[Offer]:
    """The same, and what is pending in Redis, as far as known."""
    now = time.monotonic()
    own = [*_jobs(state)]
    own += [
        _of(run, count) for run in state.active if not run.closed and (count := len(run.ready) + pending(run, now))
    ]
    others = (Offer((one.id, one.incarnation), one.queue, one.pending, 0.0, one.weight) for one in state.others)
    return [*own, *others]


def may_come(state: State) -> bool:
    """Whether chunks are pending that this service can run, of its own maps or others."""
    return any(not _is_out(state.runs.get((one.id, one.incarnation))) for one in state.joinable)


def _is_out(run: MapRun | None) -> bool:
    """Whether it is one of ours of which nothing more is claimed here."""
    return run is not None and bool(run.complete or run.closed or run.refused)


def pending(run: MapRun, now: float) -> int:
    """How many chunks could be claimed; one, if nobody knows."""
    if run.complete or run.closed or run.refused:
        return 0
    if run.resumes is not None and not run.pending:
        return int(now >= run.resumes)
    # What is committed, or goes back, with the next exchange makes room for as many.
    freed = len(run.ended) + len(run.wounded) if run.info.caps.max_running else 0
    return run.pending or freed or int(now - max(run.looked, run.heard) >= LOOK_AGAIN)


def rests(run: MapRun) -> bool:
    """Whether nothing of it may be claimed now, and it is known when it may."""
    return run.resumes is not None and not (run.pending or run.complete or run.closed or run.refused)


def _can_run(run: MapRun) -> bool:
    return bool(run.ready) and run.function.ready and not run.closed


def note(state: State) -> None:
    """Tell the policy, once a turn, of all that want something; also of plain jobs that wait in Redis."""
    offers = known(state) if state.active or state.open else []
    shared = any(not isinstance(offer.source, str) for offer in offers)
    if shared or state.shared:  # else nobody shares with the plain jobs
        state.shared = shared
        ready = {offer.source for offer in offers}
        waiting = [queue for queue, count in state.jobs_waiting.items() if count and queue not in ready]
        state.policy.note([*offers, *(_job(state, queue, 1) for queue in waiting)], time.monotonic())


def upcoming(state: State, offers: list[Offer]) -> Iterator[Offer]:
    """What comes next of these, one after the other."""
    if len(offers) < 2:  # noqa: PLR2004 - there is nothing to choose
        return itertools.chain.from_iterable(itertools.repeat(offer, offer.tasks) for offer in offers)
    return state.policy.upcoming(offers, state.order, time.monotonic())


def jobs_are_next(state: State, queue: str, maps: list[Offer]) -> bool:
    """Whether a plain job of this queue, if there was one, would come before these offers of the same queue."""
    job = _job(state, queue, 1)
    order = QueueOrder("default", [queue])
    return next(state.policy.upcoming([job, *maps], order, time.monotonic())).source == queue


def of_job(state: State, queue: str) -> Offer:
    """The plain jobs of a queue, for ``Policy.begin``."""
    return _job(state, queue, 1)


def of_run(run: MapRun) -> Offer:
    """A map, for ``Policy.begin``."""
    return _of(run, 1)


def _jobs(state: State) -> Iterator[Offer]:
    """Those that are ready are given in their order, whatever queue they are of: one is that queue's turn."""
    if state.ready:
        counts = Counter(job.queue.name for job in state.ready) if state.active else {}
        first = state.ready[0].queue.name
        yield _job(state, first, counts.get(first, len(state.ready)))


def _job(state: State, queue: str, tasks: int) -> Offer:
    return Offer(queue, queue, tasks, state.job_seconds or 0.0, anew=True)


def _of(run: MapRun, tasks: int) -> Offer:
    return Offer(run.source, run.queue.name, tasks, run.seconds, run.weight, ahead=not run.capped)
