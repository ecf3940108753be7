"""A job has one owner at a time, whoever interferes; and nobody who dies leaves something that is never found."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import rq
from rq import Callback
from rq.job import Job, JobStatus

from taskq import Queue
from taskq.redis import keys, services
from taskq.redis.lua import Scripts
from taskq.redis.services import ServiceInfo
from taskq.testing import running_worker
from taskq_workers.rq_options import RQOptions
from taskq_workers.service import housekeeping
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import intake
from taskq_workers.service.rq.worker import RQWorker
from tests import jobs, rq_jobs
from tests.integration.test_deaths import runs_of
from tests.waiting import wait_until


def has_ended(job: Any) -> bool:
    return job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED)


def test_what_another_gives_back_between_our_look_and_our_books_is_begun_once(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It takes the id for stranded; nobody has died, so nothing may run twice."""
    ledger, gave = tmp_path / "ledger", []
    begin = RQWorker.begin

    def interfere(self: RQWorker, job: Job, queue: rq.Queue, *args: Any) -> Any:
        if not gave:
            lists = [queue.key, queue.intermediate_queue_key, job.key, f"rq:executions:{job.id}"]
            gave.append(Scripts(real_queue.connection).give_back(lists, [job.id]))
        return begin(self, job, queue, *args)

    monkeypatch.setattr(RQWorker, "begin", interfere)
    with running_worker(real_queue, processes=2):
        job = real_queue.enqueue(jobs.run_once, str(ledger), 7, 0.5, on_success=Callback(rq_jobs.note_in_meta))
        wait_until(lambda: has_ended(job))
        # Its id is in no list: nobody would begin it after this.
        assert real_queue.job_ids == real_queue.intermediate_queue.get_job_ids() == []
    assert gave
    assert runs_of(ledger) == [7]
    assert len(job.results()) == 1


