"""All that one service knows; owned by the dispatcher's thread, handed to the parts of its turn."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import rq

from taskq import tracing
from taskq.lua import Scripts
from taskq.map_store import Claim, MapStore, TimelineNote
from taskq.outcome import ChunkOutcome
from workers.execution import MapRun, PlainJob, Taken
from workers.lane import Lane
from workers.lanes import Lanes
from workers.meter import Meter
from workers.rq_worker import RQWorker
from workers.settings import Settings

HOST = socket.gethostname()


@dataclass
class State:
    """One service's state.

    Args:
        taken: The jobs it runs, in the order of whose turn it is.
        unsure: A pipeline broke, so Redis may hold claims for this worker of which it does not know.
        stopping: It takes nothing new.
        holds_back_until: On the monotonic clock: until then it reserves nothing, so that the helper job which it
            has just put at the front of the queue goes to somebody else.
    """

    settings: Settings
    connection: Any
    worker: RQWorker
    lanes: Lanes
    scripts: Scripts
    meter: Meter = field(default_factory=Meter)
    taken: deque[Taken] = field(default_factory=deque)
    unsure: bool = False
    stopping: bool = False
    holds_back_until: float = 0.0

    @property
    def name(self) -> str:
        return self.worker.name

    @property
    def queues(self) -> list[rq.Queue]:
        return self.worker.queues

    @property
    def maps(self) -> Iterator[MapRun]:
        return (run for run in self.taken if isinstance(run, MapRun))

    @property
    def plain(self) -> Iterator[PlainJob]:
        return (job for job in self.taken if isinstance(job, PlainJob))

    @property
    def waiting(self) -> int:
        """Plain jobs that have no process yet."""
        return sum(not job.submitted for job in self.plain)

    @property
    def needs_idle(self) -> bool:
        """Whether a plain job, or a chunk not known as short, waits for an idle process."""
        return self.waiting > 0 or any(run.ready and not run.fast for run in self.maps)

    def store(self, map_id: str) -> MapStore:
        return MapStore(map_id, self.connection, self.scripts)

    def ended(self, taken: Taken, outcome: str, error: str | None = None) -> None:
        """Count a job whose end is on record, and end its span."""
        self.meter.job_ended(taken.job, "plain" if isinstance(taken, PlainJob) else "map", outcome)
        tracing.end_job(taken.span, error)

    def drop(self, taken: Taken) -> None:
        """Forget a job that has ended here."""
        if taken in self.taken:
            self.taken.remove(taken)

    def committed(self, run: MapRun, claim: Claim, outcome: ChunkOutcome, note: TimelineNote) -> None:
        """Count a chunk that was stored just now, and record its span."""
        self.meter.committed(outcome)
        if run.context:
            attributes = {"taskq.job": run.store.keys.id, "taskq.worker": note.worker, "host.name": note.host,
                          "process.pid": note.pid, "taskq.lane": note.lane}  # fmt: skip
            tracing.chunk(run.context, claim.number, outcome, attributes)

    def note(self, lane: Lane, outcome: str = "ok") -> TimelineNote:
        """Who ran a chunk on this lane."""
        return TimelineNote(HOST, self.name, lane.pid, lane.index, outcome)
