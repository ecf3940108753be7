"""What a service is running: one object for each RQ job that it has taken."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import rq
from rq.executions import Execution
from rq.job import Job

from taskq.maps.claim import Claim
from taskq.maps.deaths import services, settled, total, tried
from taskq.maps.follow import Follower
from taskq.maps.info import MapInfo
from taskq.maps.orphans import Silence
from taskq.maps.proof import Proof
from taskq.maps.refusal import Refusal
from taskq.maps.store import MapStore
from taskq.payload.outcome import ChunkOutcome
from taskq.payload.ranges import Range
from taskq.redis import holdings, refusals
from taskq.redis.holdings import Holding
from taskq.redis.limits import Limits
from taskq.views.timeline import TimelineNote
from taskq_workers.link.tasks import CallbackTask, ChunkTask, Introduction, JobOutcome, JobTask, StoppedTask
from taskq_workers.service.core import errands
from taskq_workers.service.core.damage import is_damage
from taskq_workers.service.core.map_function import MapFunction
from taskq_workers.settings import MAX_DEATHS

FAST = 0.12
"""Seconds. Chunks that run shorter than this are claimed ahead and queued behind running ones, so that no process
waits for Redis, nor for the service. Those of which taskq picks the size do, but for items that take longer."""

AHEAD = (0.02, 2, 32)
"""How much each process has in hand where chunks are fast, the one that runs included: as many as run in so many
seconds, between 2 and 32. What takes longer is claimed when a process is free, and not before."""

BATCH = (0.004, 32)
"""Short plain jobs that a process gets at once: as many as run in so many seconds, and at most so many."""

BATCH_BYTES = 1 << 16
"""Of arguments in a batch; else reading it takes longer than running it."""

LOOK_AGAIN = 10.0
"""Seconds after which a map is asked again that had nothing pending, and of which no look has told since.

