"""The service as an RQ worker: registered, visible in RQ's tools, and keeping RQ's books of each job.

What RQ records at the start and the end of a job is recorded by RQ's own code. Only the work loop is not RQ's:
``BaseWorker.work`` runs one job at a time, in the main thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import rq
from redis.exceptions import ConnectionError as RedisConnectionError
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimitRegistry
from rq.worker.base import BaseWorker, WorkerStatus

from taskq.payload.sealed import Sealed, SealedJobSerializer, SealedRetry, SealedSerializer
from taskq.redis import holdings, keys, services
from taskq_workers import clock, readable
from taskq_workers.link.tasks import JobOutcome
from taskq_workers.rq_options import RQOptions
from taskq_workers.service.rq.ear import Ear
from taskq_workers.service.rq.fence import Fence, Guard, NotHeldError, ReplacedJobError
from taskq_workers.service.rq.job import OnWebhooks, ServiceJob, name_of

log = logging.getLogger(__name__)

_HEARING = 60  # seconds that the thread which hears commands waits for one at a time; RQ's
STOPPED = "Job stopped by user, work-horse terminated."  # RQ's own words


class RQWorker(BaseWorker):
    """RQ's view of a service.

    Args:
        queues: Names, in order of priority.
        name: See ``settings.worker_name``.
        connection: The dispatcher's; all methods but ``subscribe`` are for the thread that owns the service's
            state.
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
        """To RQ's channel of this worker, and to what concerns all of taskq's services.

        Both before the thread is there that hears them, where RQ's own method would do for the first: whoever uses
        its connection beside it, and has to connect anew, shares the replies with it, and the thread ends by that.
        """
        channel: Any = self.connection.pubsub()
        channel.subscribe(**{self.pubsub_channel_name: self.handle_payload, keys.NOTES: self._handle_note})
        self.pubsub = channel
        hearing = channel.run_in_thread(
            sleep_time=_HEARING, daemon=True, exception_handler=self._pubsub_exception_handler
        )
        hearing.name = "commands"
        self.pubsub_thread = hearing

    def keep_hearing(self) -> None:
        """Hear commands and notes anew, if the thread has ended: redis-py's does, of whatever it can't read."""
        thread: Any = self.pubsub_thread
        if not thread.is_alive():
            log.error("the thread that hears commands has ended, and another one is started",
                      extra={"action": "not_heard"})  # fmt: skip
            self.subscribe()

    def _handle_note(self, message: Any) -> None:
        notes = (keys.LOOK, keys.WORK, keys.IDLE)
        if rq.command.parse_payload(message).get("command") in notes:  # nobody commands all services at once
            self.handle_payload(message)

    # -- a job's life ----------------------------------------------------------------------------------

    def job_of(self, job_id: str, fields: Mapping[bytes, bytes]) -> ServiceJob:
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
        job.made = fields.get(b"created_at", b"")
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

        Raises:
            DamagedError: If its mark was changed, so that nobody can tell what it is.
        """
        connection: Any = self.connection
        mark, made = (job.mark, job.made) if isinstance(job, ServiceJob) else ("", b"")
        guard = Guard(keys.held(self.name), execution.composite_key, job.key if job else "", mark, made)
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
            # No warning: who cancels what is just ending, as an iterator does that is dropped, meets this.
            log.info("job %s was deleted, cancelled, ended by another or pushed again", job.id,
                     extra={"action": "replaced", "job": job.id})  # fmt: skip
            self.forget(job, execution)
        return False

    def succeed(self, job: Job, queue: rq.Queue, execution: Execution, value: Any) -> bool:
        """Record a success; ``value``: the result, or the ``Sealed`` pickle of it.

        Returns (as all of these): whether it was ours to record.
        """
        self.end(job)
        job._result = value
        registry = queue.started_job_registry
        with self._counted_once(job, execution):
            recorded = self._while_held(
                execution, lambda: self.handle_job_success(job, queue, registry, execution), job
            )
        if recorded:
            job.send_webhooks(JobStatus.FINISHED)
        return recorded

    def fail(
        self, job: Job, queue: rq.Queue, execution: Execution, error: str, *, stopped: bool = False,
        told: bool = False,
    ) -> bool:  # fmt: skip
        """Record a failure, or the retry that the job's ``Retry`` asks for; ``error``: the traceback's text.

        A job that was ``stopped`` is never retried. ``told``: its pool process has logged it.
        """
        self.end(job)
        how = "was stopped" if stopped else "failed: " + error.strip().rpartition("\n")[2]
        log.log(logging.DEBUG if told else logging.WARNING, "job %s (%s) %s", job.id, name_of(job), how,
                extra={"action": "job_stopped" if stopped else "job_failed", "job": job.id})  # fmt: skip
        self._stopped_job_id = job.id if stopped else None

        def record() -> None:
            self.handle_job_failure(job, queue, exc_string=error, execution=execution)

        with self._counted_once(job, execution):
            with self._hearing() as hidden:
                ours = self._while_held(execution, record, job)
            if self.holds(execution):
                not_recorded = RedisConnectionError(f"the failure of job {job.id} could not be recorded")
                raise hidden[0] if hidden else not_recorded
        return ours

    def retry(self, job: Job, queue: rq.Queue, execution: Execution, outcome: JobOutcome) -> bool:
        """Record that the job returned a ``Retry``."""
        self.end(job)
        assert outcome.retry is not None
        assert outcome.value is not None
        job._result = retry = SealedRetry(outcome.retry, outcome.value)  # RQ saves it in the job's hash, too
        registry = queue.started_job_registry

        def record() -> None:
            self.handle_job_retry(job, queue, retry, registry, execution)

        with self._counted_once(job, execution):
            with self._hearing() as hidden:
                ours = self._while_held(execution, record, job)
            if hidden and self.holds(execution):
                raise hidden[0]
        return ours

    @contextmanager
    def _counted_once(self, job: Job, execution: Execution) -> Iterator[None]:
        """Have each try to record this end begin with the counters as they are: RQ counts before it writes."""
        names = ("retries_left", "number_of_retries", "repeats_left", "repeat_intervals", "enqueued_at", "_status")
        before = {name: copy(getattr(job, name)) for name in names}
        try:
            yield
        except BaseException:
            self.executions[execution.id] = execution
            vars(job).update(before)
            raise

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

        ours = self._while_held(execution, record)
        if ours and job.has_rate_limit:
            # Others wait for its place, unless that is whose who has its id by now: RQ looks.
            RateLimitRegistry.from_job(job).release_stale_and_enqueue(job.id)
        return ours

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
    def end(job: Job) -> timedelta:
        """Note the job's end, if its process did not; returns how long it ran."""
        job.started_at = job.started_at or clock.utc()
        if job.ended_at is None or job.ended_at < job.started_at:  # of an earlier run
            job.ended_at = clock.utc()
        return job.ended_at - job.started_at
