"""What ran in a service when it died, for the timeline: from its flight record, and from its own last word."""

from __future__ import annotations

from collections.abc import Iterable

from taskq.maps.claim import Claim
from taskq.maps.store import MapStore
from taskq.redis import clock
from taskq.views import activity, timeline
from taskq.views.timeline import TimelineNote
from taskq_workers.service.upkeep.evidence import Evidence


def note(store: MapStore, name: str, claims: Iterable[Claim], died: Evidence) -> None:
    """Write an entry for each claim that a process of the dead service was running.

    What it said last, up to a second before, tells which process it was and since when; of what it had begun only
    then the record tells nothing but that. Of a service that was lost with its record, that last second is all
    that is known, and nobody knows how long it lived after it.

    Args:
        store: Of the map.
        name: Of the service.
        claims: That it held on the map.
        died: What is known of its death.
    """
    told = activity.of(store.connection, name)
    running = {(one.job, one.chunk): one for one in told.processes} if told else {}
    end = told.at if told and died.ran is None else clock.ask(store.connection)
    host = died.host or (told.host if told else "") or "unknown"
    with store.connection.pipeline() as pipe:
        for claim in claims:
            process = running.get((store.keys.id, str(claim.range)))
            lane = died.lane_of(store.known.incarnation, str(claim.range))
            if process is not None:
                who = TimelineNote(host, name, process.pid, process.lane, timeline.SERVICE)
                began = min(process.since, end)
                store.note_death(claim, who, began, end - began, pipe)
            elif lane is not None:
                store.note_death(claim, TimelineNote(host, name, 0, lane, timeline.SERVICE), end, 0.0, pipe)
        pipe.execute()
