"""What the server or redis-py would never take costs the map, chunk or job that it belongs to, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from rq.job import JobStatus

import taskq
from taskq import Queue
from taskq.maps.store import MapStore
from taskq.redis import limits, services
from taskq.redis.connection import connect
from taskq.redis.server import private_server
from taskq.testing import running_worker
from taskq_workers.manager import health
from taskq_workers.service.exchange import Exchange
from tests import jobs
from tests.waiting import HANGS, wait_until

LARGE = 3 << 20


@pytest.fixture(scope="module")
def strict_url() -> Iterator[str]:
    """A server that takes no value above 1 MiB, and no command above 4."""
    with private_server("--proto-max-bulk-len", "1mb", "--client-query-buffer-limit", "4mb") as url:
        yield url


@pytest.fixture(params=["told", "not told"])
def strict_queue(
    strict_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Queue]:
    connection = connect(strict_url)
    connection.flushdb()
    if request.param == "not told":  # as where CONFIG may not be asked
        monkeypatch.setattr(limits, "read", lambda _connection: limits.USUAL)
    yield Queue(connection=connection)
    connection.close()


def test_a_result_that_is_too_large_costs_its_item(strict_queue: Queue) -> None:
    with running_worker(strict_queue, processes=2):
        other = strict_queue.map(jobs.nap, [0.01] * 40, chunksize=1)
        job = strict_queue.map(jobs.big, [10, LARGE, 20, 30], chunksize=4)
        found = job.get(timeout=HANGS, errors="return")
        assert [len(found[n]) for n in (0, 2, 3)] == [10, 20, 30]
        assert isinstance(found[1], taskq.TooLargeError)
        assert "the result of item 1 can't be stored" in str(found[1])
        assert other.get(timeout=HANGS) == [0.01] * 40
        assert strict_queue.map(jobs.square, [3]).get(timeout=HANGS) == [9]


def test_a_chunk_that_is_too_large_is_cut(strict_queue: Queue) -> None:
    with running_worker(strict_queue, processes=1):
        job = strict_queue.map(jobs.big, [1_000_000] * 10, chunksize=10)
        assert [len(one) for one in job.get(timeout=HANGS)] == [1_000_000] * 10


def test_a_plain_job_whose_result_is_too_large_fails(strict_queue: Queue) -> None:
    with running_worker(strict_queue, processes=1):
        job = strict_queue.enqueue(jobs.big, LARGE)
        other = [strict_queue.enqueue(jobs.square, n) for n in range(5)]
        wait_until(lambda: job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED))
        [result] = job.results()
        assert "bytes" in result.exc_string
        assert job.get_status() == JobStatus.FAILED
        wait_until(lambda: [one.return_value(refresh=True) for one in other] == [n * n for n in range(5)])


def test_a_producer_is_told_of_the_limit(strict_url: str) -> None:
    queue = Queue(connection=connect(strict_url))
    with pytest.raises(taskq.TooLargeError, match=r"item 0 can't be stored.*proto-max-bulk-len"):
        queue.map(len, [b"x" * LARGE])
    with pytest.raises(taskq.TooLargeError, match=r"the function can't be stored.*proto-max-bulk-len"):
        queue.map(lambda n, data=b"x" * LARGE: n + len(data), [1], share=False)
    assert not queue.connection.keys("taskq:{*")


def test_what_redis_py_can_not_send_costs_its_item(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = MapStore.commit

    def bad(self: MapStore, claim: Any, outcome: Any, *args: Any, **options: Any) -> Any:
        if self.keys.id == "bad" and outcome.values and 2 in claim.to_do:
            outcome = replace(outcome, values=[["a list"] for _ in outcome.values])
        return commit(self, claim, outcome, *args, **options)

    monkeypatch.setattr(MapStore, "commit", bad)
    with running_worker(fake_queue, processes=2):
        other = fake_queue.map(jobs.nap, [0.01] * 40, chunksize=1)
        found = fake_queue.map(jobs.square, range(4), chunksize=4, job_id="bad").get(
            timeout=HANGS, errors="return"
        )
        assert [found[n] for n in (0, 1, 3)] == [0, 1, 9]
        assert isinstance(found[2], taskq.TooLargeError)
        assert other.get(timeout=HANGS) == [0.01] * 40


def test_turns_that_keep_failing_are_told(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Exchange.run

    def away(self: Exchange) -> bool:
        raise RedisConnectionError("a proxy is in the way")

    with running_worker(fake_queue, processes=1) as state:
        connection = fake_queue.connection

        def told() -> str:
            info = services.known(connection, state.name)
            return info.trouble if info else ""

        monkeypatch.setattr(Exchange, "run", away)
        fake_queue.enqueue(jobs.square, 2)
        wait_until(lambda: "a proxy is in the way" in told())
        [problem, *_] = health.look(connection, 1).problems
        assert "its turns keep failing: ConnectionError: a proxy is in the way" in problem
        monkeypatch.setattr(Exchange, "run", run)
        wait_until(lambda: not told())
        assert health.look(connection, 1).healthy
