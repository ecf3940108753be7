"""How long the next job of a queue has waited, and what is before it."""

from __future__ import annotations

from typing import Any

import pytest
from rq.suspension import suspend

from taskq import Queue
from taskq.redis import services
from taskq.redis.lua import Scripts
from taskq.redis.services import ServiceInfo
from taskq.views import backlog
from taskq.views.waits import Wait
from tests import jobs


def serve(queue: Queue, *names: str, trouble: str = "") -> None:
    info = ServiceInfo(f"w-{'-'.join(names)}", "host", 1, 2, names, "3", 0.0, trouble=trouble)
    services.renew(Scripts(queue.connection), info, 3600.0)


def wait_of(queue: Queue, name: str = "default") -> Wait | None:
    return next(line.wait for line in backlog.read_queues(queue.connection) if line.name == name)


def test_it_has_waited_since_it_was_enqueued(any_queue: Queue) -> None:
    serve(any_queue, "default")
    first = any_queue.enqueue(jobs.square, 3)
    any_queue.enqueue(jobs.square, 3)
    any_queue.connection.hset(first.key, "enqueued_at", "2026-01-01T00:00:00.000000Z")
    wait = wait_of(any_queue)
    assert wait
    assert wait.seconds > 1000
    assert wait.behind == "", "a process will be free in a moment"


@pytest.mark.parametrize("stamp", ["", "x", "2999-01-01T00:00:00.000000Z", "0001-01-01T00:00:00Z"])
def test_whatever_stands_there(any_queue: Queue, stamp: str) -> None:
    any_queue.connection.hset(any_queue.enqueue(jobs.square, 3).key, "enqueued_at", stamp)
    assert wait_of(any_queue) == Wait(0.0, "no worker serves this queue")


def test_what_is_before_it(any_queue: Queue) -> None:
    high = Queue("high", connection=any_queue.connection)
    for queue in (any_queue, high):
        queue.enqueue(jobs.square, 3)
    serve(any_queue, "high", "idle", "default")
    high.started_job_registry.connection.zadd("rq:wip:high", {"a:b": 2**40, "a:c": 2**40})
    any_queue.connection.zadd("rq:wip:default", {"d:e": 2**40})
    found: Any = wait_of(any_queue)
    assert found.behind == "high (1 waiting, 2 running), 1 running of its own"
    found = wait_of(any_queue, "high")
    assert found.behind == "2 running of its own"


def test_nothing_is_begun(any_queue: Queue) -> None:
    any_queue.enqueue(jobs.square, 3)
    serve(any_queue, "default", trouble="its turns keep failing: no")
    found: Any = wait_of(any_queue)
    assert found.behind == "its workers are not well: its turns keep failing: no"
    suspend(any_queue.connection)
    found = wait_of(any_queue)
    assert found.behind == "workers are suspended (rq resume)"


def test_nothing_waits(any_queue: Queue) -> None:
    job = any_queue.enqueue(jobs.square, 3)
    any_queue.connection.delete(any_queue.key)
    assert job
    assert wait_of(any_queue) is None
