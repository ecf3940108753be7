"""The server is away until all that RQ keeps of running jobs has expired: nothing is lost, and nothing runs twice.

RQ's records last two seconds here instead of ninety.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import rq
from rq import Callback
from rq.job import JobStatus
from rq.suspension import suspend
from rq.utils import now

from taskq import Queue
from taskq.redis import keys, services
from taskq.testing import running_worker
from taskq_workers.rq_options import RQOptions
from taskq_workers.service.rq.worker import RQWorker
from taskq_workers.service.upkeep import recovery
from tests import jobs, rq_jobs
from tests.acceptance.worker import Server, repeated, runs_of
from tests.waiting import HANGS, LONG, wait_until

pytestmark = pytest.mark.acceptance

AWAY = 4.0  # seconds
OPTIONS = RQOptions(job_monitoring_interval=1, worker_ttl=1, maintenance_interval=0)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RQWorker, "heartbeat_grace", 1)


@pytest.fixture
def queue(server: Server) -> Iterator[Queue]:
    server.start()
    queue = Queue(url=server.url)
    yield queue
    queue.connection.close()


def pass_by(seconds: float) -> None:
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > until)


@pytest.fixture(params=["frozen", "restarted"])
def away(request: pytest.FixtureRequest, queue: Queue, server: Server) -> Callable[..., None]:
    """Has the server be away; RQ's record of the worker itself, which lasts a minute, is gone then, too."""
    kill = request.param == "restarted"

    def go(meanwhile: Callable[[], object] = lambda: None) -> None:
        for key in queue.connection.keys("rq:worker:*"):
            queue.connection.expire(key, 1)
        (server.kill if kill else server.freeze)()
        meanwhile()
        pass_by(AWAY)
        (server.start if kill else server.thaw)()

    return go


def ended(job: Any) -> bool:
    return job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED)


def test_nothing_is_lost_and_nothing_runs_twice(queue: Queue, away: Callable[..., None], tmp_path: Path) -> None:
    ledger, first, last = (tmp_path / name for name in ("ledger", "first", "last"))

    def push(n: int, flag: Path, **options: Any) -> Any:
        return queue.enqueue(jobs.run_until, str(ledger), n, str(flag), job_timeout=LONG, **options)

    with running_worker(queue, processes=6, lease=2.0, rq=OPTIONS) as state:
        with_callback = Callback(rq_jobs.note_in_meta)
        plain = [
            push(1, first),  # ends while the server is away, on the short path
            push(2, first, on_success=with_callback),  # on the long one
            push(3, last),  # runs on
            push(4, last, on_success=with_callback),
        ]
        job = queue.starmap(jobs.run_once, [(str(ledger), n, 0.4) for n in range(100, 140)], chunksize=1)
        wait_until(lambda: all(one.get_status() == JobStatus.STARTED for one in plain))
        wait_until(lambda: job.progress.done >= 2)
        before = now()
        away(first.touch)
        wait_until(lambda: all(map(ended, plain[:2])))
        for one in plain[2:]:
            wait_until(lambda one=one: _is_true(queue, state, one, before), "RQ's records are there again")  # type: ignore[misc]
        last.touch()
        assert job.get(timeout=HANGS) == [n * n for n in range(100, 140)]
        wait_until(lambda: all(map(ended, plain)))
        assert not queue.connection.exists(keys.held(state.name))
    assert [one.return_value(refresh=True) for one in plain] == [1, 4, 9, 16]
    assert [len(one.results()) for one in (*plain, job)] == [1] * 5
    assert repeated(ledger) == []
    assert queue.failed_job_registry.count == 0
    assert not queue.connection.keys("rq:execution*")


def _is_true(queue: Queue, state: Any, job: Any, before: datetime) -> bool:
    """As if nothing had been: what runs is registered, with all that RQ knows of it.

    On a busy machine a heartbeat may be late, and then it is not for a moment, since RQ's records last so briefly
    here: so nothing is cleaned by looking at it.
    """
    [worker] = rq.Worker.all(queue=queue) or [None]
    if worker is None or job.get_status() != JobStatus.STARTED:
        return False
    listed = {execution.job_id for execution in worker.get_current_executions()}
    executions = job.get_executions()
    if job.id not in listed.intersection(queue.started_job_registry.get_job_ids(cleanup=False)) or not executions:
        return False
    [found] = executions
    job.refresh()
    assert (worker.name, found.worker_name) == (state.name, state.name)
    assert max(found.created_at, job.started_at) < before
    return True


def test_who_dies_after_it_is_recovered(queue: Queue, away: Callable[..., None], tmp_path: Path) -> None:
    """What it held can be found, though RQ knows nothing of it."""
    ledger = tmp_path / "ledger"
    with running_worker(queue, processes=3, lease=600.0, rq=OPTIONS) as state:
        plain = queue.enqueue(jobs.run_once, str(ledger), 1, LONG, on_success=Callback(rq_jobs.note_in_meta))
        job = queue.starmap(jobs.run_once, [(str(ledger), n, LONG) for n in (2, 3)], chunksize=1)
        wait_until(lambda: runs_of(ledger) == [1, 2, 3])
        away()
        for key in queue.connection.keys("rq:worker*"):
            queue.connection.delete(key)
        queue.connection.delete(*queue.connection.keys("rq:execution*") or ["none"])
        suspend(queue.connection)  # else it may take them again as soon as they are there
        assert recovery.recover_prefix(queue.connection, state.name) == 2
        assert {*queue.job_ids} == {plain.id, job.id}
        assert not queue.connection.hlen(job.store.keys.claims)
    assert services.live(queue.connection) == []
