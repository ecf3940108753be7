"""Open maps of this service whose producer is gone; see ``taskq/maps/orphans.py``."""

from __future__ import annotations

import logging
from contextlib import suppress

from rq.exceptions import InvalidJobOperation

from taskq.maps import orphans
from taskq.maps.job import MapJob
from taskq.payload.sealed import SealedSerializer
from taskq.redis import checked
from taskq_workers import clock
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.core.state import State

log = logging.getLogger(__name__)


def is_one(run: MapRun, lease: bytes | None, orphaned: bytes | None) -> bool:
    """Whether a map that this service owns is to be looked at.

    Args:
        run: The map's.
        lease: As the hash says: None where there is no producer.
        orphaned: As the hash says.
    """
    if lease is None:
        return orphaned is not None and run.info.terms.orphan == "cancel"
    return run.silence.lasts(checked.seconds(lease), clock.SERVER.now())


def look(state: State, run: MapRun) -> None:
    """Seal it, or cancel it, as it was told.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached.
    """
    info = run.store.info()
    if info.state != "open" or not orphans.seal(run.store, info):
        return
    info = run.store.info()
    cancels = orphans.to_cancel(info)
    done = "cancelled" if cancels else "sealed"
    log.warning("the producer of the map %s is gone: %s with %d items", run.store.keys.id, done, info.items,
                extra={"action": "orphaned", "job": run.store.keys.id})  # fmt: skip
    run.look = True
    if cancels:
        job = MapJob(run.job.id, connection=state.connection, serializer=SealedSerializer)
        job.restore(run.fields)
        with suppress(InvalidJobOperation):  # by somebody else, in this moment
            job.cancel()
