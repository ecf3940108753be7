"""What a service gives back though it goes on, since it can't run it.

One that can't start pool processes gives back all that it holds, and takes nothing until it can again. Nothing
runs in it, so nothing is to blame, and nothing is lost but time: a map's job goes to the front of its queue as its
claims become pending, plain jobs go there too.

One in which something has run for long gives back what is to run alone: other services may have nothing to do.
"""

from __future__ import annotations

import logging

from taskq.maps.deaths import settled
from taskq_workers.service.core.damage import contained
from taskq_workers.service.core.execution import MapRun, PlainJob
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import guests
from taskq_workers.service.upkeep import recovery

log = logging.getLogger(__name__)


def all_of_it(state: State) -> None:
    """Give back what has no process; what has ended here is recorded as ever.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached; what is left is given back the next time.
    """
    for one in list(state.taken):
        if isinstance(one, PlainJob):
            if one.submitted or one.outcome is not None or one.stopped:
                continue
            with contained(f"the job {one.job_id}"):
                recovery.return_safely(state.connection, state.name, one.holding)
        elif isinstance(one, MapRun):
            if one.flying or one.ended or one.wounded or one.closed or one.complete or one.calling:
                continue
            with contained(f"the map {one.job_id}"):
                recovery.return_safely(state.connection, state.name, one.holding)
        state.worker.executions.pop(one.execution.id, None)
        state.let_go(one)
        log.warning("gave back %s: no process can be started", one.job_id,
                    extra={"action": "gave_back", "job": one.job_id})  # fmt: skip


def suspects(state: State) -> None:
    """Give back what waits until it can run alone; a map's callback stays, for it is its owner's.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached; what is left is given back the next time.
    """
    for job in list(state.held):
        with contained(f"the job {job.job_id}"):
            recovery.return_safely(state.connection, state.name, job.holding)
        state.worker.executions.pop(job.execution.id, None)
        state.let_go(job)
    for run in state.maps:
        if run.last and not run.closed:
            with run.guarded():
                run.store.release((claim, settled(claim.deaths)) for claim in run.last)
                run.pending += len(run.last)
                run.last.clear()
                guests.say_work(state.connection, run)
