"""The short path of simple plain jobs: begun and finished by one script each, many at a time.

RQ's own code takes some 57 commands and 2 ms for a job; most jobs need none of what makes up the difference. A job
is simple if its success means no more than storing its result (``take.lua`` says exactly when). What is written is
what RQ writes, field by field: tests/integration/test_same_as_rq.py compares. As soon as anything else happens to
such a job, a failure, a kill, a dependent, RQ's own code takes over.
"""

from __future__ import annotations

import base64
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

import rq
from rq.executions import Execution
from rq.job import Job
from rq.suspension import WORKERS_SUSPENDED

from taskq.redis import holdings, ids, keys
from taskq.redis.lua import Scripts
from taskq.views import tracing
from taskq_workers import clock
from taskq_workers.service.core.execution import OVERTIME, PlainJob
from taskq_workers.service.core.state import State
from taskq_workers.service.rq import prefixes
from taskq_workers.service.rq.worker import RQWorker
from taskq_workers.service.upkeep import mirror, recovery

log = logging.getLogger(__name__)

SHORT = 0.005
"""Seconds. While plain jobs run shorter than this, more are begun than there are free processes, so that no
process waits for Redis."""

AHEAD = (0.02, 32)
"""How many: as many as run in so many seconds, for each process, and at most so many."""


_PATIENCE = 0.5  # seconds for which a job that was begun ahead waits for a process

TICKET = 24

DONE, NOT_OURS, NOT_SIMPLE = 1, 0, 2  # what finish.lua says of a job


class QuickJob(PlainJob):
    """A simple job that ``take.lua`` has begun; RQ's own object for it is made only if something needs it."""

    def __init__(
        self, worker: RQWorker, queue: rq.Queue, execution: Execution, began: bytes, fields: dict[bytes, bytes]
    ) -> None:
        self._worker = worker
        self.queue = queue
        self.execution = execution
        self._began = began
        self.fields = fields
        self.deadline = None
        self.span = None
        self.submitted = self.stopped = self.alone = False
        self.long_way = False  # its end is for RQ's own code to record
        self.unread = 0
        self.outcome = None
        self.taken_at = time.monotonic()

    @property
    def began(self) -> bytes:
        """As take.lua has written it."""
        return self._began

    @cached_property
    def job(self) -> Job:  # type: ignore[override]
        try:
            job = self._worker.job_of(self.job_id, self.fields)
        except Exception:  # noqa: BLE001 - the hash may hold anything: its pool process says what, and it fails
            known = {b"data": self.fields[b"data"], b"origin": self.queue.name.encode()}
            job = self._worker.job_of(self.job_id, known)
            job.made = self.fields.get(b"created_at", b"")
        job.worker_name = self._worker.name
        began = datetime.fromtimestamp(float(self._began), UTC)
        job.started_at = job.last_heartbeat = self.execution.created_at = began
        job._status = rq.job.JobStatus.STARTED  # noqa: SLF001 - as prepare_for_execution leaves it
        return job

    def started(self, hooks: int = 0) -> None:
        self.submitted = True
        timeout = float(self.fields.get(b"timeout") or 0)
        if timeout > 0:
            self.deadline = time.monotonic() + timeout * (1 + hooks) + OVERTIME

    @property
    def succeeded(self) -> bool:
        """Whether it has ended as expected, and that is to be recorded on the short path."""
        outcome = self.outcome
        if outcome is None or self.long_way or outcome.ran is None:
            return False
        return not (outcome.error or outcome.retry or outcome.changes)

    @property
    def seconds(self) -> float | None:
        ran = self.outcome.ran if self.outcome else None
        return ran[1] - ran[0] if ran else None


@dataclass(frozen=True)
class Batch:
    """Jobs whose ends are recorded by one script."""

    jobs: list[QuickJob]

    def break_off(self, _error: Exception) -> None:
        """Something in its way holds what it can't work with: each job alone, then, by RQ's own code."""
        for job in self.jobs:
            job.long_way = True


