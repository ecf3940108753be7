"""What this service holds, by Redis and by itself: compared when a reply was lost, until both say the same."""

from __future__ import annotations

import logging

from taskq.maps.deaths import settled
from taskq.redis import holdings, keys
from taskq_workers.service.core.execution import MapRun, PlainJob, Taken
from taskq_workers.service.core.state import FETCHERS, State
from taskq_workers.service.jobs import short_path
from taskq_workers.service.upkeep import recovery

log = logging.getLogger(__name__)


def reconcile(state: State) -> None:
    """Compare what Redis says that this worker holds with what it knows, after it was away, or a pipeline broke.

    It gives back what it knows nothing of, and lets go of what it does not hold any more.
    """
    for queue in state.queues[:FETCHERS]:
        holdings.keep_only(state.connection, keys.fetched(state.name, queue.name), "list")
    taken = {one.holding.key: one for one in state.taken}
    held = holdings.read(state.connection, state.name)
    for key, holding in held.items():
        if key not in taken and holding.execution_id[: short_path.TICKET] not in state.tickets:
            recovery.return_safely(state.connection, state.name, holding)
    for key, one in taken.items():
        if key not in held:
            _let_go(state, one)
    for run in list(state.maps):
        with run.guarded():
            _resolve_claims(state, run)
    state.look_over()
    state.unsure = False


def _let_go(state: State, one: Taken) -> None:
    """Forget what is not held: its end was recorded and only the reply was lost, or it was taken from us."""
    if isinstance(one, MapRun):
        if one.complete or one.closed:
            return  # its end is next, and finds out which of the two it is
        one.store.release_all(state.name)
    state.worker.executions.pop(one.execution.id, None)
    if isinstance(one, PlainJob) and one.outcome:
        state.drop(one)
    else:
        log.warning("job %s was taken from us", one.job_id, extra={"action": "taken_away", "job": one.job_id})
        state.let_go(one)


def _resolve_claims(state: State, run: MapRun) -> None:
    known = {claim.text for claim in run.held}
    unknown = [claim for claim in run.store.held_by(state.name) if claim.text not in known]
    if unknown:
        run.store.release((claim, settled(claim.deaths)) for claim in unknown)
        run.pending += len(unknown)
