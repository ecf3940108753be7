"""Plain jobs that take their whole worker down: put back a few times, then given up."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rq
from rq import Callback, Retry
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.suspension import resume, suspend

from taskq import MapJob, Queue
from taskq.maps.deaths import GIVEN, SERVICE
from taskq.payload.function import Function
from taskq.redis import holdings, keys
from taskq.redis.lua import Scripts
from taskq.testing import running_worker
from taskq_workers.link.tasks import AbandonedTask, JobTask
from taskq_workers.rq_options import RQOptions
from taskq_workers.service.core import drain
from taskq_workers.service.core.drain import Drain
from taskq_workers.service.core.execution import PlainJob
from taskq_workers.service.jobs import quarantine
from taskq_workers.service.rq.worker import RQWorker
from taskq_workers.service.upkeep import recovery, suspect
from taskq_workers.settings import MAX_DEATHS
from taskq_workers.user_code import UserCode
from tests import jobs, rq_jobs
from tests.contract.by_hand import claim
from tests.integration.test_deaths import runs_of
from tests.waiting import HANGS, LONG, wait_until


def begin(queue: Queue, name: str, *, run: bool = True) -> Job:
    """Let a worker with this name begin the job at the front, and give it to a process."""
    worker = RQWorker((queue.name,), name, queue.connection)
    if not queue.connection.exists(worker.key):
        worker.register_birth()
    job_id = queue.connection.lmove(queue.key, queue.intermediate_queue_key).decode()
    fields = queue.connection.hgetall(Job.key_for(job_id))
    with queue.connection.pipeline() as pipe:
        execution = worker.begin(worker.job_of(job_id, fields), worker.queues[0], pipe)
        pipe.execute()
    queue.connection.lrem(queue.intermediate_queue_key, 1, job_id)
    if run and suspect.deaths_of(fields):
        given = f"{holdings.GIVEN} {queue.name}"
        assert Scripts(queue.connection).begun([keys.held(name)], [execution.composite_key, given])
    return queue.fetch_job(job_id)


def die(queue: Queue, times: int, *, run: bool = True) -> None:
    """Let so many workers die, one after the other, while they run the job at the front."""
    for n in range(times):
        job = begin(queue, f"dead-{n}", run=run)
        assert recovery.recover(queue.connection, f"dead-{n}") == 1
        assert queue.job_ids[0] == job.id


def deaths(job: Job) -> int:
    return suspect.deaths_of(job.connection.hgetall(job.key))


def test_a_job_of_which_too_many_workers_die_is_given_up(any_queue: Queue, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    job, other = any_queue.enqueue(jobs.run_once, str(ledger), 7, 0.0), any_queue.enqueue(jobs.square, 3)
    die(any_queue, MAX_DEATHS)
    assert deaths(job) == MAX_DEATHS
    with running_worker(any_queue):
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
        wait_until(lambda: other.return_value(refresh=True) == 9)
    assert runs_of(ledger) == []
    assert job.id in any_queue.failed_job_registry.get_job_ids()
    [result] = job.results()
    assert "AbandonedJobError: 3 workers, one after the other, died" in result.exc_string
    assert f"taskq retry {job.id}" in result.exc_string
    assert not any_queue.connection.keys("rq:execution*")


def test_one_death_fewer_and_it_runs(any_queue: Queue) -> None:
    job = any_queue.enqueue(jobs.square, 3)
    die(any_queue, MAX_DEATHS - 1)
    with running_worker(any_queue):
        wait_until(lambda: job.return_value(refresh=True) == 9)
    assert len(job.results()) == 1


def test_its_callback_and_the_handlers_run_in_a_pool_process(real_queue: Queue) -> None:
    job = real_queue.enqueue(jobs.square, 3, on_failure=Callback(rq_jobs.note_abandoned))
    die(real_queue, MAX_DEATHS)
    user = UserCode(exception_handlers=(Function.of(rq_jobs.first_handler),))
    with running_worker(real_queue, processes=1, rq=RQOptions(user=user)) as state:
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
        assert real_queue.connection.get(f"test:abandoned:{job.id}") == (
            f"AbandonedJobError {state.lanes.pids[0]}".encode()
        )
        [told] = real_queue.connection.lrange(f"test:handlers:{job.id}", 0, -1)
        assert told.startswith(b"first AbandonedJobError")


def test_a_retry_is_honoured_and_counts_anew(any_queue: Queue) -> None:
    job = any_queue.enqueue(jobs.square, 3, retry=Retry(max=1))
    die(any_queue, MAX_DEATHS)
    with running_worker(any_queue):
        wait_until(lambda: job.return_value(refresh=True) == 9)
    job.refresh()
    assert job.retries_left == 0
    assert deaths(job) == 0


def test_requeued_by_hand_it_counts_anew(any_queue: Queue) -> None:
    job = any_queue.enqueue(jobs.square, 3)
    die(any_queue, MAX_DEATHS)
    with running_worker(any_queue):
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
    job.requeue()
    assert deaths(job) == 0
    with running_worker(any_queue):
        wait_until(lambda: job.return_value(refresh=True) == 9)


def test_what_only_waited_for_a_process_is_blamed_once_at_most(any_queue: Queue) -> None:
    job = any_queue.enqueue(jobs.square, 3)
    die(any_queue, MAX_DEATHS + 2, run=False)
    assert deaths(job) == 1
    with running_worker(any_queue):
        wait_until(lambda: job.return_value(refresh=True) == 9)


def test_a_suspect_notes_that_it_runs(any_queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    job = any_queue.enqueue(jobs.wait_for, str(flag))
    die(any_queue, 1)
    with running_worker(any_queue) as state:
        wait_until(lambda: job.get_status() == JobStatus.STARTED)
        wait_until(lambda: any_queue.connection.hvals(keys.held(state.name)) == [b"given default"])
        flag.touch()
        wait_until(lambda: job.get_status() == JobStatus.FINISHED)
    assert not any_queue.connection.exists(keys.held(state.name))


def test_of_those_with_one_chance_left_each_runs_alone(any_queue: Queue, tmp_path: Path) -> None:
    flags = [tmp_path / "0", tmp_path / "1"]
    two = [any_queue.enqueue(jobs.wait_for, str(flag)) for flag in flags]
    for n in range(MAX_DEATHS - 1):
        names = [f"dead-{n}-{k}" for k in range(2)]
        for name in names:
            begin(any_queue, name)
        assert [recovery.recover(any_queue.connection, name) for name in names] == [1, 1]
    with running_worker(any_queue) as state:

        def running() -> list[str]:
            return [lane.running.job_id for lane in list(state.lanes) if isinstance(lane.running, PlainJob)]

        wait_until(running)
        [first] = running()
        others = [any_queue.enqueue(jobs.square, 3), any_queue.map(jobs.square, [3])]
        [second] = {job.id for job in two} - {first}
        assert [len(lane.tasks) for lane in list(state.lanes) if lane.tasks] == [1]
        flags[first != two[0].id].touch()
        wait_until(lambda: second in running(), "the other one has its turn")
        assert [len(lane.tasks) for lane in list(state.lanes) if lane.tasks] == [1]
        flags[first == two[0].id].touch()
        wait_until(lambda: all(job.get_status() == JobStatus.FINISHED for job in (*two, *others)))


def test_a_clean_stop_is_no_death(any_queue: Queue) -> None:
    job = any_queue.enqueue(jobs.nap, LONG)
    for _ in range(2):
        with running_worker(any_queue, grace=0.2):
            wait_until(lambda: job.get_status() == JobStatus.STARTED)
        assert job.get_status() == JobStatus.QUEUED
    assert not any_queue.connection.hexists(job.key, keys.JOB_DEATHS)


def test_two_who_recover_the_same_worker_count_one_death(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    any_queue.enqueue(jobs.square, 3)
    job = begin(any_queue, "dead")
    original = Execution.delete

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(Execution, "delete", original)
        assert recovery.recover(any_queue.connection, "dead") == 1
        return original(*args, **kwargs)

    monkeypatch.setattr(Execution, "delete", meanwhile)
    assert recovery.recover(any_queue.connection, "dead") == 0
    assert any_queue.job_ids == [job.id]
    assert deaths(job) == 1


def test_what_is_not_held_any_more_does_not_come_back(any_queue: Queue) -> None:
    assert Scripts(any_queue.connection).begun([keys.held("me")], ["job:gone", "given default"]) == 0
    assert not any_queue.connection.exists(keys.held("me"))


@pytest.mark.parametrize("damage", [b"", b"x", b"9" * 5000, b"-1", b"3"])
def test_a_count_that_is_none_is_no_count(damage: bytes) -> None:
    fields = {b"enqueued_at": b"now", keys.JOB_DEATHS.encode(): damage + b" now"}
    assert suspect.deaths_of(fields) == (3 if damage == b"3" else 0)
    assert suspect.deaths_of({**fields, b"enqueued_at": b"later"}) == 0


@pytest.mark.parametrize(("count", "given_up", "tell"), [(2, False, None), (3, True, True), (6, True, False)])
def test_a_callback_that_takes_workers_down_is_not_called_for_ever(
    fake_queue: Queue, count: int, given_up: bool, tell: bool | None
) -> None:
    job = fake_queue.enqueue(jobs.square, 3)
    execution = Execution("id", job.id, fake_queue.connection, "worker")
    task = suspect.task_of(PlainJob(job, rq.Queue("default", fake_queue.connection), execution, {}, deaths=count))
    assert isinstance(task, AbandonedTask if given_up else JobTask)
    assert getattr(task, "tell", None) is tell


def die_calling(queue: Queue, times: int) -> None:
    """Let so many workers die while they call the callback of the map at the front."""
    for n in range(times):
        job = begin(queue, f"dead-{n}", run=False)
        [held] = queue.connection.hkeys(keys.held(f"dead-{n}"))
        Scripts(queue.connection).begun([keys.held(f"dead-{n}")], [held, f"{holdings.GIVEN} {queue.name}"])
        assert recovery.recover(queue.connection, f"dead-{n}") == 1
        assert queue.job_ids[0] == job.id


def test_a_callback_of_a_map_of_which_too_many_workers_die_is_not_called_again(real_queue: Queue) -> None:
    job = real_queue.map(jobs.square, range(3), on_success=Callback(rq_jobs.wait_to_be_told, timeout=HANGS))
    die_calling(real_queue, MAX_DEATHS)
    with running_worker(real_queue):
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
    assert "3 workers, one after the other, died while they ran the callback" in job.latest_result().exc_string
    assert sorted(job.result_list) == [0, 1, 4]
    assert not real_queue.connection.exists(f"test:called:{job.id}")


def test_a_callback_with_its_last_chance_is_called_alone(real_queue: Queue, tmp_path: Path) -> None:
    flag, connection = tmp_path / "flag", real_queue.connection
    job = real_queue.map(jobs.square, range(3), on_success=Callback(rq_jobs.wait_to_be_told, timeout=HANGS))
    die_calling(real_queue, MAX_DEATHS - 1)
    with running_worker(real_queue) as state:
        other = real_queue.enqueue(jobs.wait_for, str(flag))
        wait_until(lambda: other.get_status() == JobStatus.STARTED and len(job.result_list) == 3)
        wait_until(lambda: state.drain is not None, "it waits for the other one")
        assert not connection.exists(f"test:called:{job.id}")
        flag.touch()
        wait_until(lambda: connection.exists(f"test:called:{job.id}"))
        assert quarantine.runs(state)
        connection.rpush(f"test:go:{job.id}", "go")
        wait_until(lambda: job.get_status() == JobStatus.FINISHED)


def test_a_worker_that_dies_beside_a_map_is_no_death_of_its_callback(any_queue: Queue) -> None:
    any_queue.map(jobs.square, range(3))
    job = begin(any_queue, "dead", run=False)
    assert recovery.recover(any_queue.connection, "dead") == 1
    assert deaths(job) == 0


def suspect_map(queue: Queue) -> MapJob:
    """A map of one item that has its last chance; while RQ's workers are suspended."""
    job = queue.map(jobs.square, [4])
    [held] = claim(job.store)
    job.store.release([(held, (MAX_DEATHS - 1) * SERVICE)])
    return job


