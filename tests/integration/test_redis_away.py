"""Redis goes away, or takes a service for dead: finished chunks are kept, and committed once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import rq
from redis.exceptions import ConnectionError as RedisConnectionError
from rq import Callback
from rq.job import JobStatus

from taskq import Queue
from taskq.redis import services
from taskq.redis.holdings import Holding
from taskq.testing import running_worker
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import intake
from taskq_workers.service.jobs.intake import Stranded
from taskq_workers.service.rq.worker import RQWorker
from taskq_workers.service.upkeep import recovery
from taskq_workers.service.upkeep.membership import Membership
from tests import jobs
from tests.waiting import HANGS, LONG, wait_until


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
def queue(server: fakeredis.FakeServer) -> Queue:
    return Queue(connection=fakeredis.FakeRedis(server=server))


def lines(ledger: Path) -> list[int]:
    return sorted(int(line) for file in ledger.parent.glob("ledger.*") for line in file.read_text().split())


def test_a_map_survives_that_redis_goes_away(server: fakeredis.FakeServer, queue: Queue, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    items = [(str(ledger), n, 0.02) for n in range(60)]
    with running_worker(queue) as state:
        job = queue.starmap(jobs.run_once, items, chunksize=1)
        for done in (5, 20, 40):
            wait_until(lambda done=done: job.progress.done >= done)
            server.connected = False
            # What was claimed goes on; it can't be more than that.
            wait_until(lambda: state.unsure and not any(run.flying or run.ready for run in state.maps))
            server.connected = True
        assert job.get(timeout=HANGS) == [n * n for n in range(60)]
        assert len(job.result_list) == 60
    assert lines(ledger) == list(range(60)), "nothing ran twice, for nobody died"
    assert queue.connection.hlen(job.store.keys.claims) == 0


def test_plain_jobs_survive_it_too(server: fakeredis.FakeServer, queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with running_worker(queue) as state:
        pushed = [queue.enqueue(jobs.wait_for, str(flag)) for _ in range(4)]
        wait_until(lambda: sum(lane.running in state.taken for lane in state.lanes) == 2)
        server.connected = False
        with pytest.raises(rq.worker.base.redis.exceptions.ConnectionError):
            queue.connection.ping()
        flag.touch()
        wait_until(lambda: state.unsure and len(state.unrecorded) == 2, "their ends can't be recorded")
        server.connected = True
        wait_until(lambda: all(job.get_status() == JobStatus.FINISHED for job in pushed))
        assert [len(job.results()) for job in pushed] == [1] * 4


def test_who_was_given_up_for_dead_begins_anew(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    items = [(str(ledger), n, str(flag) if n > 5 else "") for n in range(40)]
    monkeypatch.setattr(Membership, "due", math.inf)
    with running_worker(queue) as state:
        job = queue.starmap(jobs.run_until, items, chunksize=1)
        wait_until(lambda: job.progress.done >= 5)
        # Once more, if the service, which does not know yet, has fetched the job meanwhile.
        assert recovery.recover(queue.connection, state.name) >= 1
        assert not services.live(queue.connection)
        monkeypatch.setattr(Membership, "due", 0.0)  # it learns of it
        flag.touch()
        assert job.get(timeout=HANGS) == [n * n for n in range(40)]
        assert len(job.result_list) == 40
        assert len(job.results()) == 1
        assert [info.name for info in services.live(queue.connection)] == [state.name]
        assert [worker.name for worker in rq.Worker.all(queue=queue)] == [state.name]
    assert set(lines(ledger)) == set(range(40))


def test_the_late_end_of_a_job_that_was_handed_on_is_not_recorded(queue: Queue, tmp_path: Path) -> None:
    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    with running_worker(queue, processes=1) as state:
        job = queue.enqueue(jobs.run_until, str(ledger), 7, str(flag))
        wait_until(lambda: lines(ledger) == [7])
        assert recovery.recover(queue.connection, state.name) == 1
        flag.touch()
        wait_until(lambda: lines(ledger) == [7, 7] and job.get_status() == JobStatus.FINISHED)
    assert len(job.results()) == 1


def test_what_is_begun_while_one_is_recovered_is_not_forgotten(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = queue.enqueue(jobs.square, 2), queue.enqueue(jobs.square, 3)
    worker = RQWorker((queue.name,), "sleeper", queue.connection)
    worker.register_birth()

    def begin(job: rq.job.Job) -> None:
        queue.connection.lrem(queue.key, 1, job.id)
        with queue.connection.pipeline() as pipe:
            worker.begin(job, queue, pipe)
            pipe.execute()

    handed_on: list[str] = []
    return_job = recovery.return_job

    def wake_up(connection: Any, name: str, holding: Holding, *, died: bool = False) -> bool:
        if not handed_on:
            begin(second)  # the service was only stopped, and wakes up now
        handed_on.append(holding.job_id)
        return return_job(connection, name, holding, died=died)

    monkeypatch.setattr(recovery, "return_job", wake_up)
    begin(first)
    assert recovery.recover(queue.connection, worker.name) == 2
    assert handed_on == [first.id, second.id]
    assert sorted(queue.job_ids) == sorted([first.id, second.id])
    assert queue.connection.keys("rq:execution*") == []
    assert rq.Worker.all(queue=queue) == []


def test_somebody_looks_after_what_is_begun_by_one_who_was_given_up(queue: Queue, tmp_path: Path) -> None:
    """Before it learns of that, at its next renewal: here long after the test."""
    flag = tmp_path / "flag"
    with running_worker(queue, lease=LONG) as state:
        recovery.recover(queue.connection, state.name)
        assert services.lost(queue.connection, state.scripts, LONG) == []
        job = queue.enqueue(jobs.wait_for, str(flag))
        wait_until(lambda: job.get_status() == JobStatus.STARTED)
        assert services.lost(queue.connection, state.scripts, LONG) == [state.name]
        flag.touch()


def test_a_job_id_stranded_between_queue_and_worker_is_put_back(queue: Queue) -> None:
    job = queue.enqueue(jobs.square, 3)
    queue.connection.lmove(queue.key, queue.intermediate_queue_key)
    with running_worker(queue):
        wait_until(lambda: job.return_value(refresh=True) == 9)
    assert queue.connection.llen(queue.intermediate_queue_key) == 0


def test_a_job_that_was_fetched_as_redis_went_away_need_not_be_found(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that RQ's own code is to begin; of the others the server itself keeps account."""
    begin, failed = intake.begin, []

    def fail_once(state: State, reserved: intake.Reserved) -> None:
        if not failed:
            failed.append(reserved)
            raise RedisConnectionError("a test")
        begin(state, reserved)

    monkeypatch.setattr(intake, "begin", fail_once)
    monkeypatch.setattr(Stranded, "AFTER", LONG)
    with running_worker(real_queue):
        job = real_queue.enqueue(jobs.square, 3, on_success=Callback(jobs.remember))
        wait_until(lambda: job.get_status() == JobStatus.FINISHED)
    assert failed
