"""RQ's records of what a service holds: beaten for while it lives, and made again after an outage.

RQ's executions, its registry of running jobs and its list of a worker's executions all expire when nobody beats
for them. They tell RQ's tools what runs; whose it is, the index says (``holdings.py``), which does not expire.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from rq.utils import utcformat
from rq.worker.base import WorkerStatus

from taskq.redis import keys
from taskq_workers import clock
from taskq_workers.service.core.execution import Taken
from taskq_workers.service.core.state import State
from taskq_workers.service.rq import prefixes
from taskq_workers.service.rq.worker import RQWorker

log = logging.getLogger(__name__)

_PORTION = 200  # records a script makes: others wait for it
_PUT_BACK = 2  # what mirror.lua says


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
    worker = state.worker
    if not state.connection.hexists(worker.key, "birth"):
        register(state, WorkerStatus.BUSY if state.taken else WorkerStatus.IDLE)
    if not state.taken:
        worker.heartbeat()
        yield
        return
    worker.heartbeat(worker.get_heartbeat_ttl())
    held = [one for one in state.taken if not one.holding.guest_of]  # of which RQ knows nothing
    for first in range(0, len(held), _PORTION):
        if not _are_held(state, [one for one in held[first : first + _PORTION] if one in state.taken]):
            state.unsure = True
        yield


def is_held(state: State, one: Taken) -> bool:
    """Whether this is held: also what the index has lost, which is put back."""
    return _are_held(state, [one])


def _are_held(state: State, ones: list[Taken]) -> bool:
    """Beat for these; whether all of them are held."""
    worker: RQWorker = state.worker
    args = [state.name, worker.get_heartbeat_ttl(), utcformat(clock.utc()), prefixes.JOB, prefixes.EXECUTION,
            prefixes.EXECUTIONS, prefixes.WIP, prefixes.FAILED, worker.heartbeat_grace]  # fmt: skip
    for one in ones:
        known = one.fields.get(b"created_at", b""), one.fields.get(keys.JOB_KIND.encode(), b"")
        args += [one.job_id, one.execution.id, one.queue.name, one.began, *known, one.holding.value]
    index = keys.held(state.name)
    found = state.scripts.mirror([index, worker.executions_key, keys.LEASES], args)
    for one, held in zip(ones, found, strict=True):
        if held == _PUT_BACK:
            log.warning("job %s was not in %s any more, and is again", one.job_id, index,
                        extra={"action": "put_back", "job": one.job_id})  # fmt: skip
    return 0 not in found
