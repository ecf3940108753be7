"""Ends whose record was made, but whose reply was lost; and what is left over at odd moments."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from rq import Repeat, Retry
from rq.job import JobStatus

from taskq import Queue
from taskq.redis import services
from taskq.testing import running_worker
from taskq_workers.service.rq.worker import RQWorker
from tests import jobs
from tests.acceptance.worker import runs_of
from tests.integration.pretence import Deaf, deaf
from tests.waiting import HANGS, LONG, wait_until

# -- lost replies ------------------------------------------------------------------------------------


def test_a_failure_that_could_not_be_recorded_costs_no_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fakeredis.FakeServer()
    queue = Queue(connection=fakeredis.FakeRedis(server=server))
    flag = tmp_path / "flag"
    flag.touch()
    record = RQWorker.handle_job_failure
    tried: list[int] = []

    def away(*args: Any, **kwargs: Any) -> None:
        server.connected = bool(tried)
        tried.append(1)
        record(*args, **kwargs)

    monkeypatch.setattr(RQWorker, "handle_job_failure", away)
    with running_worker(queue, processes=1):
        job = queue.enqueue(jobs.fail_until, str(flag), 2, retry=Retry(max=1))
        wait_until(lambda: tried)
        flag.unlink()
        wait_until(lambda: not server.connected)
        server.connected = True
        wait_until(lambda: job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED))
        assert job.get_status() == JobStatus.FINISHED


@pytest.mark.parametrize("dependent", [False, True])
def test_a_success_whose_reply_is_lost_is_recorded_once(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dependent: bool
) -> None:
    lost: list[str] = []
    flag = tmp_path / "flag"

    def lose(pipe: Pipeline) -> bool:
        said = {str(part) for command in pipe.command_stack for part in command[0]}
        if not lost and said & {"finished", "rq:finished:"}:
            lost.append("")
            return True
        return False

    with running_worker(fake_queue, processes=1, new_connection=deaf(fake_queue)) as state:
        monkeypatch.setattr(Deaf, "lose", staticmethod(lose))
        job = fake_queue.enqueue(jobs.wait_for, str(flag))
        if dependent:
            after = fake_queue.enqueue(jobs.square, 3, depends_on=job)
        flag.touch()
        wait_until(lambda: lost)
        wait_until(lambda: not state.taken)
        assert fake_queue.enqueue(jobs.nap, 0.0)
        assert len(job.results()) == 1
        if dependent:
            wait_until(lambda: after.return_value(refresh=True) == 9)
            assert len(after.results()) == 1


def test_a_map_whose_end_is_lost_is_recorded_once(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[str] = []

    def lose(pipe: Pipeline) -> bool:
        if not lost and any("finished" in command[0] for command in pipe.command_stack):
            lost.append("")
            return True
        return False

    with running_worker(fake_queue, processes=1, new_connection=deaf(fake_queue)) as state:
        monkeypatch.setattr(Deaf, "lose", staticmethod(lose))
        job = fake_queue.map(jobs.square, [1])
        wait_until(lambda: lost)
        wait_until(lambda: not state.taken)
        assert job.get(timeout=HANGS) == [1]
        assert len(job.results()) == 1


def test_a_map_that_is_closed_and_not_recorded_is_no_failure(
    fake_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server goes away between the two; the service hears its own note that the map was closed."""
    tried: list[str] = []
    succeed = RQWorker.succeed

    def away_once(self: RQWorker, job: Any, *args: Any) -> None:
        tried.append(job.id)
        if len(tried) == 1:
            state.maps[0].look = True
            raise RedisConnectionError("the server has gone away")
        succeed(self, job, *args)

    monkeypatch.setattr(RQWorker, "succeed", away_once)
    with running_worker(fake_queue, processes=1) as state:
        job = fake_queue.map(jobs.square, [1])
        assert job.get(timeout=HANGS) == [1]
        assert job.get_status() == JobStatus.FINISHED
    assert tried == [job.id, job.id]


@pytest.mark.parametrize("options", [{}, {"failure_ttl": 0}], ids=["kept", "not kept"])
def test_the_time_limit_of_a_map_frees_its_guests_too(fake_queue: Queue, options: dict[str, int]) -> None:
    with running_worker(fake_queue, processes=1) as one, running_worker(fake_queue, processes=1) as two:
        wait_until(lambda: len(services.live(fake_queue.connection)) == 2)
        job = fake_queue.map(jobs.nap, [LONG] * 4, chunksize=1, job_timeout=LONG, **options)

        def runs(*, guest: bool) -> list[Any]:
            return [run for state in (one, two) for run in list(state.maps) if run.guest is guest]

        wait_until(lambda: any(run.flying for run in runs(guest=True)))
        wait_until(lambda: runs(guest=False), "its owner has noted that it has begun it")
        [owned] = runs(guest=False)
        owned.deadline = time.monotonic()  # its time is over now, and not while the processes are still starting
        wait_until(lambda: not one.taken and not two.taken)
        wait_until(lambda: all(lane.idle for state in (one, two) for lane in list(state.lanes)))
        assert job.ready()


def test_a_dependent_that_was_left_ready_is_enqueued(fake_queue: Queue) -> None:
    """Its dependency's worker died between the transaction that made it ready and the one that enqueues it."""
    first = fake_queue.enqueue(jobs.square, 2)
    dependent = fake_queue.enqueue(jobs.square, 3, depends_on=first)
    fake_queue.connection.delete(fake_queue.key)
    first.set_status(JobStatus.FINISHED)
    assert fake_queue.move_dependents_to_ready(first)
    with running_worker(fake_queue, processes=1):
        wait_until(lambda: dependent.return_value(refresh=True) == 9)


@pytest.mark.parametrize("kind", ["repeated", "asks for it"])
def test_a_try_to_record_an_end_uses_up_no_run(real_queue: Queue, tmp_path: Path, kind: str) -> None:
    """RQ counts in the job's object before it writes, and the server has no memory for a while."""
    ledger, flag = tmp_path / "ledger", tmp_path / "flag"

    def asks(ledger: str, n: int, flag: str) -> Retry:
        jobs.run_until(ledger, n, flag)
        return Retry(max=2)

    function = jobs.run_until if kind == "repeated" else asks
    options = {"repeat": Repeat(times=2)} if kind == "repeated" else {}
    with running_worker(real_queue) as state:
        job = real_queue.enqueue(function, str(ledger), 1, str(flag), **options)
        wait_until(lambda: runs_of(ledger) == [1])
        wait_until(lambda: job.get_status() == JobStatus.STARTED)
        real_queue.connection.config_set("maxmemory", 1)
        try:
            flag.touch()
            wait_until(lambda: state.failing, "several turns have failed")
        finally:
            real_queue.connection.config_set("maxmemory", 0)
        wait_until(lambda: len(runs_of(ledger)) == 3)
        wait_until(lambda: not state.taken and not real_queue.job_ids)
    assert runs_of(ledger) == [1, 1, 1]
