"""What went wrong once: replies that are lost, deaths at odd moments, jobs that end while they end."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import rq
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from rq import Callback, Webhook
from rq.executions import Execution, ExecutionRegistry
from rq.job import Dependency, JobStatus

import taskq
from taskq import Queue
from taskq.redis import keys, services
from taskq.testing import running_worker
from taskq_workers.service.core.inbox import Inbox
from taskq_workers.service.jobs import intake
from taskq_workers.service.rq.worker import RQWorker
from taskq_workers.service.upkeep import deferred, recovery
from taskq_workers.settings import Trust
from tests import jobs
from tests.contract.test_map_open import works_on
from tests.integration.pretence import Deaf, announce, claim, deaf, owner_of
from tests.waiting import HANGS, LONG, wait_until

# -- lost replies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["claim", "commit", "take"])
def test_a_lost_reply_loses_nothing(fake_queue: Queue, operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[str] = []

    def lose(pipe: Pipeline) -> bool:
        sha = getattr(taskq.redis.lua.Scripts(fake_queue.connection), operation)._sha
        if not lost and any(sha in command[0] for command in pipe.command_stack):
            lost.append(operation)
            return True
        return False

    with running_worker(fake_queue, processes=1, new_connection=deaf(fake_queue)):
        monkeypatch.setattr(Deaf, "lose", staticmethod(lose))
        job = fake_queue.map(jobs.nap, [0.06, 0.07, 0.06, 0.07], chunksize=1)
        assert job.get(timeout=HANGS) == [0.06, 0.07, 0.06, 0.07]
        assert len(job.result_list) == 4
    assert lost
    assert fake_queue.connection.hlen(job.store.keys.claims) == 0


# -- deaths ------------------------------------------------------------------------------------------


def test_a_process_that_dies_as_it_sends_its_outcome_is_blamed(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1):
        job = fake_queue.map(jobs.die_sending, range(3), chunksize=1)
        results = job.get(timeout=HANGS, errors="return")
    assert results[::2] == [0, 2]
    assert isinstance(results[1], taskq.WorkerLostError)


def test_an_outcome_that_cant_be_sent_is_the_items_error(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1):
        job = fake_queue.map(jobs.unsendable, range(3), chunksize=1)
        results = job.get(timeout=HANGS, errors="return")
        assert results[::2] == [0, 2]
        assert isinstance(results[1], taskq.WorkerLostError)
        assert fake_queue.map(jobs.square, range(3)).get(timeout=HANGS) == [0, 1, 4]


def test_an_alarm_left_behind_does_not_go_off(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1):
        pids = fake_queue.map(jobs.leave_an_alarm, [0.1, 0.0], chunksize=1).get(timeout=HANGS)
    assert len(set(pids)) == 1


# -- waiting -----------------------------------------------------------------------------------------


def test_a_service_that_waits_for_a_helper_does_not_spin(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    wait, flag = Inbox.wait, tmp_path / "flag"

    def noted(self: Inbox, seconds: float) -> Any:
        waits.append(seconds)
        return wait(self, seconds)

    announce(fake_queue, "other")
    job = fake_queue.map(jobs.square, [1, 2], chunksize=1)
    claim(job, "other", 2)
    works_on(job.store, "other", job.id)
    with running_worker(fake_queue, processes=1):
        wait_until(lambda: owner_of(job))
        plain = fake_queue.enqueue(jobs.wait_for, str(flag))
        wait_until(lambda: plain.get_status() == JobStatus.STARTED)
        monkeypatch.setattr(Inbox, "wait", noted)
        wait_until(lambda: sum(waits) > 0.8 or len(waits) > 40)
        assert len(waits) < 40
        flag.touch()
        wait_until(lambda: plain.get_status() == JobStatus.FINISHED)
        assert not job.ready()
        job.cancel()


# -- recovery ----------------------------------------------------------------------------------------


def started_by(queue: Queue, name: str) -> rq.job.Job:
    """A job that the worker with this name has begun, when it died."""
    worker = RQWorker((queue.name,), name, queue.connection)
    worker.register_birth()
    job = queue.enqueue(jobs.square, 3)
    queue.connection.lmove(queue.key, queue.intermediate_queue_key)
    with queue.connection.pipeline() as pipe:
        worker.begin(worker.job_of(job.id, queue.connection.hgetall(job.key)), worker.queues[0], pipe)
        pipe.execute()
    return job


@pytest.mark.parametrize("moment", ["set_status", "delete"])
def test_two_who_recover_the_same_worker_push_its_jobs_once(
    any_queue: Queue, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = started_by(any_queue, "dead")
    kind: Any = rq.job.Job if moment == "set_status" else Execution
    original = getattr(kind, moment)

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(kind, moment, original)
        assert recovery.recover(any_queue.connection, "dead") == 1
        return original(*args, **kwargs)

    monkeypatch.setattr(kind, moment, meanwhile)
    assert recovery.recover(any_queue.connection, "dead") == 0
    assert any_queue.job_ids == [job.id]
    assert job.get_status() == JobStatus.QUEUED


class Flaky(fakeredis.FakeRedis):
    """The connection breaks when an id is about to be pushed."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] in ("LPUSH", "RPUSH"):
            raise RedisConnectionError("the connection broke")
        return super().execute_command(*args, **options)