def new_ticket() -> str:
    """What nobody else has, ``TICKET`` characters; see take.lua."""
    return os.urandom(TICKET // 2).hex()


def queue_take(
    pipe: Any,
    scripts: Scripts,
    worker: RQWorker,
    queues: Sequence[rq.Queue],
    ticket: str,
    *,
    room: int = 0,
    maps: int = 1,
    maps_of: Sequence[int] = (),
    jobs_of: Sequence[bool] = (),
    most: int = 1,
    alternates: bool = False,
    fetched: bool = False,
) -> None:
    """Queue the script which takes up to ``room`` jobs; or, for a fetcher, what was moved for it.

    Args:
        pipe: Where to.
        scripts: Of the same connection.
        worker: For whom.
        queues: In the order in which they are asked.
        ticket: From ``new_ticket``.
        room: See above.
        maps: How many maps to take besides at most, for they need no process; 0: nothing but what was moved.
        maps_of: How many of each queue; as many, if nothing is said.
        jobs_of: Whether each queue is asked for jobs, too, or only for the maps at its front; for jobs, if nothing
            is said.
        most: How many jobs and maps in all.
        alternates: Whether the queues take turns.
        fetched: It is for the fetcher of the only queue.
    """
    moved = [keys.fetched(worker.name, queue.name) for queue in queues] if fetched else []
    scripts.take(
        [
            WORKERS_SUSPENDED, keys.LEASES, worker.key, worker.executions_key, keys.held(worker.name),
            *(key for queue in queues
              for key in (queue.key, queue.intermediate_queue_key, f"{prefixes.WIP}{queue.name}")),
            *moved,
        ],
        [
            worker.name, room, int(alternates), int(_allowed(worker)), int(fetched),
            worker.job_monitoring_interval, prefixes.JOB, prefixes.EXECUTION, prefixes.EXECUTIONS, ticket,
            worker.heartbeat_grace, maps, most,
            *(text for queue, most, jobs in zip(queues, maps_of or [maps] * len(queues),
                                                jobs_of or [True] * len(queues), strict=True)
              for text in (f"{holdings.BEGUN} {queue.name}", most, int(jobs))),
        ],
        pipe,
    )  # fmt: skip


def _allowed(worker: RQWorker) -> bool:
    """Whether there is a short path: spans are begun on the long one, and a result may have to vanish at once."""
    return not tracing.active() and bool(worker.default_result_ttl)


def read_take(
    state: State, queues: Sequence[rq.Queue], reply: list[Any]
) -> tuple[list[QuickJob], list[tuple[rq.Queue, str]]]:
    """What was begun, and what is still to be begun by RQ's own code."""
    begun, others = [], []
    for number, raw_id, *rest in reply[1:]:
        queue = queues[int(number)]
        job_id = raw_id.decode() if rest else ids.read(raw_id)  # take.lua begins no other
        if job_id is None:  # it is in no list any more: see take.lua
            log.error("no job can have the id %.100r, it is taken off the queue %s", raw_id, queue.name,
                      extra={"action": "bad_id"})  # fmt: skip
        elif not rest:
            others.append((queue, job_id))
        else:
            execution_id, began, flat = rest
            execution = Execution(execution_id.decode(), job_id, state.connection, state.name)
            state.worker.executions[execution.id] = execution
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            begun.append(QuickJob(state.worker, queue, execution, began, fields))
    return begun, others


def give_back_late(state: State) -> None:
    """Give jobs back that were begun ahead and have waited for a process too long: others may be free."""
    for job in [job for job in state.ready if isinstance(job, QuickJob)]:
        if time.monotonic() - job.taken_at > _PATIENCE:
            give_back(state, job)
            state.job_seconds = max(state.job_seconds or 0.0, _PATIENCE)  # else it would be taken again at once


def give_back(state: State, job: PlainJob) -> None:
    """Let go of a job that was begun, and has not run."""
    mirror.is_held(state, job)  # it goes back only by what the index says
    recovery.return_safely(state.connection, state.name, job.holding)
    state.worker.executions.pop(job.execution.id, None)
    state.let_go(job)


def queue_finish(state: State, pipe: Any, jobs: list[QuickJob]) -> None:
    """Queue the script which records these successes; for its reply see finish.lua."""
    args = [state.name, prefixes.JOB, prefixes.EXECUTION, prefixes.EXECUTIONS, prefixes.RESULTS, prefixes.WIP,
            prefixes.FINISHED]  # fmt: skip
    ahead = clock.SERVER.ahead
    for job in jobs:
        outcome = job.outcome
        assert outcome is not None
        assert outcome.ran is not None
        began, ended = outcome.ran[0] + ahead, outcome.ran[1] + ahead
        value = "" if outcome.value is None else base64.b64encode(outcome.value).decode()
        ttl = job.fields.get(b"result_ttl") or state.worker.default_result_ttl
        args += [job.job_id, job.execution.id, job.queue.name, ttl, _formatted(began), _formatted(ended), began,
                 ended, value, job.began, job.fields.get(b"created_at", b"")]  # fmt: skip
    held = keys.held(state.name)
    state.scripts.finish([state.worker.key, state.worker.executions_key, held], args, pipe)


def _formatted(moment: float) -> str:
    """As RQ's ``utcformat``, whose strftime takes longer than all else that is said of an end."""
    second, micros = divmod(round(moment * 1_000_000), 1_000_000)
    return f"{_second(second)}.{micros:06d}Z"


@lru_cache(maxsize=2)  # most ends are of the same second
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()