def suspect_job(queue: Queue) -> Job:
    job = queue.enqueue(jobs.square, 3)
    enqueued = queue.connection.hget(job.key, "enqueued_at").decode()
    queue.connection.hset(job.key, keys.JOB_DEATHS, f"{MAX_DEATHS - 1} {enqueued} SIGKILL")
    return job


def test_what_can_t_run_alone_here_goes_to_a_service_that_has_nothing_to_do(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long job is in the way here, and may be for hours."""
    monkeypatch.setattr(quarantine, "Drain", partial(Drain, seconds=0.2))
    monkeypatch.setattr(drain, "AWAY", LONG)
    flag = tmp_path / "flag"
    with running_worker(fake_queue, processes=2) as one:
        other = fake_queue.enqueue(jobs.wait_for, str(flag))
        wait_until(lambda: other.get_status() == JobStatus.STARTED)
        suspend(fake_queue.connection)
        wait_until(lambda: one.suspended)
        plain, job = suspect_job(fake_queue), suspect_map(fake_queue)
        with running_worker(fake_queue, processes=1):
            resume(fake_queue.connection)
            assert job.get(timeout=HANGS) == [16]
            wait_until(lambda: plain.return_value(refresh=True) == 9)
        assert other.get_status() == JobStatus.STARTED
        flag.touch()


@pytest.mark.parametrize("is_map", [False, True])
def test_others_begin_beside_one_that_runs_alone_for_long(
    any_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_map: bool
) -> None:
    monkeypatch.setattr(quarantine, "MOST", 0.2)
    flag = tmp_path / "flag"
    suspect = any_queue.map(jobs.wait_for, [str(flag)]) if is_map else any_queue.enqueue(jobs.wait_for, str(flag))
    if isinstance(suspect, MapJob):
        [held] = claim(suspect.store)
        suspect.store.release([(held, (MAX_DEATHS - 1) * SERVICE)])
    else:
        die(any_queue, MAX_DEATHS - 1)
    with running_worker(any_queue, processes=2) as state:
        wait_until(lambda: state.alone, "it runs")
        others = [any_queue.map(jobs.square, range(30)), any_queue.map(jobs.square, [5])]
        assert [sum(job.get(timeout=HANGS)) for job in others] == [sum(n * n for n in range(30)), 25]
        assert any_queue.enqueue(jobs.square, 3).latest_result(timeout=int(HANGS)).return_value == 9
        assert suspect.get_status() == JobStatus.STARTED
        wait_until(lambda: not counts(suspect, state.name), "the loss of this host is not its last death")
        flag.touch()
        wait_until(lambda: suspect.get_status() == JobStatus.FINISHED)


def counts(job: Job, name: str) -> bool:
    """Whether the next death counts, if nobody knows what ran: as its worker, which has this name, has noted."""
    if isinstance(job, MapJob):
        [held] = job.store.held_by(name)
        return held.deaths >= GIVEN
    held_by = job.connection.hgetall(keys.held(name))
    return any(key.startswith(job.id.encode()) and value.startswith(b"given") for key, value in held_by.items())


def test_what_was_given_up_waits_for_nothing() -> None:
    alone = [PlainJob(None, None, None, {}, deaths=deaths).runs_alone for deaths in range(2 * MAX_DEATHS + 1)]  # type: ignore[arg-type]
    assert [deaths for deaths, one in enumerate(alone) if one] == [MAX_DEATHS - 1, 2 * MAX_DEATHS - 1]


def test_what_is_to_run_alone_does_not_while_workers_are_suspended_or_it_is_paused(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "Drain", partial(Drain, seconds=LONG))
    flag = tmp_path / "flag"

    def rests() -> bool:
        looks = state.looks
        wait_until(lambda: state.looks > looks + 2)
        return not job.progress.done

    with running_worker(fake_queue, processes=2) as state:
        other = fake_queue.enqueue(jobs.wait_for, str(flag))
        wait_until(lambda: other.get_status() == JobStatus.STARTED)
        suspend(fake_queue.connection)
        wait_until(lambda: state.suspended)
        job = suspect_map(fake_queue)
        resume(fake_queue.connection)
        wait_until(lambda: any(run.last for run in list(state.maps)))
        suspend(fake_queue.connection)
        wait_until(lambda: state.suspended)
        flag.touch()
        wait_until(lambda: other.get_status() == JobStatus.FINISHED)
        assert rests()
        job.pause()
        wait_until(lambda: not any(run.last for run in list(state.maps)), "it goes back")
        resume(fake_queue.connection)
        assert rests()
        job.resume()
        assert job.get(timeout=HANGS) == [16]
