"""What is enqueued once stands in its queue once, though the server's reply was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from rq.job import Job

from taskq import Queue
from taskq.redis.connection import connect
from taskq.testing import drain
from tests import jobs


def ended(queue: Queue) -> Job:
    job = Queue("before", connection=queue.connection).enqueue(jobs.square, 2)
    drain(Queue("before", connection=queue.connection))
    return job


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
        if not any(command[0][0] == "RPUSH" for command in args[1]):
            return execute(self, *args)
        tries[0] += 1
        if tries[0] > 1:
            return execute(self, *args)
        if made:
            execute(self, *args)
            meanwhile()
        raise RedisConnectionError("the reply was lost")

    monkeypatch.setattr(Pipeline, "_execute_transaction", broken)
    return tries


@pytest.mark.parametrize("how", ENQUEUE)
def test_a_lost_reply_enqueues_nothing_twice(queue: Queue, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    before = ended(queue)
    tries = lose(monkeypatch, made=True)
    enqueued = ENQUEUE[how](queue, before)
    assert queue.job_ids == [job.id for job in enqueued]
    assert tries == [1]


@pytest.mark.parametrize("how", ENQUEUE)
def test_what_was_not_made_is_said_again(queue: Queue, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    before = ended(queue)
    tries = lose(monkeypatch, made=False)
    enqueued = ENQUEUE[how](queue, before)
    assert queue.job_ids == [job.id for job in enqueued]
    assert tries == [2]


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
