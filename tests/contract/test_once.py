"""What is enqueued once stands in its queue once, though the server's reply was lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from rq import Retry
from rq.exceptions import InvalidJobOperation
from rq.job import Job, JobStatus

from taskq import Queue, ResultList
from taskq.redis import keys, once
from taskq.redis.connection import connect
from taskq.testing import drain
from tests import jobs
from tests.acceptance.worker import runs_of


def ended(queue: Queue) -> Job:
    job = Queue("before", connection=queue.connection).enqueue(jobs.square, 2)
    drain(Queue("before", connection=queue.connection))
    return job


def failed(queue: Queue) -> Job:
    job = queue.enqueue(jobs.invert, 0)
    drain(queue)
    assert queue.failed_job_registry.get_job_ids() == [job.id]
    return queue.fetch_job(job.id)


ENQUEUE: dict[str, Callable[[Queue, Job], list[Job]]] = {
    "enqueue": lambda queue, _before: [queue.enqueue(jobs.square, 3)],
    "after another": lambda queue, before: [queue.enqueue(jobs.square, 3, depends_on=before)],
    "enqueue_many": lambda queue, _before: queue.enqueue_many(
        [Queue.prepare_data(jobs.square, (n,)) for n in range(3)]
    ),
}


@pytest.fixture
def queue(server_url: str, real_queue: Queue) -> Queue:
    """As a producer's, whose connection tries again."""
    return Queue(real_queue.name, connection=connect(server_url))


def lose(
    monkeypatch: pytest.MonkeyPatch, *, made: bool, meanwhile: Callable[[], object] = lambda: None
) -> list[int]:
    """Break the connection of the next transaction that pushes, before it was made or after; returns the tries."""
    execute, tries = Pipeline._execute_transaction, [0]

    def broken(self: Pipeline, *args: Any) -> Any:
        if not {"RPUSH", "LPUSH", "ZADD"}.intersection(command[0][0] for command in args[1]):
            return execute(self, *args)
        tries[0] += 1
        if tries[0] > 1:
            return execute(self, *args)
        if made:
            watching = self.watching
            execute(self, *args)
            self.watching = watching  # as it is as long as not all replies were read
            meanwhile()
        raise RedisConnectionError("the reply was lost")

    monkeypatch.setattr(Pipeline, "_execute_transaction", broken)
    return tries


@pytest.mark.parametrize(("made", "said"), [(True, 1), (False, 2)], ids=["made", "not made"])
@pytest.mark.parametrize("how", ENQUEUE)
def test_a_lost_reply_enqueues_nothing_twice(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, how: str, made: bool, said: int
) -> None:
    """What was not made is said again, and what was made is not."""
    before = ended(queue)
    tries = lose(monkeypatch, made=made)
    enqueued = ENQUEUE[how](queue, before)
    assert queue.job_ids == [job.id for job in enqueued]
    assert tries == [said]


def test_what_has_run_meanwhile_does_not_run_again(
    queue: Queue, real_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, made=True, meanwhile=lambda: drain(real_queue))
    job = queue.enqueue(jobs.square, 3)
    assert queue.job_ids == []
    assert len(job.results()) == 1