Each look tells of up to 200 open maps of a queue, and there is one a second. To ask a map costs a process that is
free its turn: where hundreds of maps rest, and each was asked once a second, others would hardly get one.
"""

OVERTIME = 1.0  # seconds after its own alarm at which a process is killed
ITEM_TIMEOUT, KILL_HORSE = "item timeout", "told to by kill-horse"  # what a process is killed for
BEATEN = "another process was through with the same chunk"


def has_last_chance(deaths: int) -> bool:
    """Whether what something has died of so often is given up with the next death."""
    return deaths >= MAX_DEATHS - 1


def is_last(deaths: int) -> bool:
    """Whether the next death of a job is the last: of its run, or, once it was given up, of its callback."""
    return deaths % MAX_DEATHS == MAX_DEATHS - 1


def runs_alone(claim: Claim) -> bool:
    """Whether this range is to: see ``quarantine.py``. Of what only processes have died nobody else suffers."""
    return services(claim.deaths) > 0 and has_last_chance(total(claim.deaths))


@dataclass(eq=False)
class Taken:
    """An RQ job that this service has started."""

    job: Job
    queue: rq.Queue
    execution: Execution
    fields: dict[bytes, bytes]
    deadline: float | None = None  # on the monotonic clock
    span: Any = None  # OpenTelemetry's, if somebody records it
    told: bool = False  # its pool process has logged that it failed

    @property
    def job_id(self) -> str:
        return self.execution.job_id

    @property
    def began(self) -> float | bytes:
        """Unix time at which it was taken, for Redis."""
        return self.execution.created_at.timestamp()

    @property
    def holding(self) -> Holding:
        """What the index says of it."""
        return Holding(self.execution.job_id, self.execution.id, holdings.BEGUN, self.queue.name)

    @property
    def seconds(self) -> float | None:
        """How long it ran, once it has ended."""
        job = self.job
        return (job.ended_at - job.started_at).total_seconds() if job.started_at and job.ended_at else None

    @property
    def rq(self) -> tuple[Job, rq.Queue, Execution]:
        """What RQ's bookkeeping methods take."""
        return self.job, self.queue, self.execution

    @property
    def overdue(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline


@dataclass(eq=False)
class PlainJob(Taken):
    """A plain RQ job: one task, one slot."""

    submitted: bool = False
    unread: int = 0  # processes that died before they had even read it
    stopped: bool = False  # somebody wants its end
    alone: bool = False  # it may be at fault for what came of a batch: no other job is to suffer from it again
    deaths: int = 0  # of workers that ran it: see ``suspect.py``
    outcome: JobOutcome | None = None  # once it has ended, until that is recorded

    @property
    def runs_alone(self) -> bool:
        """Whether it is to: see ``quarantine.py``."""
        return is_last(self.deaths)

    @property
    def succeeded(self) -> bool:
        """Whether its end is recorded on the short path: see ``short_path.py``."""
        return False

    def started(self, hooks: int = 0) -> None:
        """Its process begins with it now: from here its time counts, and so many hooks have as much each."""
        self.submitted = True
        job = self.job
        if not job.timeout or job.timeout < 0:
            return
        callbacks = 0
        if job._success_callback_name:  # noqa: SLF001 - the callback itself would be imported
            callbacks += job.success_callback_timeout
        if job._failure_callback_name:  # noqa: SLF001 - as above
            callbacks += job.failure_callback_timeout
        self.deadline = time.monotonic() + job.timeout * (1 + hooks) + callbacks + OVERTIME

    def task(self) -> JobTask:
        return JobTask(self.job_id, self.fields, self.execution.worker_name, self.execution.id)


@dataclass(frozen=True)
class Wounded:
    """A chunk whose process died, or whose outcome can't be stored, or which can't be run here at all.

    Args:
        deaths: To note: of processes that ran it, this one included if it is to blame.
        note: Who ran it, of a death; None: it was none.
        began: Unix time at which it began to run.
        parts: Into which it is divided, so that the item at fault is found, each with its deaths; none: it is
            tried again as it is.
        seconds: How long it ran.
    """

    claim: Claim
    deaths: int
    note: TimelineNote | None
    began: float
    seconds: float
    parts: tuple[tuple[Range, int], ...] = ()


@dataclass(eq=False)
class MapRun(Taken):
    """A map that this service owns, or in whose work it has a place as a ``guest``: its own share of it only.

    Args:
        ready: Chunks claimed and not yet in a lane.
        last: Those of them that are to run alone: see ``quarantine.py``.
        flying: Task number -> the chunk that it runs.
        beaten: Those of these numbers whose chunks were committed by another -> when to kill: ``beaten.py``.
        ended: Chunks that wait to be committed, with their outcomes and who ran them.
        wounded: Chunks whose process died, or which can't be run here; they wait to be given back.
        pending: Chunks that nobody holds, as last heard.
        look: Something has happened to the map that its own hash must tell of.
    """

    store: MapStore = field(kw_only=True)
    info: MapInfo = field(kw_only=True)
    guest: bool = False
    ready: deque[Claim] = field(default_factory=deque)
    last: deque[Claim] = field(default_factory=deque)
    flying: dict[int, Claim] = field(default_factory=dict)
    beaten: dict[int, float] = field(default_factory=dict)
    ended: list[tuple[Claim, ChunkOutcome, Any]] = field(default_factory=list)
    wounded: list[Wounded] = field(default_factory=list)
    pending: int = 1000  # until it was asked for the first time
    look: bool = False
    complete: bool = False
    closed: str = ""  # why it is over before it is complete: "gone", "closed", or a refusal in words
    kills_at: float | None = None  # when what still runs of it is killed, on the monotonic clock
    refused: str = ""  # why this service can't run it: see ``refusing.py``
    unsaid: Refusal | None = None  # the same, until it is in Redis
    refusals_at: float = 0.0  # when to look next who else can't, on the monotonic clock
    nobody_since: float | None = None  # since when nobody can, on the monotonic clock
    refusal: str = ""  # whether that was a matter of security: see ``refusals.of``
    callback: CallbackTask | StoppedTask | None = None  # to be run before the map ends
    calling: bool = False  # it runs
    call_ends: float | None = None  # when its process is to be killed, on the monotonic clock
    called: JobOutcome | None = None  # it has run
    stopped: bool = False  # it was closed because somebody wants its end
    summary: dict[str, object] | None = None  # what RQ's return_value() will say
    context: str = ""  # of the job's span: its chunks' parent
    asked_for_context: bool = False  # since there was none
    seconds: float = 0.0  # running mean of a chunk's time
    proof: Proof | None = None  # that it is complete, while that is being made
    function: MapFunction = field(init=False)
    source: tuple[str, str] = field(init=False)  # what the policy calls it
    limits: Limits | None = None  # of the server, if they are not what they are as a rule
    stretch: float = 1.0  # of the lanes: see ``Lanes``
    distance: float = 1.0  # of the lanes, too
    remembers: bool = False  # processes keep something of it: see ``kept.py``
    initializer_deaths: int = 0  # of processes, in its initializer
    crowd: float = 1.0  # how much longer chunks are to last, so many are the processes: see ``Fleet``
    done: int = 0  # items with a result, as last heard
    too_many: str = ""  # why it is to fail, since so many items have
    silence: Silence = field(default_factory=Silence)  # of its producer, if it is an open map
    follower: Follower | None = None  # if its items are another map's results, and this service owns it
    looked: float = -math.inf  # when claims were last asked for, on the monotonic clock
    heard: float = -math.inf  # when a look at the open maps told what is pending, on the monotonic clock
    resumes: float | None = None  # when one may be claimed again, on the monotonic clock, if that is known
    single: bool = False  # it has a rate: a claim is for one item

    def __post_init__(self) -> None:
        self.function = MapFunction(self.store, self.info.terms.large)
        self.source = self.store.keys.id, self.store.keys.incarnation

    @property
    def key(self) -> str:
        return f"{self.job.id}:{self.execution.id}"

    @property
    def capped(self) -> bool:
        """Whether what it may claim is limited: then nothing is claimed ahead, for others may use it at once."""
        return bool(self.info.caps) or self.single

    @property
    def fast(self) -> bool:
        return not self.capped and 0.0 < self.seconds < FAST * self.distance

    @property
    def weight(self) -> float:
        """Its share of its queue's time, beside the others' shares."""
        return self.info.weight

    @property
    def to_call(self) -> CallbackTask | StoppedTask | None:
        """Its callback, if that waits for a process."""
        return None if self.calling or self.called is not None else self.callback

    def calls(self, hooks: int = 0) -> None:
        """Its callback begins now: from here its time counts. So many hooks have that of an item, or the map's."""
        job, callback = self.job, self.callback
        self.calling, self.call_ends = True, None
        around = hooks and (self.info.item_timeout or job.timeout or rq.Queue.DEFAULT_TIMEOUT)
        if around < 0:
            return  # a hook may take for ever
        if isinstance(callback, StoppedTask):
            seconds = job.stopped_callback_timeout
        elif callback is not None and callback.error is None:
            seconds = job.success_callback_timeout
        else:
            seconds = job.failure_callback_timeout
        self.call_ends = time.monotonic() + seconds + hooks * around + errands.OVERTIME

    @property
    def held(self) -> list[Claim]:
        """Every chunk of which it believes to hold the claim."""
        ended = [claim for claim, _outcome, _note in self.ended]
        return [*self.ready, *self.last, *self.flying.values(), *ended, *(one.claim for one in self.wounded)]

    @property
    def in_hand(self) -> int:
        return len(self.ready) + len(self.last) + len(self.flying)

    def is_idle(self, now: float) -> bool:
        """Whether there is nothing to be done about it, nor to be said of it, as far as is known.

        Args:
            now: On the monotonic clock.
        """
        if self.pending or self.ready or self.flying or self.ended or self.wounded or self.last or self.look:
            return False
        if self.guest or self.complete or self.closed or self.refused or self.too_many or self.resumes is not None:
            return False
        if self.callback or self.proof or self.follower or self.deadline:
            return False
        return now - max(self.looked, self.heard) < LOOK_AGAIN

    def task(self, claim: Claim, known: bool) -> ChunkTask:
        """The task for a claimed chunk; ``known``: the pool process has been introduced to this map."""
        info, k, function = self.info, self.store.keys, self.function
        introduction = None
        if not known:
            introduction = Introduction(
                k.id, k.incarnation, function.data, self.fields, function.path, function.weight, function.blobs,
                info.terms.follows,
            )  # fmt: skip
        return ChunkTask(
            k.id, claim.range, self.execution.worker_name, self.key, introduction, info.star, claim.body,
            info.limit, info.item_timeout, info.adapt, self.limits,
            total(claim.deaths) > 0, max(self.stretch, self.crowd), info.terms.discards,
            info.terms.first and max(1, info.terms.first - self.done),
            info.terms.retries, tried(claim.deaths), self.single, info.terms.bearable(info.total),
        )  # fmt: skip

    def pause_after(self, claim: Claim) -> float:
        """Seconds until what has failed of a chunk is tried again."""
        spell = self.info.terms.spell
        return spell.pause(tried(claim.deaths) + 1) if spell else 0.0

    def wait_again(self, claim: Claim) -> None:
        """A chunk was not begun by the process that it had been given to, or is not to blame for its death."""
        (self.last if runs_alone(claim) else self.ready).appendleft(claim)

    def hand_back(self, claims: Iterable[Claim]) -> None:
        """Have ranges go back as they came, with the next exchange."""
        self.wounded.extend(Wounded(claim, settled(claim.deaths), None, 0.0, 0.0) for claim in claims)

    def break_off(self, error: Exception) -> None:
        """Give the map up: what stands in its keys can't be worked with."""
        self.closed = self.closed or f"{type(error).__name__}: {error}"
        self.refusal = self.refusal or refusals.of(error)
        self.ready.clear()
        self.last.clear()
        self.ended.clear()
        self.wounded.clear()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Break off if the body meets damage; the server's errors are raised."""
        try:
            yield
        except Exception as error:
            if not is_damage(error):
                raise
            self.break_off(error)

    def ran(self, outcome: ChunkOutcome) -> None:
        """Learn how long chunks take."""
        self.seconds = outcome.seconds if not self.seconds else 0.7 * self.seconds + 0.3 * outcome.seconds
