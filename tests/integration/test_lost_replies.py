"""Ends whose record was made, but whose reply was lost; and what is left over at odd moments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from rq import Retry
from rq.job import JobStatus

from taskq import MapJob, Queue, services
from taskq.keys import MapField
from taskq.services import ServiceInfo
from taskq.testing import running_worker
from tests import jobs
from tests.waiting import wait_until
from workers.rq_worker import RQWorker


def announce(queue: Queue, name: str) -> None:
    """Let it seem that another service with this name lives."""
    with queue.connection.pipeline() as pipe:
        services.renew(pipe, ServiceInfo(name, "host", 1, 1, (queue.name,), "3", 0.0), 100.0)
        pipe.execute()


def owner_of(job: MapJob) -> bytes | None:
    owner: bytes | None = job.connection.hget(job.store.keys.hash, MapField.OWNER)
    return owner


def claim(job: MapJob, worker: str, count: int = 1) -> None:
    assert len(job.store.read_claims(job.store.claim(worker, count)).claims) == count


# -- lost replies ------------------------------------------------------------------------------------


class Deaf(fakeredis.FakeRedis):
    """Hears nothing of what became of one pipeline: the server has run it, but the reply is lost."""

    lose: Callable[[Pipeline], bool] = staticmethod(lambda _pipe: False)

    def pipeline(self, *args: Any, **kwargs: Any) -> Any:
        pipe = super().pipeline(*args, **kwargs)
        execute = pipe.execute

        def deaf(*args: Any, **kwargs: Any) -> Any:
            lost = Deaf.lose(pipe)
            replies = execute(*args, **kwargs)
            if lost:
                Deaf.lose = staticmethod(lambda _pipe: False)
                raise RedisConnectionError("the reply was lost")
            return replies

        pipe.execute = deaf
        return pipe


def deaf(queue: Queue) -> Callable[[], Any]:
    """Makes connections as ``Deaf``, to the queue's own server."""
    return lambda: Deaf(connection_pool=queue.connection.connection_pool)


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
    fake_queue: Queue, monkeypatch: pytest.MonkeyPatch, dependent: bool
) -> None:
    lost: list[str] = []

    def lose(pipe: Pipeline) -> bool:
        if not lost and any("finished" in command[0] for command in pipe.command_stack):
            lost.append("")
            return True
        return False

    with running_worker(fake_queue, processes=1, new_connection=deaf(fake_queue)) as state:
        wait_until(lambda: services.live(fake_queue.connection))
        monkeypatch.setattr(Deaf, "lose", staticmethod(lose))
        job = fake_queue.enqueue(jobs.nap, 0.2)
        if dependent:
            after = fake_queue.enqueue(jobs.square, 3, depends_on=job)
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
        wait_until(lambda: services.live(fake_queue.connection))
        monkeypatch.setattr(Deaf, "lose", staticmethod(lose))
        job = fake_queue.map(jobs.square, [1])
        wait_until(lambda: lost)
        wait_until(lambda: not state.taken)
        assert job.get(timeout=5) == [1]
        assert len(job.results()) == 1


@pytest.mark.parametrize("options", [{}, {"failure_ttl": 0}], ids=["kept", "not kept"])
def test_the_time_limit_of_a_map_frees_its_helpers_too(fake_queue: Queue, options: dict[str, int]) -> None:
    with running_worker(fake_queue, processes=1) as one, running_worker(fake_queue, processes=1) as two:
        wait_until(lambda: len(services.live(fake_queue.connection)) == 2)
        job = fake_queue.map(jobs.nap, [60.0] * 4, chunksize=1, job_timeout=1, **options)
        wait_until(lambda: any(run.helper and run.flying for state in (one, two) for run in list(state.maps)))
        wait_until(lambda: not one.taken and not two.taken)
        wait_until(lambda: all(lane.idle for state in (one, two) for lane in list(state.lanes)), timeout=3.0)
        assert job.ready()


def test_a_dependent_that_was_left_ready_is_enqueued(fake_queue: Queue) -> None:
    """Its dependency's worker died between the transaction that made it ready and the one that enqueues it."""
    first = fake_queue.enqueue(jobs.square, 2)
    dependent = fake_queue.enqueue(jobs.square, 3, depends_on=first)
    fake_queue.connection.delete(fake_queue.key)
    first.set_status(JobStatus.FINISHED)
    assert fake_queue.move_dependents_to_ready(first)
    with running_worker(fake_queue, processes=1):
        wait_until(lambda: dependent.return_value(refresh=True) == 9, timeout=5.0)