def test_what_another_gave_back_before_our_look_is_left_to_who_takes_it(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ledger, gave = tmp_path / "ledger", []
    begin = intake.begin

    def late(state: State, reserved: intake.Reserved) -> None:
        for queue, job_id in [*reserved] if not gave else []:
            gave.append(intake.give_back(state, queue, job_id))
        begin(state, reserved)

    monkeypatch.setattr(intake, "begin", late)
    with running_worker(real_queue, processes=2):
        job = real_queue.enqueue(jobs.run_once, str(ledger), 7, 0.0, on_success=Callback(rq_jobs.note_in_meta))
        wait_until(lambda: has_ended(job))
    assert gave == [True]
    assert runs_of(ledger) == [7]


def test_what_is_taken_from_us_while_we_begin_it_is_not_begun(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """We were given up for dead in this very moment, and do not know it yet."""
    from taskq_workers.service.upkeep import recovery

    ledger, back = tmp_path / "ledger", []
    begin = RQWorker.begin

    def interfere(self: RQWorker, *args: Any) -> Any:
        if not back:
            back.append(recovery.recover(real_queue.connection, self.name))
        return begin(self, *args)

    monkeypatch.setattr(RQWorker, "begin", interfere)
    with running_worker(real_queue, processes=2, lease=300):
        job = real_queue.enqueue(jobs.run_once, str(ledger), 7, 0.0, on_success=Callback(rq_jobs.note_in_meta))
        wait_until(lambda: has_ended(job))
    assert back == [1]
    assert runs_of(ledger) == [7]


def test_a_map_that_is_finished_is_not_begun_by_an_id_that_was_left_of_an_earlier_one(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1):
        job = real_queue.map(jobs.square, range(3))
        wait_until(lambda: has_ended(job))
        real_queue.connection.rpush(real_queue.key, job.id)
        assert real_queue.map(jobs.square, range(3)).get() == [0, 1, 4]
        wait_until(lambda: not real_queue.connection.keys("taskq:held:*"))
    assert real_queue.job_ids == real_queue.intermediate_queue.get_job_ids() == []
    assert job.get() == [0, 1, 4]
    assert len(job.results()) == 1


# -- whom a service takes over from --------------------------------------------------------------------


def lose(queue: Queue, name: str) -> Job:
    """A worker that serves this queue alone has begun a job, and its host is lost."""
    worker = RQWorker((queue.name,), name, queue.connection)
    worker.register_birth()
    services.renew(Scripts(queue.connection), ServiceInfo(name, "h", 1, 1, (queue.name,), "3", 0.0), -1.0)
    job = queue.enqueue(jobs.square, 3)
    queue.connection.lrem(queue.key, 1, job.id)
    with queue.connection.pipeline() as pipe:
        worker.begin(worker.job_of(job.id, queue.connection.hgetall(job.key)), worker.queues[0], pipe)
        pipe.execute()
    return job


def test_a_service_takes_over_from_those_who_served_a_queue_of_its_own(any_queue: Queue) -> None:
    other = Queue("other", connection=any_queue.connection)
    foreign, ours = lose(other, "foreign"), lose(any_queue, "ours")
    with running_worker(any_queue, lease=1.0):
        wait_until(lambda: ours.get_status() == JobStatus.FINISHED)
        assert foreign.get_status() == JobStatus.STARTED
        assert other.job_ids == []
    leases = {name.decode() for name in any_queue.connection.zrange(keys.LEASES, 0, -1)}
    assert leases == {"foreign"}
    with running_worker(other, lease=1.0):  # who serves it finds what there was
        wait_until(lambda: foreign.get_status() == JobStatus.FINISHED)
    assert not any_queue.connection.exists(keys.LEASES, keys.SERVICES, keys.held("foreign"))


def test_a_worker_that_holds_nothing_is_struck_off_by_anybody(any_queue: Queue) -> None:
    info = ServiceInfo("foreign", "h", 1, 1, ("other",), "3", 0.0)
    services.renew(Scripts(any_queue.connection), info, -1.0)
    with running_worker(any_queue, lease=1.0):
        wait_until(lambda: not any_queue.connection.hexists(keys.SERVICES, "foreign"))


# -- what a service holds ------------------------------------------------------------------------------


def test_what_was_taken_from_a_service_it_lets_go_of(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By whoever: it need not have been given up for dead."""
    monkeypatch.setattr(housekeeping, "COMPARE", 0.2)
    flag = tmp_path / "flag"
    with running_worker(any_queue, processes=2) as state:
        job, other = (any_queue.enqueue(jobs.wait_for, str(flag)) for _ in range(2))
        wait_until(lambda: len(state.taken) == 2)
        [entry] = [key for key in any_queue.connection.hkeys(keys.held(state.name)) if job.id.encode() in key]
        with any_queue.connection.pipeline() as pipe:
            pipe.hset(job.key, "worker_name", "another")
            pipe.hdel(keys.held(state.name), entry)
            pipe.execute()
        wait_until(lambda: [taken.job_id for taken in state.taken] == [other.id])
        flag.touch()
        wait_until(lambda: has_ended(other))
    assert job.get_status() == JobStatus.STARTED
    assert job.results() == []


def test_what_a_service_holds_and_knows_nothing_of_goes_back(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the reply to its beginning was lost."""
    monkeypatch.setattr(housekeeping, "COMPARE", 0.2)
    with running_worker(any_queue) as state:
        begun = lose_to(any_queue, state.name)
        held = any_queue.create_job(jobs.square, (4,), status=JobStatus.QUEUED)
        held.save()
        any_queue.connection.hset(keys.held(state.name), f"{held.id}:unheard", "taken default")
        wait_until(lambda: begun.get_status() == JobStatus.FINISHED)
        wait_until(lambda: held.get_status() == JobStatus.FINISHED)


def test_rq_s_registries_are_not_cleaned_of_what_is_held(real_queue: Queue, tmp_path: Path) -> None:
    """Neither of a service's own jobs nor of another's, whatever scores have become of them."""
    flag = tmp_path / "flag"
    theirs = lose(real_queue, "sleeper")
    services.renew(
        Scripts(real_queue.connection), ServiceInfo("sleeper", "h", 1, 1, ("default",), "3", 0.0), 300.0
    )
    abandoned = lose(real_queue, "stock")
    real_queue.connection.zrem(keys.LEASES, "stock")
    real_queue.connection.delete(keys.held("stock"))
    with running_worker(real_queue, processes=2, rq=RQOptions(maintenance_interval=0)) as state:
        ours = real_queue.enqueue(jobs.wait_for, str(flag))
        wait_until(lambda: ours.get_status() == JobStatus.STARTED)
        key = real_queue.started_job_registry.key
        for member in real_queue.connection.zrange(key, 0, -1):
            real_queue.connection.zadd(key, {member: time.time() - 1000})
        wait_until(lambda: abandoned.get_status() == JobStatus.FAILED, "RQ's registry was cleaned")
        flag.touch()
        wait_until(lambda: ours.get_status() == JobStatus.FINISHED)
        assert not state.finished
    assert theirs.get_status() == JobStatus.STARTED
    assert [one.id for one in (theirs, abandoned, ours) if one.id in real_queue.failed_job_registry] == [
        abandoned.id
    ]


def test_who_leaves_leaves_nothing_behind_that_it_has_taken_in_its_last_moment(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from taskq_workers.service.upkeep import recovery

    strike_off, tried = recovery._strike_off, []

    def late(connection: Any, name: str, *, died: bool) -> bool:
        if not tried:
            tried.append(lose_to(real_queue, name))
        return strike_off(connection, name, died=died)

    monkeypatch.setattr(recovery, "_strike_off", late)
    with running_worker(real_queue, lease=300):
        wait_until(lambda: services.live(real_queue.connection))
    [job] = tried
    assert real_queue.job_ids == [job.id]
    assert not real_queue.connection.exists(keys.LEASES, keys.SERVICES, keys.ACTIVITY)
    assert not real_queue.connection.keys("taskq:held:*")


def lose_to(queue: Queue, name: str) -> Job:
    job = queue.enqueue(jobs.square, 3)
    queue.connection.lrem(queue.key, 1, job.id)
    worker = RQWorker((queue.name,), name, queue.connection)
    with queue.connection.pipeline() as pipe:
        worker.begin(worker.job_of(job.id, queue.connection.hgetall(job.key)), worker.queues[0], pipe)
        pipe.execute()
    return job
