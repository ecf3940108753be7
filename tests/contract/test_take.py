"""The clock of take.lua, which can't know when a waiting worker's job will come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rq.executions import Execution
from rq.job import JobStatus

from taskq import Queue
from taskq.redis.lua import Scripts
from taskq_workers.service.jobs import short_path
from taskq_workers.service.rq.worker import RQWorker
from tests import jobs

FEW = timedelta(microseconds=3)  # which a float may lose
LEAP = datetime(2096, 2, 29, 23, 59, 59, tzinfo=UTC)
moments = st.integers(10**5, 2**32 * 2).map(lambda second: datetime.fromtimestamp(second + 0.999999, UTC))


@pytest.mark.parametrize("known", [True, False], ids=["own clock", "server's clock"])
@given(moment=st.just(LEAP) | moments)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_job_has_begun_when_the_worker_says(any_queue: Queue, known: bool, moment: datetime) -> None:
    job = any_queue.enqueue(jobs.square, 3)
    worker = RQWorker((any_queue.name,), "worker", any_queue.connection)
    seconds, micros = any_queue.connection.time()
    ahead = moment.timestamp() - seconds - micros / 1e6
    with any_queue.connection.pipeline() as pipe:
        scripts = Scripts(any_queue.connection)
        scripts.take.load()
        clock = {"now": moment.timestamp()} if known else {"ahead": ahead}
        short_path.queue_take(pipe, scripts, worker, worker.queues, "0" * short_path.TICKET, room=1, **clock)
        [[left, [_queue, job_id, execution, _fields]]] = pipe.execute()
    assert (left, job_id.decode()) == (0, job.id)
    found = Execution(execution.decode(), job.id, any_queue.connection)
    found.refresh()
    job.refresh()
    assert job.get_status() == JobStatus.STARTED
    assert job.last_heartbeat == job.started_at
    assert abs(found.created_at - job.started_at) < FEW
    assert -FEW < job.started_at - moment < timedelta(seconds=60)
