"""All that one service knows; one thread at a time owns it (``inbox.py``), and hands it to the parts of it."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import rq
from redis.exceptions import RedisError
from rq.job import Job

from taskq.maps.claim import Claim
from taskq.maps.source import Source
from taskq.maps.store import MapStore
from taskq.payload.outcome import ChunkOutcome
from taskq.redis.keys import MapKeys
from taskq.redis.lua import Scripts
from taskq.views import tracing
from taskq.views.timeline import TimelineNote
from taskq_workers import clock
from taskq_workers.lanes.lane import Lane
from taskq_workers.lanes.lanes import Lanes
from taskq_workers.link.tasks import JobOutcome, WebhookTask
from taskq_workers.service.core.drain import Drain
from taskq_workers.service.core.errands import Errand
from taskq_workers.service.core.execution import MapRun, PlainJob, Taken
from taskq_workers.service.core.fleet import Fleet
from taskq_workers.service.core.meter import Meter
from taskq_workers.service.core.policy import Policy
from taskq_workers.service.core.queue_order import QueueOrder
from taskq_workers.service.core.solitude import Solitude
from taskq_workers.service.core.speech import Speech
from taskq_workers.service.core.webhooks import Webhooks
from taskq_workers.service.rq.worker import RQWorker
from taskq_workers.settings import Settings

log = logging.getLogger(__name__)

FETCHERS = 4
"""So many queues have a fetcher each, which waits for their jobs: a thread and a connection. Where there are more
queues, the others are looked at, all at once, while a process is free."""

LONG = 0.05  # seconds; a plain job that runs longer is not short

MOST_REFUSED = (1000, 60.0)
"""How many maps that can't be run here are remembered, and for how many seconds: what is missing may come."""


@dataclass
class OpenMap:
    """A map in the register of a queue.

    Args:
        pending: Chunks that nobody holds, and that may be claimed.
        claimed: Chunks that somebody holds.
        weight: Its share of its queue's time.
        resumes: When some may be claimed, on the monotonic clock, if none may now and that is known.
        copies_at: When one is to run a second time, on the monotonic clock: ``jobs/copies.py``.
    """

    id: str
    incarnation: str
    queue: str
    pending: int
    claimed: int
    weight: float = 1.0
    resumes: float | None = None
    copies_at: float = math.inf


