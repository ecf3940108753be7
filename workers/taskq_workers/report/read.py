"""What a report tells of a map, read from Redis; nothing is unpickled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rq.utils import as_text

from taskq.errors import UsageError
from taskq.maps import told
from taskq.maps.controlled import ENDED
from taskq.maps.info import MapInfo
from taskq.maps.job import MapJob
from taskq.maps.reader import MapReader
from taskq.payload.sealed import SealedSerializer
from taskq.queue import fetch
from taskq.redis import clock
from taskq.views import timeline
from taskq.views.error_groups import ErrorGroup
from taskq.views.timeline import OK, TimelineEntry


@dataclass(frozen=True)
class ProcessRow:
    """What one pool process did for the map."""

    host: str
    place: str
    lane: int
    entries: list[TimelineEntry] = field(repr=False)

    @property
    def name(self) -> str:
        return f"{self.host} · {self.place.rpartition('-')[2]}.{self.lane}"

    @property
    def busy(self) -> float:
        """Seconds."""
        return sum(entry.end - entry.start for entry in self.entries)

    @property
    def items(self) -> int:
        return sum(entry.items for entry in self.entries)

    @property
    def killed(self) -> int:
        """Processes that died in this place while they ran a chunk of the map."""
        return sum(entry.outcome != OK for entry in self.entries)


@dataclass(frozen=True)
class MapReport:
    """One map, at the moment ``at``.

    Args:
        rows: One for each pool process that ran chunks of it.
        groups: Of its errors.
        complete: The timeline still holds every chunk of it; its length is limited, so of an old or a very large
            map only a part may be left.
    """

    id: str
    at: float
    queue: str
    status: str
    description: str
    pushed: float
    retries: int
    info: MapInfo
    rows: list[ProcessRow]
    groups: list[ErrorGroup]
    complete: bool

    @property
    def told(self) -> dict[str, Any]:
        """What it was told, for people."""
        return told.of(self.info)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def until(self) -> float:
        """When it ended, or now."""
        return (self.info.ended if self.ended else 0.0) or self.at

    @property
    def seconds(self) -> float:
        """From its start to its end, or now."""
        return max(0.0, self.until - self.info.started) if self.info.started else 0.0

    @property
    def rate(self) -> float:
        """Items per second."""
        return (self.info.done + self.info.failed) / self.seconds if self.seconds else 0.0

    @property
    def entries(self) -> list[TimelineEntry]:
        return [entry for row in self.rows for entry in row.entries]

    @property
    def median_chunk(self) -> float:
        """Seconds; 0.0 if none is known."""
        seconds = [entry.end - entry.start for entry in self.entries if entry.outcome == OK]
        return median(seconds) if seconds else 0.0

    @property
    def killed(self) -> int:
        return sum(row.killed for row in self.rows)

    @property
    def again(self) -> int:
        """Runs of chunks that had killed a process before."""
        return sum(entry.deaths > 0 and entry.outcome == OK for entry in self.entries)

    @property
    def busy(self) -> float:
        """The part of their time, from first to last, in which its processes worked on this map."""
        if not self.entries:
            return 0.0
        span = max(entry.end for entry in self.entries) - min(entry.start for entry in self.entries)
        return min(1.0, sum(row.busy for row in self.rows) / (span * len(self.rows))) if span > 0 else 1.0


def read(connection: Any, map_id: str) -> MapReport:
    """Read all of it.

    Raises:
        UsageError: If there is a job with this id, and it is no map.
        ResultsGoneError: If there is no such map (any more).
    """
    store, now = MapReader(map_id, connection), clock.ask(connection)
    job = fetch(map_id, connection, SealedSerializer)
    if job is not None and not isinstance(job, MapJob):
        raise UsageError(f"{map_id} is a plain job: there are reports of maps only")
    info = store.info()
    entries = list(timeline.of_map(connection, map_id, info.started, now)) if info.started else []
    kept = sum(entry.items for entry in entries)
    return MapReport(
        id=map_id,
        at=now,
        queue=job.origin if job else "",
        status=str(job.get_status(refresh=False).value) if job else "gone",
        description=as_text(job.description) if job and job.description else "",
        pushed=job.created_at.timestamp() if job else 0.0,
        retries=(job.number_of_retries or 0) if job else 0,
        info=info,
        rows=_rows(entries),
        groups=store.groups(),
        complete=kept >= info.done + info.failed,
    )


def _rows(entries: Sequence[TimelineEntry]) -> list[ProcessRow]:
    rows: dict[tuple[str, str, int], list[TimelineEntry]] = defaultdict(list)
    for entry in entries:
        rows[entry.row].append(entry)
    return [ProcessRow(*row, rows[row]) for row in sorted(rows)]