def test_a_stranded_job_is_never_lost(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake.Stranded, "AFTER", 0.1, raising=False)
    job = fake_queue.enqueue(jobs.square, 3)
    fake_queue.connection.lmove(fake_queue.key, fake_queue.intermediate_queue_key)
    pool = fake_queue.connection.connection_pool
    with running_worker(fake_queue, processes=1, new_connection=lambda: Flaky(connection_pool=pool)):
        wait_until(lambda: job.return_value(refresh=True) == 9)


@pytest.mark.parametrize("status", [JobStatus.CANCELED, JobStatus.FINISHED, None])
def test_only_a_job_that_waits_is_given_back(fake_queue: Queue, status: JobStatus | None) -> None:
    with running_worker(fake_queue, processes=1, queues=("another",)) as state:
        job = fake_queue.enqueue(jobs.square, 3)
        assert not intake.give_back(state, fake_queue, job.id), "nobody has taken it"
        fake_queue.connection.lmove(fake_queue.key, fake_queue.intermediate_queue_key)
        assert intake.give_back(state, fake_queue, job.id)
        assert fake_queue.job_ids == [job.id]
        fake_queue.connection.lmove(fake_queue.key, fake_queue.intermediate_queue_key)
        if status is None:
            fake_queue.connection.delete(job.key)
        else:
            job.set_status(status)
        assert not intake.give_back(state, fake_queue, job.id)
        assert fake_queue.job_ids == []
        assert fake_queue.connection.llen(fake_queue.intermediate_queue_key) == 0


# -- stock workers that help -------------------------------------------------------------------------


def test_what_a_dead_stock_worker_held_comes_back(fake_queue: Queue, tmp_path: Path) -> None:
    rq.Worker([fake_queue], name="stock", connection=fake_queue.connection).register_birth()
    flag = tmp_path / "flag"
    with running_worker(fake_queue, processes=1):
        job = fake_queue.map(jobs.wait_for, [str(flag)] * 3, chunksize=1)
        wait_until(lambda: owner_of(job))
        claim(job, "stock")
        flag.touch()
        assert job.get(timeout=HANGS) == [str(flag)] * 3


# -- ends --------------------------------------------------------------------------------------------


def test_a_map_may_be_deleted_while_its_callback_runs(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1):
        job = real_queue.map(jobs.square, [1, 2], chunksize=1, on_success=Callback(jobs.wait_for_deletion))
        wait_until(lambda: real_queue.connection.exists(f"test:callback:{job.id}"))
        job.delete()
        assert real_queue.map(jobs.square, [3]).get(timeout=HANGS) == [9]
        assert not real_queue.connection.exists(job.key)


@pytest.mark.parametrize(
    "fields",
    [{"timeout": "3x"}, {"created_at": "yesterday"}, {"retry_intervals": "no json"}, {"data": ""}],
    ids=lambda fields: next(iter(fields)),
)
def test_a_job_that_cant_be_read_stops_nobody(fake_queue: Queue, fields: dict[str, str]) -> None:
    bad = fake_queue.enqueue(jobs.square, 3)
    fake_queue.connection.hset(bad.key, mapping=fields)
    with running_worker(fake_queue, processes=1):
        good = fake_queue.enqueue(jobs.square, 4)
        wait_until(lambda: good.return_value(refresh=True) == 16)
        wait_until(lambda: bad.id in fake_queue.failed_job_registry.get_job_ids(cleanup=False))
    assert fake_queue.connection.hget(bad.key, "status") == b"failed"
    assert fake_queue.connection.llen(fake_queue.intermediate_queue_key) == 0


def test_a_stopping_service_does_not_resurrect_what_was_canceled(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1, grace=0.2) as state:
        job = fake_queue.enqueue(jobs.nap, LONG)
        wait_until(lambda: any(lane.running for lane in list(state.lanes)))
        job.cancel()
    assert job.get_status() == JobStatus.CANCELED
    assert fake_queue.job_ids == []
    assert fake_queue.canceled_job_registry.get_job_ids() == [job.id]
    assert not fake_queue.connection.keys("rq:execution*")


