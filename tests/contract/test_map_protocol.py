"""The protocol of claims, commits and leases as a state machine: whatever happens, I1 and I3 hold.

Workers here are what a service is to Redis: they take the map's RQ job or a helper job, claim chunks, commit them
(twice, late, without hearing the reply), lose their lease and wake up again. ``TASKQ_EXAMPLES=2000`` looks longer.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rq.job import Job, JobStatus

from taskq.maps.chunk import Header, read_header
from taskq.maps.job import HelperJob
from taskq.maps.rq_jobs import HELP_PATH
from taskq.maps.store import Claim
from taskq.payload import codec
from taskq.payload.outcome import ChunkOutcome, ItemFailure
from taskq.redis import services
from taskq.redis.kinds import HELPER, kind_of
from taskq.redis.services import ServiceInfo
from taskq.testing import make_fake_queue
from taskq.views.timeline import TimelineNote
from taskq_workers.service.rq.worker import RQWorker
from taskq_workers.service.upkeep import recovery
from taskq_workers.settings import MAX_DEATHS
from tests import jobs

NAMES = ("ann", "bob")
_FAR = 1000.0  # seconds: a lease that does not end by itself here

workers = st.sampled_from(NAMES)
bits = st.integers(0, 255)


@dataclass
class Worker:
    """One service, as far as it knows."""

    rq: RQWorker
    held: list[Claim] = field(default_factory=list)
    sent: list[tuple[Claim, ChunkOutcome]] = field(default_factory=list)  # commits; it may have heard no reply
    executions: list[tuple[Job, Any]] = field(default_factory=list)
    asleep: bool = False  # its lease is over, and it does not know

    @property
    def name(self) -> str:
        return str(self.rq.name)


class Protocol(RuleBasedStateMachine):
    """One map, two workers."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = make_fake_queue()
        self.redis = self.queue.connection
        self.runs = itertools.count()
        self.expected: list[tuple[int, int]] = []  # (item, run) of all that was accepted
        self.workers = {name: Worker(RQWorker((self.queue.name,), name, self.redis)) for name in NAMES}
        self.helpers = 0

    @initialize(total=st.integers(1, 12), chunksize=st.integers(1, 5))
    def push(self, total: int, chunksize: int) -> None:
        self.job = self.queue.map(jobs.square, range(total), chunksize=chunksize)
        self.store = self.job.store
        self.total = total
        for worker in self.workers.values():
            worker.rq.register_birth()
            self._renew(worker)
        self.take(NAMES[0])

    def _renew(self, worker: Worker, lease: float = _FAR) -> Any:
        info = ServiceInfo(worker.name, "host", 1, 1, (self.queue.name,), "3", 0.0)
        return services.renew(self.store.scripts, info, lease).alive

    # -- taking jobs -----------------------------------------------------------------------------------

    @rule(name=workers)
    def take(self, name: str) -> None:
        """Whatever is first in the queue: the map's own job, or a helper job."""
        worker = self.workers[name]
        reply = take(self.queue)
        for job_id in reply:
            fields = self.redis.hgetall(Job.key_for(job_id))
            if not fields:
                self.redis.lrem(self.queue.intermediate_queue_key, 1, job_id)
                continue
            job = worker.rq.job_of(job_id, fields)
            with self.redis.pipeline() as pipe:
                worker.executions.append((job, worker.rq.begin(job, self.queue, pipe)))
                pipe.execute()
            if kind_of(fields)[0] != HELPER:
                self.store.open(name)

    @rule()
    def ask_for_help(self) -> None:
        self.helpers += 1
        job = HelperJob.create(
            HELP_PATH, args=(self.job.id,), connection=self.redis, id=f"{self.job.id}-helper-{self.helpers}",
            origin=self.queue.name, timeout=-1, result_ttl=0,
        )  # fmt: skip
        self.queue.enqueue_job(job, at_front=True)

    # -- chunks ----------------------------------------------------------------------------------------

    @rule(name=workers, count=st.integers(1, 4), heard=st.booleans(), late=st.booleans())
    def claim(self, name: str, count: int, heard: bool, late: bool) -> None:
        """Its reply may be lost; and only after it all commits arrive again that the worker ever sent."""
        worker = self.workers[name]
        if not worker.executions:
            return  # it does not know of the map
        reply = self.store.read_claims(self.store.claim(name, count))
        if heard:
            worker.held += reply.claims
        for claim, outcome in worker.sent if late else ():
            self._commit(worker, claim, outcome)

    @rule(name=workers, bad=bits, ran=st.integers(0, 5), heard=st.booleans())
    def commit(self, name: str, bad: int, ran: int, heard: bool) -> None:
        """The first chunk in hand: the items in ``bad`` fail; what is beyond the first ``ran`` is a new chunk."""
        worker = self.workers[name]
        if not worker.held:
            return
        claim = worker.held.pop(0) if heard else worker.held[0]
        outcome = self._outcome(claim, bad, ran)
        worker.sent.append((claim, outcome))
        self._commit(worker, claim, outcome)

    def _outcome(self, claim: Claim, bad: int, ran: int) -> ChunkOutcome:
        header, run = read_header(claim.payload), next(self.runs)
        offsets = list(header.offsets)
        cut = offsets[ran:] if ran else []
        done = [header.start + offset for offset in (offsets[:ran] if ran else offsets)]
        good = [index for index in done if not bad >> index % 8 & 1]
        failures = [ItemFailure(index, "ValueError", "") for index in done if index not in good]
        values = [codec.dumps((index, run)) for index in good]
        rest = [bytes(header.keeping(cut))] if cut else []
        return ChunkOutcome(values, [(index, 1) for index in good], failures, 1.0, 0.1, rest)

    def _commit(self, worker: Worker, claim: Claim, outcome: ChunkOutcome) -> None:
        note = TimelineNote("host", worker.name, 1, 0)
        totals = self.store.read_commit(self.store.commit(worker.name, claim, outcome, note))
        if totals.committed:
            self.expected += [codec.loads(value) for value in outcome.values]

    @rule(name=workers)
    def die(self, name: str) -> None:
        """The pool process that runs the first chunk in hand dies."""
        worker = self.workers[name]
        if not worker.held:
            return
        claim = worker.held.pop(0)
        header: Header = read_header(claim.payload)
        if claim.deaths + 1 < MAX_DEATHS:
            self.store.release(name, {claim.number: claim.deaths + 1})
        elif len(header.offsets) > 1:
            self.store.split(name, claim, header.halves(), MAX_DEATHS - 1)
        else:
            failure = ItemFailure.lost(header.start + header.offsets[0], "SIGKILL", MAX_DEATHS)
            self._commit(worker, claim, ChunkOutcome([], [], [failure], 1.0, 0.1))

    @rule(name=workers)
    def release(self, name: str) -> None:
        worker = self.workers[name]
        self.store.release(name, {claim.number: claim.deaths for claim in worker.held} or None)
        worker.held.clear()

    @rule(name=workers)
    def resolve_doubt(self, name: str) -> None:
        """Give back what Redis holds for it and it knows nothing of; also, of workers that are gone."""
        self.store.release_orphans()
        known = {claim.number for claim in self.workers[name].held}
        unknown = {n: deaths for n, deaths in self.store.held_by(name).items() if n not in known}
        if unknown:
            self.store.release(name, unknown)

    # -- the map ---------------------------------------------------------------------------------------

    @rule()
    def close(self) -> None:
        self.store.close("for a test")

    @rule(name=workers, closed=st.booleans(), heard=st.booleans(), late=st.booleans())
    def open(self, name: str, closed: bool, heard: bool, late: bool) -> None:
        """A retry or requeue; or, if it is not ``closed`` before, an owner that takes over. It claims at once."""
        if self.workers[name].executions:
            if closed:
                self.store.close()
            self.store.open(name)
            self.claim(name, 2, heard, late)

    # -- leases ----------------------------------------------------------------------------------------

    @rule(name=workers)
    def fall_asleep(self, name: str) -> None:
        self._renew(self.workers[name], lease=-1.0)
        self.workers[name].asleep = True

    @rule()
    def take_over(self) -> None:
        """Any service recovers those whose lease is over."""
        for name in services.lost(self.redis, self.store.scripts, _FAR):
            if services.depose(self.store.scripts, name):
                recovery.recover(self.redis, name)

    @rule(name=workers)
    def kill(self, name: str) -> None:
        """Its manager finds it dead, and hands on what it held; another incarnation has another name."""
        worker = self.workers[name]
        recovery.recover(self.redis, name)
        worker.held.clear()
        worker.executions.clear()
        worker.asleep = False
        worker.rq.register_birth()
        self._renew(worker)

    @precondition(lambda self: any(worker.asleep for worker in self.workers.values()))
    @rule(name=workers)
    def wake_up(self, name: str) -> None:
        """It renews its lease, and hears if it was given up for dead; then it lets go of everything."""
        worker = self.workers[name]
        worker.asleep = False
        if not self._renew(worker):
            worker.rq.register_birth()
            worker.executions = [one for one in worker.executions if self.redis.exists(one[1].key)]
            if not worker.executions:
                worker.held.clear()
                self.store.release(name)

    # -- what holds, always ----------------------------------------------------------------------------

    @invariant()
    def collected_once(self) -> None:
        """I1: results, spans and counters tell of each accepted item once."""
        results = [codec.loads(value) for value in self.store.results.read()]
        placed = [index for start, count in self.store.spans() for index in range(start, start + count)]
        assert results == self.expected
        assert [index for index, _run in results] == placed
        assert len(set(placed)) == len(placed), "an item has two results"
        info, failures = self.store.info(), self.store.failures()
        assert (info.done, info.failed) == (len(results), len(failures))
        assert not failures.keys() & set(placed)
        assert info.complete == (len(placed) + len(failures) == self.total)

    @invariant()
    def in_one_place(self) -> None:
        """I3: each chunk is pending, claimed or committed, and so each item is in one of them."""
        k, info = self.store.keys, self.store.info()
        chunks = {int(n): items_of(payload) for n, payload in self.redis.hgetall(k.chunks).items()}
        pending = [int(entry.partition(b":")[0]) for entry in self.redis.lrange(k.pending, 0, -1)]
        claims = {int(n): claim.decode().split(" ", 1)[1] for n, claim in self.redis.hgetall(k.claims).items()}
        assert not [n for n, count in Counter([*pending, *claims]).items() if count > 1]
        left = [*pending, *claims] if info.state == "open" else list(chunks)
        assert set(left) <= set(chunks)
        placed = [index for start, count in self.store.spans() for index in range(start, start + count)]
        errors = list(self.store.failures()) if info.state == "open" else []
        everywhere = Counter(index for n in left for index in chunks[n]) + Counter(placed) + Counter(errors)
        assert everywhere == Counter(range(self.total))
        if info.state != "open":
            assert not pending
            assert not claims

    def teardown(self) -> None:
        """Whatever has happened: in the end, one worker that lives gets all of it done."""
        if not hasattr(self, "store"):
            return
        for name in NAMES[1:]:
            recovery.recover(self.redis, name)
        last = self.workers[NAMES[0]]
        recovery.recover(self.redis, last.name)
        self.store.release_orphans()  # what they claimed while they did not know that they were given up
        self._renew(last)
        self.store.open(last.name)
        while claims := self.store.read_claims(self.store.claim(last.name, 3)).claims:
            for claim in claims:
                self._commit(last, claim, self._outcome(claim, 0, 0))
        self.collected_once()
        assert self.store.info().complete
        assert self.job.get_status() == JobStatus.QUEUED, "its RQ job went back to the queue each time"
        assert self.redis.keys("rq:execution*") == []


def items_of(payload: bytes) -> list[int]:
    header = read_header(payload)
    return [header.start + offset for offset in header.offsets]


def take(queue: Any) -> list[str]:
    job_id = queue.connection.lmove(queue.key, queue.intermediate_queue_key)
    return [job_id.decode()] if job_id else []


Protocol.TestCase.settings = settings(
    max_examples=int(os.environ.get("TASKQ_EXAMPLES", "40")),
    stateful_step_count=40,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a failure shows its steps at once; shrinking them takes minutes
)
TestProtocol = Protocol.TestCase
