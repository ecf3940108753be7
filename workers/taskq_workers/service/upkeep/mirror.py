"""RQ's records of what a service holds: beaten for while it lives, and made again after an outage.

RQ's executions, its registry of running jobs and its list of a worker's executions all expire when nobody beats
for them. They tell RQ's tools what runs; whose it is, the index says (``holdings.py``), which does not expire.
"""

from __future__ import annotations

from collections.abc import Iterator

from rq.utils import utcformat
from rq.worker.base import WorkerStatus

from taskq.redis import keys
from taskq_workers import clock
from taskq_workers.service.core.state import State
from taskq_workers.service.rq import prefixes
from taskq_workers.service.rq.worker import RQWorker

_PORTION = 200  # records a script makes: others wait for it


def register(state: State, status: WorkerStatus) -> None:
    """Register with RQ, whatever stands under our name."""
    # A heartbeat may have made the key again after it was lost; RQ would take that for another worker's.
    state.connection.delete(state.worker.key)
    state.worker.register_birth()
    state.worker.set_state(status)


def beats(state: State) -> Iterator[None]:
    """Beat for the worker, and portion by portion for all that it holds; what of it has expired is made anew.

    What it believes to hold and does not is left alone, and found out about: ``state.unsure``.
    """
    worker: RQWorker = state.worker
    if not state.connection.hexists(worker.key, "birth"):
        register(state, WorkerStatus.BUSY if state.taken else WorkerStatus.IDLE)
    if not state.taken:
        worker.heartbeat()
        yield
        return
    ttl = worker.get_heartbeat_ttl()
    worker.heartbeat(ttl)
    held = [one for one in state.taken if not one.holding.guest_of]  # of which RQ knows nothing
    for first in range(0, len(held), _PORTION):
        args = [state.name, ttl, utcformat(clock.utc()), prefixes.JOB, prefixes.EXECUTION, prefixes.EXECUTIONS,
                prefixes.WIP, prefixes.FAILED, worker.heartbeat_grace]  # fmt: skip
        for one in held[first : first + _PORTION]:
            if one in state.taken:  # it may have ended since
                known = one.fields.get(b"created_at", b""), one.fields.get(keys.JOB_KIND.encode(), b"")
                args += [one.job_id, one.execution.id, one.queue.name, one.began, *known]
        if 0 in state.scripts.mirror([keys.held(state.name), worker.executions_key], args):
            state.unsure = True
        yield