def test_dependents_are_released_together_with_the_success(fake_queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    seen: list[str] = []
    executions: list[str] = []

    class Watching(fakeredis.FakeRedis):
        """Notes where the dependent is, seen from outside, whenever a transaction has finished the job."""

        def pipeline(self, *args: Any, **kwargs: Any) -> Any:
            pipe = super().pipeline(*args, **kwargs)
            execute = pipe.execute

            def watched(*args: Any, **kwargs: Any) -> Any:
                replies = execute(*args, **kwargs)
                if executions and not seen and not fake_queue.connection.exists(executions[0]):
                    seen.append(dependent.id)
                    deferred.extend(fake_queue.deferred_job_registry.get_job_ids(cleanup=False))
                return replies

            pipe.execute = watched
            return pipe

    deferred: list[str] = []
    pool = fake_queue.connection.connection_pool
    with running_worker(fake_queue, processes=1, new_connection=lambda: Watching(connection_pool=pool)) as state:
        job = fake_queue.enqueue(jobs.wait_for, str(flag))
        dependent = fake_queue.enqueue(jobs.square, 3, depends_on=job)
        wait_until(lambda: any(state.plain))
        executions.extend(taken.execution.key for taken in list(state.taken))
        flag.touch()
        wait_until(lambda: dependent.return_value(refresh=True) == 9)
    assert seen == [dependent.id]
    assert deferred == [], "who is killed between the two leaves it there for ever"


@pytest.fixture
def silent_url() -> Iterator[str]:
    """Of a server that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.mark.parametrize(
    ("function", "status"), [(jobs.square, JobStatus.FINISHED), (jobs.invert, JobStatus.FAILED)]
)
def test_a_webhook_that_takes_long_delays_nobody(
    fake_queue: Queue, silent_url: str, function: Callable[[int], object], status: JobStatus
) -> None:
    with running_worker(fake_queue, processes=1, trust=Trust(private_webhooks=True)):
        hook = Webhook(silent_url, job_status=status.value, timeout=LONG)
        hooked = fake_queue.enqueue(function, 0, webhooks=[hook])
        wait_until(lambda: hooked.get_status() == status)
        after = fake_queue.enqueue(jobs.square, 3)
        wait_until(lambda: after.return_value(refresh=True) == 9)


@pytest.mark.parametrize(
    ("seconds", "callback", "status"),
    [(LONG, "on_failure", JobStatus.FAILED), (0, "on_success", JobStatus.FINISHED)],
)
def test_callbacks_have_a_time_limit_of_their_own(
    real_queue: Queue, seconds: float, callback: str, status: JobStatus
) -> None:
    with running_worker(real_queue, processes=1) as state:
        assert real_queue.map(jobs.square, [1]).get(timeout=HANGS) == [1]  # the process has started
        job = real_queue.enqueue(jobs.nap, seconds, job_timeout=2, **{callback: Callback(jobs.linger)})
        pids = state.lanes.pids
        wait_until(lambda: job.get_status() == status)
        assert real_queue.connection.get(f"test:callback:{job.id}") == b"ended"
        assert state.lanes.pids == pids, "no process was killed"


def test_a_dependent_whose_enqueuer_died_after_a_failure_is_enqueued(
    fake_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deferred, "INTERVAL", 0.0)
    parent = fake_queue.enqueue(jobs.invert, 0)
    child = fake_queue.enqueue(jobs.square, 3, depends_on=Dependency(jobs=[parent], allow_failure=True))
    waits = fake_queue.enqueue(jobs.square, 4, depends_on=Dependency(jobs=[parent]))
    fake_queue.remove(parent)
    parent.set_status(JobStatus.FAILED)  # what RQ writes in one transaction; its worker died right after it
    with running_worker(fake_queue):
        wait_until(lambda: child.return_value(refresh=True) == 9)
        assert waits.get_status() == JobStatus.DEFERRED
    assert len(child.results()) == 1


def test_a_map_can_be_cancelled_while_an_execution_of_it_ends(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, range(3))
    job.set_status(JobStatus.STARTED)
    # As RQ finds it if the execution ends between the list and the look at it.
    fake_queue.connection.zadd(
        ExecutionRegistry(job.id, fake_queue.connection).key, {"98eedcd5": time.time() + 60}
    )
    job.cancel()
    assert job.get_status() == JobStatus.CANCELED


def test_who_is_registered_has_a_lease(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    leases: list[object] = []
    register_birth = RQWorker.register_birth

    def register(worker: RQWorker) -> None:
        leases.append(worker.connection.zscore(keys.LEASES, worker.name))  # else nobody would strike it off
        register_birth(worker)

    monkeypatch.setattr(RQWorker, "register_birth", register)
    with running_worker(fake_queue):
        wait_until(lambda: services.live(fake_queue.connection) and leases)
    assert None not in leases
