"""Items that run on when their map was cancelled: somebody may say later that they are to be killed.

Such a map is none of this service's any more, so nothing else looks at it.
"""

from __future__ import annotations

import time

from taskq.errors import ReplacedError, ResultsGoneError
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs.closing import LINGERS


def of(state: State, map_id: str | None = None) -> list[MapRun]:
    """Maps, or the one with this id, that were let go here while an item of theirs runs, and may run on."""
    running = {lane.running: None for lane in state.lanes if not lane.idle and not lane.killed_for}
    return [
        run
        for run in running
        if isinstance(run, MapRun)
        and run not in state.taken
        and run.kills_at is None
        and map_id in (None, run.store.keys.id)
    ]


def look(state: State, map_id: str | None = None) -> None:
    """Have their processes killed, if that is wanted by now, or the map is gone.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached.
    """
    for run in of(state, map_id):
        with run.guarded():
            try:
                wanted = run.store.info().kill
            except (ResultsGoneError, ReplacedError):
                wanted = True
            run.kills_at = time.monotonic() + LINGERS if wanted else None
