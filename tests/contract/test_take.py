"""The clock of take.lua: the server's, written as RQ writes it."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rq.executions import Execution
from rq.job import JobStatus
from rq.utils import utcformat

from taskq import Queue
from taskq.redis import lua
from taskq.redis.lua import Scripts
from taskq_workers.service.jobs import short_path
from taskq_workers.service.rq.worker import RQWorker
from tests import jobs

FEW = timedelta(microseconds=3)  # which a float may lose
LEAP = datetime(2096, 2, 29, 23, 59, 59, tzinfo=UTC)
moments = st.integers(10**5, 2**32 * 2).map(lambda second: datetime.fromtimestamp(second, UTC))


@pytest.mark.parametrize("hours", [-1, 0, 1])
@pytest.mark.parametrize("fetched", [True, False])
def test_a_job_has_begun_when_the_server_says(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch, hours: int, fetched: bool
) -> None:
    job = real_queue.enqueue(jobs.square, 3)
    worker = RQWorker((real_queue.name,), "worker", real_queue.connection)
    host = time.time
    monkeypatch.setattr(time, "time", lambda: host() + 3600 * hours)
    with real_queue.connection.pipeline() as pipe:
        scripts = Scripts(real_queue.connection)
        scripts.take.load()
        pipe.time()
        short_path.queue_take(
            pipe, scripts, worker, worker.queues, "0" * short_path.TICKET, room=1, fetched=fetched
        )
        (seconds, micros), [left, [_queue, job_id, execution, began, _fields]] = pipe.execute()
    monkeypatch.undo()
    asked = datetime.fromtimestamp(seconds + micros / 1e6, UTC)
    assert (left, job_id.decode()) == (0, job.id)
    found = Execution(execution.decode(), job.id, real_queue.connection)
    found.refresh()
    job.refresh()
    assert job.get_status() == JobStatus.STARTED
    assert job.last_heartbeat == job.started_at
    assert abs(found.created_at - job.started_at) < FEW
    assert abs(found.created_at.timestamp() - float(began)) < FEW.total_seconds()
    assert -FEW < job.started_at - asked < timedelta(seconds=60)
    [(_member, until)] = real_queue.connection.zrange(real_queue.started_job_registry.key, 0, -1, withscores=True)
    assert 60 < until - seconds < 300


@given(moment=st.just(LEAP) | moments, micros=st.integers(0, 999_999))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_moments_are_written_as_rq_writes_them(any_queue: Queue, moment: datetime, micros: int) -> None:
    found = re.search(r"^local function formatted.*?^end$", lua.source("take"), re.DOTALL | re.MULTILINE)
    assert found
    script = f"{found[0]}\nreturn formatted(ARGV[1] * 1e6 + ARGV[2])"
    written = any_queue.connection.eval(script, 0, int(moment.timestamp()), micros)
    assert written.decode() == utcformat(moment.replace(microsecond=micros))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_jobs_and_maps_together_are_no_more_than_may_be_begun(any_queue: Queue, most: int) -> None:
    for _ in range(3):
        any_queue.map(jobs.square, range(2))
        any_queue.enqueue(jobs.square, 3)
    worker, scripts = RQWorker((any_queue.name,), "worker", any_queue.connection), Scripts(any_queue.connection)
    with any_queue.connection.pipeline() as pipe:
        scripts.take.load()
        short_path.queue_take(pipe, scripts, worker, worker.queues, "0" * 24, room=3, maps=3, most=most)
        [[left, *found]] = pipe.execute()
    assert (left, len(found)) == (6 - most, most)


@pytest.mark.parametrize("maps_of", [(0, 2), (1, 0), (9, 9)])
def test_no_more_maps_of_a_queue_are_taken_than_it_may_have(any_queue: Queue, maps_of: tuple[int, int]) -> None:
    other = Queue("other", connection=any_queue.connection)
    pushed = [[queue.map(jobs.square, range(2)).id for _ in range(2)] for queue in (any_queue, other)]
    behind = [queue.enqueue(jobs.square, 3).id for queue in (any_queue, other)]
    worker = RQWorker((any_queue.name, other.name), "worker", any_queue.connection)
    scripts = Scripts(any_queue.connection)
    with any_queue.connection.pipeline() as pipe:
        scripts.take.load()
        short_path.queue_take(
            pipe, scripts, worker, worker.queues, "0" * 24, room=9, maps=9, maps_of=maps_of, most=18
        )
        [[_left, *found]] = pipe.execute()
    taken = [[job_id.decode() for number, job_id, *_ in found if number == queue] for queue in range(2)]
    assert taken == [
        pushed[0][: maps_of[0]] + behind[:1] * (maps_of[0] >= 2),
        pushed[1][: maps_of[1]] + behind[1:] * (maps_of[1] >= 2),
    ]


@pytest.mark.parametrize("jobs_of", [(True, True), (True, False), (False, True), (False, False)])
def test_maps_at_the_front_are_taken_also_where_no_jobs_are(any_queue: Queue, jobs_of: tuple[bool, bool]) -> None:
    other = Queue("other", connection=any_queue.connection)
    queues = (any_queue, other)
    pushed = [[queue.map(jobs.square, range(2)).id, queue.enqueue(jobs.square, 3).id] for queue in queues]
    behind = [queue.map(jobs.square, range(2)).id for queue in queues]
    worker = RQWorker([queue.name for queue in queues], "worker", any_queue.connection)
    scripts = Scripts(any_queue.connection)
    with any_queue.connection.pipeline() as pipe:
        scripts.take.load()
        short_path.queue_take(
            pipe, scripts, worker, worker.queues, "0" * 24, room=9, maps=9, jobs_of=jobs_of, most=18
        )
        [[_left, *found]] = pipe.execute()
    for number, jobs_too in enumerate(jobs_of):
        taken = [job_id.decode() for queue, job_id, *_ in found if queue == number]
        assert taken == ([*pushed[number], behind[number]] if jobs_too else pushed[number][:1])