@dataclass
class State:
    """One service's state.

    Args:
        taken: The jobs it runs; to be changed by ``add`` and ``drop`` only, as all that is kept of them here.
        maps: Those of them that are maps, in the order in which they came.
        active: Those of these about which there may be something to do: what a turn looks at. Whoever changes one
            that is left out calls ``look_over``, which is called once a second anyway.
        runs: All of them, by id and incarnation.
        ready: The plain ones that wait for a process, in their order.
        held: The plain ones that are to run alone: see ``quarantine.py``.
        alone: Number of the task that runs alone, or did.
        alone_until: Until when nothing else is begun beside it, on the monotonic clock.
        alone_noted: Redis says that a process has been given it, so that the next death is its last.
        drain: When nothing is begun, so that something can run alone.
        solitude: The right to run such a thing, which one service of a host has at a time.
        unrecorded: The plain ones that have ended, until Redis knows.
        policy: Says which source the next process is for.
        due: On the monotonic clock: no plain job is over its time before.
        errands: What waits for an idle process, besides jobs and chunks.
        order: In which the queues are asked for jobs.
        begun: Jobs, so far; a place in the work on a map is none.
        job_seconds: Running mean of how long plain jobs ran; None while nothing is known.
        suspended: By ``rq suspend``: nothing new is begun, of maps neither.
        finished: Why the service ends for good, once it does.
        tickets: Of the fetchers' waits that have no end yet: executions whose ids begin with one of them are on
            their way here. Fetchers add, the dispatcher removes.
        failing: Why its turns fail, while several in a row have.
        refused: Maps (id, incarnation) that can't be run here -> when that was seen, on the monotonic clock.
        told: Those of them whose refusal stands on the server, until somebody has the map tried again.
        behind: Why nothing is taken until replicas have what was committed; "": they have, or nobody asks.
        unsure: A pipeline broke, so Redis may hold claims for this worker of which it does not know.
        stopping: It takes nothing new.
        open: What is open in its queues, as last seen: (id, incarnation) -> the map.
        stragglers: Those of them of which something may have to run a second time.
        jobs_waiting: In its queues, as last seen; none is left out in which jobs wait.
        kept: Maps of which processes keep something, and which are not run here now, by their keys: ``kept.py``.
        looks: So many times it has looked.
        shares_until: On the monotonic clock: until then nothing is claimed ahead, for somebody is idle.
        fleet: How many work on the server, as last heard.
        shared: The policy was last told of maps that want something, too.
        feeds: Maps, each with its source, that may get some of its results: see ``chains.py``.
        map_ended: When the last map that it owned left, on the monotonic clock.
    """

    settings: Settings
    connection: Any
    worker: RQWorker
    lanes: Lanes
    scripts: Scripts
    webhooks: Webhooks
    meter: Meter = field(default_factory=Meter)
    speech: Speech = field(default_factory=Speech)
    taken: dict[Taken, None] = field(default_factory=dict)
    maps: deque[MapRun] = field(default_factory=deque)
    active: list[MapRun] = field(default_factory=list)
    runs: dict[tuple[str, str], MapRun] = field(default_factory=dict)
    ready: deque[PlainJob] = field(default_factory=deque)
    held: deque[PlainJob] = field(default_factory=deque)
    alone: int = 0
    alone_until: float = 0.0
    alone_noted: bool = False
    drain: Drain | None = None
    solitude: Solitude = field(default_factory=Solitude)
    unrecorded: dict[PlainJob, None] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    due: float = math.inf
    errands: deque[Errand] = field(default_factory=deque)
    begun: int = 0
    job_seconds: float | None = None
    suspended: bool = False
    finished: str = ""
    tickets: set[str] = field(default_factory=set)
    failing: str = ""
    behind: str = ""
    refused: dict[tuple[str, str], float] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)
    unsure: bool = False
    stopping: bool = False
    open: dict[tuple[str, str], OpenMap] = field(default_factory=dict)
    stragglers: list[OpenMap] = field(default_factory=list)
    jobs_waiting: dict[str, int] = field(default_factory=dict)
    kept: dict[str, MapKeys] = field(default_factory=dict)
    looks: int = 0
    shares_until: float = 0.0
    shared: bool = False
    fleet: Fleet = field(default_factory=Fleet)
    feeds: dict[tuple[MapKeys, Source], None] = field(default_factory=dict)
    map_ended: float = -math.inf
    order: QueueOrder = field(init=False)

    def __post_init__(self) -> None:
        self.order = QueueOrder(self.settings.rq.dequeue_strategy, [queue.name for queue in self.queues])
        self.worker.on_webhooks = self._send_webhooks

    @property
    def name(self) -> str:
        return self.worker.name

    @property
    def trouble(self) -> str:
        """Why it does no work, or little, for people; "" if it is well."""
        why = self.lanes.trouble or self.behind
        return f"takes nothing: {why}" if why else self.failing

    @property
    def queues(self) -> list[rq.Queue]:
        return self.worker.queues

    @property
    def polls(self) -> bool:
        """Whether there are queues without a fetcher."""
        return len(self.queues) > FETCHERS

    @property
    def ordered(self) -> list[rq.Queue]:
        """The queues in the order in which they are to be asked for a job now."""
        queues = {queue.name: queue for queue in self.queues}
        return [queues[name] for name in self.order]

    @property
    def jobs(self) -> int:
        """How many plain jobs it has taken."""
        return len(self.taken) - len(self.maps)

    @property
    def plain(self) -> Iterator[PlainJob]:
        return (job for job in self.taken if isinstance(job, PlainJob))

    @property
    def waiting(self) -> int:
        """Plain jobs and errands that have no process yet."""
        return len(self.errands) + len(self.ready)

    @property
    def needs_idle(self) -> bool:
        """Whether a plain job, or a chunk not known as short, waits for an idle process."""
        return self.waiting > 0 or any(run.ready and not run.fast for run in self.active)

    @property
    def allowance(self) -> int:
        """How many more jobs ``--max-jobs`` lets it begin."""
        most = self.settings.rq.max_jobs
        return sys.maxsize if most is None else most - self.begun

    def store(self, map_id: str, incarnation: str = "") -> MapStore:
        return MapStore(map_id, self.connection, self.scripts, incarnation=incarnation)

    def ended(self, taken: Taken, outcome: str, error: str | None = None) -> None:
        """Count a job whose end is on record, and end its span."""
        self.meter.job_ended("plain" if isinstance(taken, PlainJob) else "map", outcome, taken.seconds)
        tracing.end_job(taken.span, error)

    def ran(self, outcome: JobOutcome) -> None:
        """Learn how long plain jobs take."""
        if outcome.ran:
            seconds = outcome.ran[1] - outcome.ran[0]
            # A long one counts at once, short ones only by and by.
            mean = max(self.job_seconds or 0.0, seconds) if seconds > LONG else self.job_seconds or seconds
            self.job_seconds = 0.9 * mean + 0.1 * seconds

    def add(self, taken: Taken) -> None:
        """Run a job from now on."""
        self.taken[taken] = None
        if isinstance(taken, MapRun):
            taken.limits = self.speech.limits if self.speech.limits.unusual else None
            taken.stretch, taken.crowd = self.lanes.stretch, self.fleet.stretch
            taken.distance = self.lanes.distance
            self.maps.append(taken)
            self.active.append(taken)
            self.runs[taken.source] = taken
        elif isinstance(taken, PlainJob):
            (self.held if taken.runs_alone else self.ready).append(taken)

    def look_over(self) -> None:
        """See about which maps there may be something to do: something has been heard of others."""
        now = time.monotonic()
        self.active = [run for run in self.maps if not run.is_idle(now)]

    def let_rest(self) -> None:
        """Leave those alone about which nothing is to be done any more."""
        now = time.monotonic()
        if any(run.is_idle(now) for run in self.active):
            self.active = [run for run in self.active if not run.is_idle(now)]

    def note_fleet(self, fleet: Fleet) -> None:
        """Learn how many work on the server: chunks that begin from now on last as long as that takes."""
        self.fleet = fleet
        for run in self.maps:
            run.crowd = fleet.stretch

    def took(self, queue: rq.Queue) -> None:
        """A job was taken from this queue. Beside maps the queue's turn is over when it has got a process.

        It may have to wait for that, and be given back and taken again; those behind it must not wait by that.
        """
        if not self.maps:
            self.order.took(queue.name)

    def begin(self, jobs: Sequence[PlainJob]) -> None:
        """Run jobs that the take script has begun."""
        for job in jobs:
            self.took(job.queue)
            self.add(job)
        self.begun += len(jobs)
        if jobs:
            self.worker.is_busy()

    def wait_again(self, job: PlainJob) -> None:
        """A plain job was not begun by the process that it had been given to: it is the next one's."""
        if job in self.taken and job.outcome is None:
            job.submitted, job.deadline = False, None
            (self.held if job.runs_alone else self.ready).appendleft(job)

    def note_end(self, job: PlainJob, outcome: JobOutcome) -> None:
        """A plain job has ended; that is recorded with the next exchange."""
        job.outcome = outcome
        if job in self.taken:
            self.unrecorded[job] = None

    def drop(self, taken: Taken) -> None:
        """Forget a job that has ended here."""
        self.taken.pop(taken, None)
        if isinstance(taken, MapRun):
            self._drop_map(taken)
        elif isinstance(taken, PlainJob):
            self.unrecorded.pop(taken, None)
            for queue in (self.ready, self.held):
                if not taken.submitted and taken in queue:
                    queue.remove(taken)

    def _drop_map(self, run: MapRun) -> None:
        if not run.guest:
            self.map_ended = time.monotonic()
        for maps in (self.maps, self.active):
            if run in maps:
                maps.remove(run)
        if self.runs.get(run.source) is run:
            del self.runs[run.source]
        if run.key not in self.kept:
            self.lanes.forget(run.key, at_once=run.remembers)
        if run.source not in self.open:
            self.policy.forget(run.source)

    def let_go(self, taken: Taken) -> None:
        """Forget a job that goes back to its queue; one that no process was given counts for nothing."""
        if isinstance(taken, PlainJob) and (taken in self.ready or taken in self.held):
            self.begun -= 1
        self.drop(taken)

    def committed(self, run: MapRun, claim: Claim, outcome: ChunkOutcome, note: TimelineNote) -> None:
        """Count a chunk that was stored just now, and record its span."""
        self.meter.committed(outcome)
        if run.guest and not run.context and not run.asked_for_context and tracing.active():
            run.asked_for_context = True  # it joined before the owner had said it
            with suppress(RedisError):
                run.context = run.store.info().span
        if run.context and (outcome.spans or outcome.failures):  # else it was asked back just as it began
            attributes = {"taskq.job": run.store.keys.id, "taskq.worker": note.worker, "host.name": note.host,
                          "process.pid": note.pid, "taskq.lane": note.lane}  # fmt: skip
            tracing.chunk(run.context, str(claim.range), outcome, attributes)

    def note_refusal(self, map_id: str, incarnation: str) -> None:
        """This service can't run the map: see ``refusing.py``."""
        self.refused[map_id, incarnation] = time.monotonic()
        while len(self.refused) > MOST_REFUSED[0]:
            self.forget_refusal(next(iter(self.refused)))

    def forget_refusal(self, source: tuple[str, str]) -> None:
        """Try this map again when it is its turn."""
        self.refused.pop(source, None)
        self.told.discard(source)

    def leaves_alone(self, map_id: str, incarnation: str) -> bool:
        """Whether it has found out not long ago that it can't run this map."""
        at = self.refused.get((map_id, incarnation))
        return at is not None and time.monotonic() - at < MOST_REFUSED[1]

    @property
    def joinable(self) -> Iterator[OpenMap]:
        """The open maps of which something is pending, but for those that can't be run here."""
        return (one for source, one in self.open.items() if one.pending and not self.leaves_alone(*source))

    @property
    def others(self) -> Iterator[OpenMap]:
        """Those of them on which it does not work."""
        there = ((source, one) for source, one in self.open.items() if one.pending and source not in self.runs)
        return (one for source, one in there if not self.leaves_alone(*source))

    def finish(self, why: str) -> None:
        """End the service for good, after what runs."""
        self.finished = self.finished or why

    def _send_webhooks(self, job: Job, status: str, error: str | None) -> None:
        if self.webhooks.can_send(job):
            self.webhooks.send(job, status, error)
            return
        fields = next((one.fields for one in self.taken if one.job is job), {})
        ended = job.ended_at.timestamp() if job.ended_at else clock.SERVER.now()
        task = WebhookTask(job.id, fields, self.name, status, error, ended)
        self.errands.append(Errand(task, _ignore, sum(webhook.timeout for webhook in job.webhooks)))

    def note(self, lane: Lane, outcome: str = "ok") -> TimelineNote:
        """Who ran a chunk on this lane."""
        where = lane.where
        return TimelineNote(where.host, self.name, where.pid, lane.index, outcome)


def _ignore(outcome: JobOutcome) -> None:
    """Webhooks are told of an end that is on record; RQ logs their failures, too, and no more."""
    if outcome.error:
        log.warning("webhooks: %s", outcome.error.strip().rpartition("\n")[2], extra={"action": "webhooks_failed"})