def test_who_enqueues_a_job_again_has_it_there_again(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    job = queue.enqueue(jobs.square, 3)
    drain(queue)
    lose(monkeypatch, made=False)
    queue.enqueue_job(job)
    assert queue.job_ids == [job.id]


def test_nor_do_others_of_the_same_batch(
    queue: Queue, real_queue: Queue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever has become of the first one meanwhile."""
    ledger = str(tmp_path / "ledger")
    datas = [
        Queue.prepare_data(jobs.run_once, (ledger, 0, 0.0), result_ttl=0),
        Queue.prepare_data(jobs.run_once, (ledger, 1, 0.0), retry=Retry(max=2)),
    ]
    lose(monkeypatch, made=True, meanwhile=lambda: drain(real_queue))
    queue.enqueue_many(datas)
    drain(real_queue)
    assert runs_of(Path(ledger)) == [0, 1]


@pytest.mark.parametrize("made", [True, False])
def test_a_failed_job_is_put_back_once(queue: Queue, monkeypatch: pytest.MonkeyPatch, made: bool) -> None:
    job = failed(queue)
    lose(monkeypatch, made=made)
    job.requeue()
    assert queue.job_ids == [job.id]
    assert job.get_status() == JobStatus.QUEUED
    with pytest.raises(InvalidJobOperation, match="has not failed"):
        job.requeue()


@pytest.mark.parametrize("made", [True, False])
def test_a_failed_map_is_put_back_once(queue: Queue, monkeypatch: pytest.MonkeyPatch, made: bool) -> None:
    job = queue.map(jobs.invert, [0, 1])
    drain(queue)
    lose(monkeypatch, made=made)
    job.requeue(at_front=True)
    assert queue.job_ids == [job.id]


@pytest.mark.parametrize("kind", ["map", "plain"])
def test_what_failed_and_is_on_no_list_can_be_put_back(any_queue: Queue, kind: str) -> None:
    """RQ's own way takes it off the list first; who dies then leaves it so."""
    job: Job = any_queue.map(jobs.invert, [0]) if kind == "map" else any_queue.enqueue(jobs.invert, 0)
    drain(any_queue)
    any_queue.failed_job_registry.remove(job)
    any_queue.fetch_job(job.id).requeue()
    assert any_queue.job_ids == [job.id]


@pytest.mark.parametrize("kind", ["map", "plain"])
def test_what_is_put_back_waits_for_as_long_as_it_takes(any_queue: Queue, kind: str) -> None:
    if kind == "map":
        job: Job = any_queue.map(jobs.invert, [0], failure_ttl=1000)
        kept = any_queue.fetch_job(job.id).store.keys.all
    else:
        job, kept = any_queue.enqueue(jobs.invert, 0, failure_ttl=1000), ()
    drain(any_queue)
    assert any_queue.connection.ttl(job.key) > 0
    any_queue.fetch_job(job.id).requeue()
    assert [key for key in (job.key, *kept) if any_queue.connection.ttl(key) > 0] == []


@pytest.mark.parametrize("made", [True, False])
def test_a_job_is_scheduled_once(queue: Queue, monkeypatch: pytest.MonkeyPatch, made: bool) -> None:
    """Though it may have run, and left nothing, before the call is over."""
    registry = queue.scheduled_job_registry

    def run_it() -> None:
        [job_id] = registry.get_job_ids()
        registry.remove(job_id, delete_job=True)

    lose(monkeypatch, made=made, meanwhile=run_it)
    queue.enqueue_in(timedelta(seconds=0), jobs.square, 3)
    assert len(registry.get_job_ids()) == (0 if made else 1)


@pytest.mark.parametrize("made", [True, False])
def test_a_value_is_added_once(queue: Queue, monkeypatch: pytest.MonkeyPatch, made: bool) -> None:
    results = ResultList("some:results", queue.connection)
    lose(monkeypatch, made=made)
    results.append("a")
    monkeypatch.undo()
    lose(monkeypatch, made=made)
    results.extend(["b", "c"])
    assert list(results) == ["a", "b", "c"]


def test_a_map_that_left_nothing_was_pushed(
    queue: Queue, real_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, made=True, meanwhile=lambda: drain(real_queue))
    job = queue.map(jobs.square, range(3), result_ttl=0)
    assert not queue.connection.exists(job.key)
    assert queue.job_ids == []


def test_the_receipts_are_one_key_for_each_thread(any_queue: Queue) -> None:
    for _ in range(3):
        any_queue.enqueue(jobs.square, 1)
    [key] = any_queue.connection.keys(f"{keys.RECEIPT}*")
    assert 0 < any_queue.connection.ttl(key) <= once.RECEIPT_TTL
