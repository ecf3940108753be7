"""The service as an RQ worker: registered, visible in RQ's tools, and keeping RQ's books of each job.

What RQ records at the start and the end of a job is recorded by RQ's own code. Only the work loop is not RQ's:
``BaseWorker.work`` runs one job at a time, in the main thread.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import uuid4

import rq
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import WatchError
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.worker.base import BaseWorker, WorkerStatus

from taskq.payload.sealed import Sealed, SealedJobSerializer, SealedRetry, SealedSerializer
from taskq.redis import checked, holdings, keys, services
from taskq.redis.patience import says_damage
from taskq_workers import clock, readable
from taskq_workers.link.tasks import JobOutcome
from taskq_workers.rq_options import RQOptions
from taskq_workers.service.rq.ear import Ear
from taskq_workers.service.rq.fence import Fence, Guard, NotHeldError, ReplacedJobError
from taskq_workers.service.rq.job import OnWebhooks, ServiceJob

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Any)

_NAME = 100  # characters
STOPPED = "Job stopped by user, work-horse terminated."  # RQ's own words
_COUNTS = ("successful_job_count", "failed_job_count", "total_working_time")  # of the worker's hash; RQ's
_COUNT = re.compile(rb"-?\d{1,17}(\.\d{1,20})?")  # to which Redis can add


class RQWorker(BaseWorker):
    """RQ's view of a service.

    Args:
        queues: Names, in order of priority.
        name: See ``settings.worker_name``.
        connection: The dispatcher's; all methods but ``subscribe`` are for who has the turn.
        options: RQ's own.
    """

    heartbeat_grace = 60  # seconds for which the next heartbeat may be late; RQ's

    def __init__(
        self, queues: tuple[str, ...], name: str, connection: Any, options: RQOptions | None = None
    ) -> None:
        arguments = (options or RQOptions()).worker_arguments()
        super().__init__(list(queues), name=name, connection=connection, serializer=SealedSerializer, **arguments)
        self.log_result_lifespan = False
        self.on_message: Callable[[dict[str, Any]], None] = lambda _payload: None
        self.on_webhooks: OnWebhooks = lambda _job, _status, _error: None

    def _set_connection(self, connection: Any) -> Any:
        return connection  # RQ would set a socket timeout of minutes, for its blocking dequeue

    def handle_payload(self, message: Any) -> None:
        """RQ's command channel: nothing is done in its thread but to pass the message on."""
        try:
            payload = rq.command.parse_payload(message)
            if not isinstance(payload, dict):
                raise TypeError("a command is a JSON object")
            self.on_message(payload)
        except Exception:
            log.exception("not a command: %r", message, extra={"action": "bad_command"})

    def subscribe(self) -> None:
        """To RQ's channel of this worker, and to what concerns all of taskq's services."""
        super().subscribe()
        channel: Any = self.pubsub
        channel.subscribe(**{keys.NOTES: self._handle_note})

    def _handle_note(self, message: Any) -> None:
        notes = (keys.LOOK, keys.WORK, keys.IDLE)
        if rq.command.parse_payload(message).get("command") in notes:  # nobody commands all services at once
            self.handle_payload(message)

    # -- a job's life ----------------------------------------------------------------------------------

    def job_of(self, job_id: str, fields: Mapping[bytes, bytes]) -> Job:
        """The RQ job with this hash; its pickles stay sealed.

        Raises:
            rq.exceptions.NoSuchJobError: If the hash is not a job's.
            DamagedError: If RQ's code could not work with what is in it.
            ValueError: If RQ can't read it.
        """
        job = ServiceJob(job_id, connection=self.connection, serializer=SealedJobSerializer(job_id))
        job.on_webhooks = self.on_webhooks
        job.restore(fields)
        job.mark = fields.get(keys.JOB_KIND.encode(), b"").decode("utf-8", "replace")
        readable.check(job)
        return job

    def get_heartbeat_ttl(self, job: Job | None = None, working_time: float = 0.0) -> int:  # noqa: ARG002 - RQ's signature
        """As RQ's for a job without a timeout, whatever its timeout is.

        RQ's shrinks with the time left, below zero while a long callback runs, and so an execution would expire
        here, and its end be dropped as somebody else's. Whether a job is over its time the service sees itself.
        """
        return int(self.job_monitoring_interval) + self.heartbeat_grace

    def new_execution(self, job_id: str) -> Execution:
        """One that is to be begun."""
        return Execution(uuid4().hex, job_id, self.connection, self.name)

    def begin(self, job: Job, queue: rq.Queue, pipe: Any, execution: Execution | None = None) -> Execution:
        """Queue what RQ's worker and its horse write before a job runs, in one transaction of the caller's.

        Args:
            job: From ``job_of``.
            queue: From which it was taken.
            pipe: Of the transaction.
            execution: What it is held as; None: it is not held yet.
        """
        ttl = self.get_heartbeat_ttl(job)
        execution = execution or self.new_execution(job.id)
        pipe.hset(keys.held(self.name), execution.composite_key, f"{holdings.BEGUN} {queue.name}")
        services.note_work(pipe, self.name)
        # What RQ's ``Execution.create`` writes, which would give it another id.
        execution.save(ttl, pipe)
        ExecutionRegistry(job.id, pipe).add(execution, ttl, pipe)
        job.started_job_registry.add_execution(execution, pipe, ttl)
        pipe.sadd(execution.worker_executions_key, execution.composite_key)
        pipe.expire(execution.worker_executions_key, ttl + self.heartbeat_grace)
        self.executions[execution.id] = execution
        if self.get_state() != WorkerStatus.BUSY:
            self.set_state(WorkerStatus.BUSY, pipeline=pipe)
        # The worker's own heartbeat is membership.py's; the job's is part of the next call.
        job.prepare_for_execution(self.name, pipeline=pipe)
        pipe.persist(job.key)
        return execution

    def holds(self, execution: Execution) -> bool:
        """Whether the end of this execution is still for us to record."""
        return bool(self.connection.hexists(keys.held(self.name), execution.composite_key))

    def cleanup_execution(self, job: Job, pipeline: Any, execution: Execution | None = None) -> None:
        """As RQ's, in the transaction that records an end; it is not held any more then."""
        super().cleanup_execution(job, pipeline, execution)
        if execution:
            pipeline.hdel(keys.held(self.name), execution.composite_key)

    def _while_held(self, execution: Execution, record: Callable[[], object], job: Job | None = None) -> bool:
        """Call what records the end of an execution; its transaction is made only if that is held. If it was.

        Args:
            execution: See above.
            record: See above.
            job: Only if it is this one still, and neither cancelled nor finished, if it is a map: its id may have
                been pushed again.
        """
        connection: Any = self.connection
        mark = job.mark if isinstance(job, ServiceJob) else ""
        guard = Guard(keys.held(self.name), execution.composite_key, job.key if job else "", mark)
        fence: Any = Fence(connection, guard)
        self.connection = fence
        try:
            record()
        except NotHeldError as error:
            self.executions.pop(execution.id, None)
            replaced = isinstance(error, ReplacedJobError)
        else:
            return True
        finally:
            self.connection = connection
        if replaced and job:
            log.warning("job %s was deleted, cancelled, ended by another or pushed again", job.id,
                        extra={"action": "replaced", "job": job.id})  # fmt: skip
            self.forget(job, execution)
        return False

    def is_simple(self, job: Job) -> bool:
        """Whether a success means no more than storing the result: see ``succeed_together``."""
        return not (job.repeats_left or job.has_rate_limit or job.webhooks or job.get_result_ttl(1) == 0)

    def without_dependents(self, ended: list[T]) -> list[T]:
        """Those of the ``ended`` (each with a ``job``) on which no other job waits."""
        if not ended:
            return []
        found = self.connection.exists(*(one.job.dependents_key for one in ended))
        if not found:
            return ended
        return [one for one in ended if not self.connection.exists(one.job.dependents_key)]

    def succeed_together(self, ended: list[tuple[Job, rq.Queue, Execution, Any]]) -> dict[str, Exception]:
        """Record simple successes in one transaction, where RQ's own method makes three round trips for each.

        The commands are those of ``handle_job_success``, made by the same parts of RQ. A dependent that was
        added in this very moment is found after the commit, as RQ itself finds all of them after a failure.

        What is no longer ours is passed over: its end is on record, or we were given up for dead and it runs
        elsewhere. Watching the index of what we hold makes sure of that up to the very commit.

        Returns:
            Job id -> why not all of its end could be recorded: what stands in its keys is not RQ's.
        """
        with self.connection.pipeline() as pipe:
            while True:
                try:
                    recorded = self._succeed_together(pipe, ended)
                except WatchError:  # another job has just come, or was taken from us
                    continue
                break
        refused = {}
        for job, queue, replies in recorded:
            *made, depended_on = replies
            error = next((reply for reply in made if isinstance(reply, Exception)), None)
            if error is not None and not says_damage(error):
                raise error
            if error is not None:
                refused[job.id] = error
            elif depended_on:
                self._enqueue_dependents_safely(queue, job)
        return refused

    def _succeed_together(
        self, pipe: Any, ended: list[tuple[Job, rq.Queue, Execution, Any]]
    ) -> list[tuple[Job, rq.Queue, list[Any]]]:
        """Of each that was ours what the server has replied; the last reply is whether others depend on it."""
        asked: list[tuple[int, int]] = []  # of each job the first command about it, and the last, which asks
        index = keys.held(self.name)
        pipe.watch(index)
        held = pipe.hmget(index, [execution.composite_key for _job, _queue, execution, _value in ended])
        ended = [one for one, entry in zip(ended, held, strict=True) if entry is not None]
        deleted: list[str] = []
        if ended and pipe.exists(*(job.key for job, *_rest in ended)) < len(ended):
            deleted = [ex.composite_key for job, _, ex, _ in ended if not pipe.exists(job.key, ex.key)]
        pipe.multi()
        if deleted:
            pipe.hdel(index, *deleted)
            ended = [one for one in ended if one[2].composite_key not in deleted]
        for job, _queue, execution, value in ended:
            job._result = value
            took = self._end(job)
            ttl = job.get_result_ttl(self.default_result_ttl)
            self.increment_successful_job_count(pipeline=pipe)
            self.increment_total_working_time(took, pipe)
            first = len(pipe)
            job._handle_success(
                ttl,
                pipeline=pipe,
                worker_name=self.name,
                execution_id=execution.id,
                execution_started_at=execution.created_at,
                execution_ended_at=job.ended_at,
            )
            job.cleanup(ttl, pipeline=pipe, remove_from_queue=False)
            self.cleanup_execution(job, pipeline=pipe, execution=execution)
            asked.append((first, len(pipe)))
            pipe.exists(job.dependents_key)
        replies = pipe.execute(raise_on_error=False)
        return [
            (job, queue, replies[first : last + 1])
            for (first, last), (job, queue, _execution, _value) in zip(asked, ended, strict=True)
        ]

    def succeed(self, job: Job, queue: rq.Queue, execution: Execution, value: Any) -> bool:
        """Record a success; ``value``: the result, or the ``Sealed`` pickle of it.

        Returns (as all of these): whether it was ours to record.
        """
        self._end(job)
        job._result = value
        registry = queue.started_job_registry
        recorded = self._while_held(
            execution, lambda: self.handle_job_success(job, queue, registry, execution), job
        )
        if recorded:
            job.send_webhooks(JobStatus.FINISHED)
        return recorded

    def fail(self, job: Job, queue: rq.Queue, execution: Execution, error: str, *, stopped: bool = False) -> bool:
        """Record a failure, or the retry that the job's ``Retry`` asks for; ``error``: the traceback's text.

        A job that was ``stopped`` is never retried.
        """
        self._end(job)
        # What RQ calls a job begins with its function's name; its arguments are nobody's business in a log.
        name = (job.description or "").partition("(")[0][:_NAME]
        why = error.strip().rpartition("\n")[2]
        log.warning("job %s (%s) failed: %s", job.id, name, why, extra={"action": "job_failed", "job": job.id})
        before = job.retries_left, job.number_of_retries
        recorded, ours = False, True
        self._stopped_job_id = job.id if stopped else None

        def record() -> None:
            self.handle_job_failure(job, queue, exc_string=error, execution=execution)

        try:
            with self._hearing() as hidden:
                ours = self._while_held(execution, record, job)
            recorded = not self.holds(execution)
        finally:
            if not recorded:
                self.executions[execution.id] = execution
                job.retries_left, job.number_of_retries = before  # RQ has counted this try already
        if not recorded:
            raise (
                hidden[0] if hidden else RedisConnectionError(f"the failure of job {job.id} could not be recorded")
            )
        return ours

    def retry(self, job: Job, queue: rq.Queue, execution: Execution, outcome: JobOutcome) -> bool:
        """Record that the job returned a ``Retry``."""
        self._end(job)
        assert outcome.retry is not None
        assert outcome.value is not None
        job._result = retry = SealedRetry(outcome.retry, outcome.value)  # RQ saves it in the job's hash, too
        registry = queue.started_job_registry

        def record() -> None:
            self.handle_job_retry(job, queue, retry, registry, execution)

        with self._hearing() as hidden:
            ours = self._while_held(execution, record, job)
        if hidden and self.holds(execution):
            raise hidden[0]
        return ours

    @contextmanager
    def _hearing(self) -> Iterator[list[Exception]]:
        """The errors that RQ's code only logs in the body, as when Redis has not taken a job's end.

        Who called it must know them: the server may be away, and then it is to be said again, or what is to be
        written can't be, and never will.
        """
        hidden: list[Exception] = []
        before, self.log = self.log, cast("Any", Ear(self.log, hidden))
        try:
            yield hidden
        finally:
            self.log = before

    def helps(self) -> None:
        """It runs chunks of a map whose job is another worker's."""
        if self.get_state() != WorkerStatus.BUSY:
            self.set_state(WorkerStatus.BUSY)

    def forget(self, job: Job, execution: Execution) -> bool:
        """Take back the execution's record: the job was cancelled, deleted, or taken from us."""

        def record() -> None:
            with self.connection.pipeline() as pipe:
                self.cleanup_execution(job, pipeline=pipe, execution=execution)
                pipe.execute()

        return self._while_held(execution, record)

    def is_busy(self) -> None:
        """Redis has just been told that jobs run; see take.lua."""
        self._state = WorkerStatus.BUSY

    def is_idle(self) -> None:
        """Redis has just noted that nothing runs; see finish.lua."""
        self._state = WorkerStatus.IDLE

    def say_stop(self, requested: datetime) -> None:
        """Write when a shutdown was asked for, while something runs."""
        self._shutdown_requested_date = requested
        self.set_shutdown_requested_date()

    def mend(self, executions: Iterable[Execution]) -> bool:
        """Make anew what can't be worked with of this worker's own keys; whether there was something.

        Args:
            executions: That it has.
        """
        kinds = {self.key: "hash", self.executions_key: "set"}
        wrong = [key for key, kind in kinds.items() if not checked.is_a(self.connection, key, kind)]
        for key in wrong:
            self.connection.delete(key)
        if self.key in wrong:
            self.connection.hset(self.key, mapping=self.serialize())
            self.connection.expire(self.key, self.worker_ttl + self.heartbeat_grace)
        if self.executions_key in wrong and (members := [one.composite_key for one in executions]):
            self.connection.sadd(self.executions_key, *members)
        bad = []
        if self.key not in wrong:
            counted: list[Any] = self.connection.hmget(self.key, _COUNTS)
            bad = [
                name for name, value in zip(_COUNTS, counted, strict=True) if value and not _COUNT.fullmatch(value)
            ]
        if bad:
            self.connection.hdel(self.key, *bad)
        if wrong or bad:
            log.error("%s held what is not RQ's, and was mended", self.key, extra={"action": "damage"})
        return bool(wrong or bad)

    def rest(self) -> None:
        """Nothing runs."""
        if self.get_state() == WorkerStatus.BUSY:
            self.set_state(WorkerStatus.IDLE)

    @staticmethod
    def take_over(job: Job, outcome: JobOutcome) -> None:
        """Let the job be as its own code has left it."""
        changes = dict(outcome.changes or {})
        if "meta" in changes:
            changes["meta"] = Sealed(changes["meta"]) if changes["meta"] else {}  # RQ leaves what is stored then
        for name, value in changes.items():
            setattr(job, "data" if name == "_data" else name, value)
        if outcome.name:
            job._func_name = outcome.name
        if outcome.ran:
            job.started_at, job.ended_at = (
                datetime.fromtimestamp(clock.SERVER.at(moment), UTC) for moment in outcome.ran
            )

    @staticmethod
    def _end(job: Job) -> timedelta:
        """Note the job's end, if its process did not; returns how long it ran."""
        job.started_at = job.started_at or clock.utc()
        if job.ended_at is None or job.ended_at < job.started_at:  # of an earlier run
            job.ended_at = clock.utc()
        return job.ended_at - job.started_at
