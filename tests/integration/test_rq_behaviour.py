"""What RQ's worker does with plain jobs, ours does: on a real server, with real pool processes."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import rq
from rq.command import (
    send_command,
    send_kill_horse_command,
    send_shutdown_command,
    send_stop_execution_command,
    send_stop_job_command,
)
from rq.executions import Execution
from rq.group import Group
from rq.job import JobStatus
from rq.results import Result
from rq.suspension import resume, suspend
from rq.utils import current_timestamp
from rq.worker.base import WorkerStatus

from taskq import MapCanceledError, MapError, MapJob, Queue
from taskq.payload.function import Function
from taskq.testing import make_fake_queue, running_worker
from taskq_workers.rq_options import RQOptions
from taskq_workers.service import housekeeping
from taskq_workers.service.jobs.suspension import Suspension
from taskq_workers.service.rq.worker import RQWorker
from taskq_workers.service.upkeep.membership import Membership
from taskq_workers.settings import Trust
from taskq_workers.user_code import UserCode
from tests import jobs, rq_jobs
from tests.integration.test_deaths import runs_of
from tests.waiting import HANGS, LONG, NEVER, wait_until


def name_of_worker(queue: Queue) -> str:
    [worker] = rq.Worker.all(queue.connection)
    return worker.name


def wait_until_started(*started: rq.job.Job) -> None:
    for job in started:
        wait_until(lambda job=job: job.get_status() == JobStatus.STARTED)


def test_a_map_whose_job_a_tool_of_rq_s_cancels_is_cancelled_with_all_that_follows_it(real_queue: Queue) -> None:
    job = real_queue.map(jobs.nap, [0.05] * 1000, chunksize=1)
    follower, plain = job.map(jobs.square), real_queue.enqueue(jobs.square, 3, depends_on=job.id)
    with running_worker(real_queue, 2):
        wait_until(lambda: job.progress.done)
        rq.job.Job.fetch(job.id, connection=real_queue.connection).cancel()
        for waits in (job, follower):
            with pytest.raises(MapError):
                waits.get(timeout=HANGS)
        wait_until(lambda: job.store.info().state != "open", "its owner looks once a second")
        wait_until(lambda: not real_queue.connection.keys("taskq:held:*"), "nothing of it runs")
        done = job.progress.done
        assert real_queue.enqueue(jobs.square, 4).latest_result(timeout=HANGS).return_value == 16
    assert job.progress.done == done < 1000
    with pytest.raises(MapCanceledError, match=f"cancelled with {done} of 1000 items done"):
        job.get(timeout=HANGS)
    assert plain.get_status() == JobStatus.DEFERRED, "as RQ leaves what waits for a cancelled job"


@pytest.mark.parametrize("kind", [Queue, rq.Queue])
@pytest.mark.parametrize("end", ["cancelled", "finished"])
def test_a_plain_job_with_the_id_of_a_map_that_has_ended_is_a_plain_job(
    real_queue: Queue, kind: type[rq.Queue], end: str
) -> None:
    """RQ writes it over the map's job, field by field, and leaves what else stands there."""
    job = real_queue.map(jobs.nap, [0.01] * (500 if end == "cancelled" else 2), job_id="one", chunksize=1)
    with running_worker(real_queue, 1):
        wait_until(lambda: job.progress.done)
        if end == "cancelled":
            job.cancel()
        else:
            job.get(timeout=HANGS)
        done = job.progress.done
        plain = kind(real_queue.name, connection=real_queue.connection).enqueue(jobs.square, 3, job_id="one")
        wait_until(lambda: plain.get_status() == JobStatus.FINISHED)
        assert plain.return_value(refresh=True) == 9
    assert job.store.info().done == done, "the map was not begun again"
    found = real_queue.fetch_job("one")
    assert found is not None
    assert not isinstance(found, MapJob)
    assert found.return_value() == 9


def test_a_map_with_the_id_of_a_plain_job_that_still_runs_is_not_ended_by_it(
    real_queue: Queue, tmp_path: Path
) -> None:
    flags = [tmp_path / name for name in ("plain", "map")]
    plain = real_queue.enqueue(jobs.wait_for, str(flags[0]), job_id="one")
    with running_worker(real_queue, processes=2) as state:
        wait_until_started(plain)
        rq.job.Job.fetch("one", real_queue.connection).delete()
        job = real_queue.map(jobs.wait_for, [str(flags[1])] * 2, job_id="one")
        wait_until(lambda: len(state.taken) == 2)
        flags[0].touch()
        wait_until(lambda: len(state.taken) == 1, "the plain job has ended")
        assert job.get_status() == JobStatus.STARTED
        flags[1].touch()
        assert len(job.get(timeout=HANGS)) == 2
        assert real_queue.connection.hkeys(f"taskq:held:{state.name}") == []


# -- commands -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_execution", [False, True])
def test_a_stopped_job_is_gone_at_once_and_the_others_run_on(
    real_queue: Queue, tmp_path: Path, by_execution: bool
) -> None:
    flag = tmp_path / "flag"
    with running_worker(real_queue, processes=2) as state:
        stopped = real_queue.enqueue(
            jobs.nap, LONG, on_stopped=rq.Callback(jobs.remember_process), retry=rq.Retry(max=3)
        )
        other = real_queue.enqueue(jobs.wait_for, str(flag))
        wait_until_started(stopped, other)
        if by_execution:
            send_stop_execution_command(real_queue.connection, stopped.id, stopped.get_executions()[0].id)
        else:
            send_stop_job_command(real_queue.connection, stopped.id)
        wait_until(lambda: stopped.get_status() == JobStatus.STOPPED)
        pid = int(real_queue.connection.get(f"test:callback:{stopped.id}"))
        assert pid in state.lanes.pids
        assert stopped.id in real_queue.failed_job_registry.get_job_ids()
        assert "stopped by user" in stopped.latest_result().exc_string
        assert not stopped.get_executions()
        flag.touch()
        wait_until(lambda: other.get_status() == JobStatus.FINISHED)


def test_a_stopped_callback_and_the_handler_of_the_killed_see_a_job_that_has_started(
    real_queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Function.of(rq_jobs.tell_how_it_is)
    with running_worker(real_queue, processes=1, rq=RQOptions(user=UserCode(work_horse_killed_handler=handler))):
        stopped = real_queue.enqueue(jobs.nap, LONG, on_stopped=rq.Callback(rq_jobs.tell_how_it_is))
        wait_until_started(stopped)
        send_stop_job_command(real_queue.connection, stopped.id)
        wait_until(lambda: stopped.get_status() == JobStatus.STOPPED)
        killed = real_queue.enqueue(jobs.die_once_then, 0)
        wait_until(lambda: killed.get_status() == JobStatus.FAILED)
    for job in (stopped, killed):
        [seen] = real_queue.connection.lrange(f"test:seen:{job.id}", 0, -1)
        assert json.loads(seen) == ["started", True, False, True]
    assert f"job {stopped.id} (tests.jobs.nap) was stopped" in caplog.text
    assert f"job {killed.id} (tests.jobs.die_once_then) failed: Work-horse terminated" in caplog.text


def test_a_stopped_callback_that_fails_changes_nothing(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1):
        job = real_queue.enqueue(jobs.nap, LONG, on_stopped=rq.Callback(jobs.square))
        wait_until_started(job)
        send_stop_job_command(real_queue.connection, job.id)
        wait_until(lambda: job.get_status() == JobStatus.STOPPED)


def test_a_stopped_map_ends_at_once_in_all_services(real_queue: Queue) -> None:
    with (
        running_worker(real_queue, processes=1) as first,
        running_worker(real_queue, processes=1) as second,
    ):
        job = real_queue.map(jobs.nap, [LONG] * 8, chunksize=1, on_stopped=rq.Callback(jobs.remember_process))
        # One that has not begun with its item need not be killed: it is told to pass it over.
        wait_until(lambda: sum(lane.item is not None for state in (first, second) for lane in state.lanes) == 2)
        pids = {*first.lanes.pids, *second.lanes.pids}
        send_stop_job_command(real_queue.connection, job.id)
        wait_until(lambda: job.get_status() == JobStatus.STOPPED)
        wait_until(lambda: not pids & {*first.lanes.pids, *second.lanes.pids})
        assert real_queue.connection.get(f"test:callback:{job.id}") is not None
        with pytest.raises(MapCanceledError):
            job.get(timeout=HANGS)
        assert real_queue.enqueue(jobs.square, 3).latest_result(timeout=HANGS).return_value == 9


def test_what_is_not_running_can_not_be_stopped(real_queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with running_worker(real_queue, processes=1):
        job = real_queue.enqueue(jobs.wait_for, str(flag))
        wait_until_started(job)
        send_command(real_queue.connection, name_of_worker(real_queue), "stop-job", job_id="other")
        flag.touch()
        wait_until(lambda: job.get_status() == JobStatus.FINISHED)


def test_kill_horse_fails_what_runs(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1):
        job = real_queue.enqueue(jobs.nap, LONG)
        wait_until_started(job)
        send_kill_horse_command(real_queue.connection, name_of_worker(real_queue))
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
        assert "Work-horse terminated unexpectedly" in job.latest_result().exc_string


# -- suspend --------------------------------------------------------------------------------------------


def test_the_end_of_a_job_makes_no_suspended_worker_idle(real_queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with running_worker(real_queue, processes=1) as state:
        job = real_queue.enqueue(jobs.wait_for, str(flag))
        wait_until(lambda: job.id in [getattr(lane.running, "job_id", "") for lane in state.lanes])
        # As the service sets it, which it may in the turn in which the job also ends.
        state.worker._state = WorkerStatus.SUSPENDED
        real_queue.connection.hset(state.worker.key, "state", "suspended")
        flag.touch()
        assert job.latest_result(timeout=HANGS).return_value
        assert real_queue.connection.hget(state.worker.key, "state") == b"suspended"


def test_a_suspended_worker_begins_nothing_and_maps_pause(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[None] = []
    look = Suspension.look
    monkeypatch.setattr(Suspension, "look", lambda self: (look(self), looks.append(None)))
    with running_worker(real_queue, processes=1) as state:
        mapped = real_queue.map(jobs.nap, [0.2] * 20, chunksize=1)
        wait_until(lambda: mapped.progress.done > 0)
        suspend(real_queue.connection)
        wait_until(lambda: state.worker.get_state() == "suspended")
        done = mapped.progress.done
        plain = real_queue.enqueue(jobs.square, 3)
        seen = len(looks)
        wait_until(lambda: len(looks) > seen + 1)
        assert (mapped.progress.done, plain.get_status()) == (done, JobStatus.QUEUED)
        resume(real_queue.connection)
        wait_until(lambda: plain.get_status() == JobStatus.FINISHED)
        assert mapped.get(timeout=HANGS) == [0.2] * 20


def test_a_callback_that_lasts_far_longer_than_the_job_may_is_waited_for(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1, rq=RQOptions(job_monitoring_interval=1)) as state:
        callback = rq.Callback(rq_jobs.wait_to_be_told, timeout=200)
        job = real_queue.enqueue(jobs.square, 3, job_timeout=5, on_success=callback)
        wait_until(lambda: real_queue.connection.exists(f"test:called:{job.id}"))
        [taken] = state.taken
        taken.job.started_at -= timedelta(seconds=85)
        seen = real_queue.connection.hget(taken.execution.key, "last_heartbeat")
        # RQ's own way of it would have it expire now: then the field is gone.
        wait_until(lambda: real_queue.connection.hget(taken.execution.key, "last_heartbeat") != seen)
        assert real_queue.connection.ttl(taken.execution.key) > 0
        assert real_queue.started_job_registry.get_job_ids() == [job.id]
        real_queue.connection.rpush(f"test:go:{job.id}", "go")
        wait_until(lambda: job.get_status() == JobStatus.FINISHED)
        assert job.return_value() == 9


@pytest.mark.parametrize("timeout", [1, 5, 3600, -1, None])
@pytest.mark.parametrize("interval", [1, 30, 600])
def test_no_execution_expires_between_two_heartbeats(timeout: int | None, interval: int) -> None:
    connection = make_fake_queue().connection
    worker = RQWorker(("default",), "name", connection, RQOptions(job_monitoring_interval=interval))
    job = rq.job.Job.create(jobs.square, timeout=timeout, connection=connection)
    assert worker.get_heartbeat_ttl(job, working_time=10_000.0) > interval


# -- registered -----------------------------------------------------------------------------------------


def test_an_idle_worker_beats_before_its_key_expires(real_queue: Queue) -> None:
    options = RQOptions(worker_ttl=1, job_monitoring_interval=75)
    with running_worker(real_queue, processes=1, rq=options) as state:
        wait_until(lambda: real_queue.connection.hexists(state.worker.key, "queues"))
        first = real_queue.connection.hget(state.worker.key, "last_heartbeat")
        wait_until(lambda: real_queue.connection.hget(state.worker.key, "last_heartbeat") != first)
        assert 0 < real_queue.connection.ttl(state.worker.key) <= 61


@pytest.mark.parametrize("runs", [True, False])
def test_when_a_shutdown_was_requested_is_said_while_something_runs(
    real_queue: Queue, tmp_path: Path, runs: bool
) -> None:
    flag = tmp_path / "flag"
    with running_worker(real_queue, processes=1, grace=LONG) as state:
        wait_until(lambda: state.tickets)
        if runs:
            job = real_queue.enqueue(jobs.wait_for, str(flag))
            wait_until(lambda: any(state.plain))
        send_shutdown_command(real_queue.connection, state.name)
        if runs:
            wait_until(lambda: real_queue.connection.hexists(state.worker.key, "shutdown_requested_date"))
            assert not real_queue.connection.hexists(state.worker.key, "death")
            flag.touch()
        wait_until(lambda: real_queue.connection.hexists(state.worker.key, "death"))
        worker = rq.Worker.find_by_key(state.worker.key, real_queue.connection)
        assert (worker.shutdown_requested_date is not None) == runs
        assert not runs or job.get_status() == JobStatus.FINISHED


# -- user code ------------------------------------------------------------------------------------------


def test_exception_handlers_run_in_the_pool_process_until_one_says_no(real_queue: Queue) -> None:
    handlers = (Function.of(rq_jobs.first_handler), Function.of(rq_jobs.second_handler))
    with running_worker(real_queue, processes=1, rq=RQOptions(UserCode(exception_handlers=handlers))) as state:
        job = real_queue.enqueue(jobs.invert, 0)
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
        [pid] = state.lanes.pids
        said = real_queue.connection.lrange(f"test:handlers:{job.id}", 0, -1)
        assert said == [f"first ZeroDivisionError {pid}".encode()]


def test_a_broken_exception_handler_hides_no_error(real_queue: Queue) -> None:
    user = UserCode(exception_handlers=(Function.of("tests.rq_jobs.no_such_handler"),))
    with running_worker(real_queue, processes=1, rq=RQOptions(user)):
        job = real_queue.enqueue(jobs.invert, 0)
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
        text = job.latest_result().exc_string
        assert "ZeroDivisionError" in text
        assert "no_such_handler" in text


def test_the_killed_handler_is_called_before_the_failure_is_recorded(real_queue: Queue) -> None:
    user = UserCode(work_horse_killed_handler=Function.of(rq_jobs.note_killed))
    with running_worker(real_queue, processes=1, rq=RQOptions(user)) as state:
        wait_until(lambda: bool(state.lanes.pids))
        [victim] = state.lanes.pids
        job = real_queue.enqueue(rq_jobs.die)
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
        told = real_queue.connection.get(f"test:killed:{job.id}").split()
        assert told[:3] == [str(victim).encode(), b"9", b"None"]
        assert int(told[3]) in state.lanes.pids


@pytest.mark.parametrize(
    ("serializer", "given"), [("json", "json"), (rq_jobs.Upside, Function.of("tests.rq_jobs.Upside"))]
)
def test_custom_serializers_and_job_classes(real_queue: Queue, serializer: Any, given: Any) -> None:
    queue = Queue("custom", connection=real_queue.connection, serializer=serializer)
    user = UserCode(serializer=given, job_class=Function.of(rq_jobs.LoudJob))
    with running_worker(queue, processes=1, rq=RQOptions(user)):
        job = queue.enqueue("tests.jobs.add", 1, 2, meta={"of": "the producer"}, retry=rq.Retry(max=1))
        wait_until(lambda: job.get_status() == JobStatus.FINISHED)
        assert job.return_value(refresh=True) == "3!"
        assert job.get_meta() == {"of": "the producer"}


def test_async_functions(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1):
        assert real_queue.enqueue(rq_jobs.later, 7).latest_result(timeout=HANGS).return_value == 49


def test_what_job_code_changes_of_its_own_job_stays(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1):
        job = real_queue.enqueue(rq_jobs.change_itself, retry=rq.Retry(max=3))
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
        job.refresh()
        assert (job.description, job.retries_left) == ("changed", 0)
        assert Result.count(job) == 1, "it was not retried"


def test_maintenance_without_a_pause(real_queue: Queue) -> None:
    """RQ's worker whose interval is 0 cleans whenever it looks for a job."""
    registry = real_queue.finished_job_registry
    with running_worker(real_queue, processes=1, rq=RQOptions(maintenance_interval=0)):
        for name in ("first", "second"):
            real_queue.connection.zadd(registry.key, {name: 1})
            wait_until(lambda: not real_queue.connection.exists(registry.key))


# -- registries -----------------------------------------------------------------------------------------


def test_a_group_runs_and_forgets_the_jobs_that_are_gone(real_queue: Queue) -> None:
    group = Group.create(real_queue.connection, "mine")
    kept, gone = group.enqueue_many(
        real_queue, [rq.Queue.prepare_data(jobs.square, [n], result_ttl=ttl) for n, ttl in ((3, 60), (4, 0))]
    )
    with running_worker(real_queue, processes=2, rq=RQOptions(maintenance_interval=0)):
        assert kept.latest_result(timeout=HANGS).return_value == 9
        wait_until(lambda: real_queue.connection.smembers(group.key) == {kept.id.encode()})
        assert rq.job.Job.fetch(kept.id, real_queue.connection).group_id == "mine"
        kept.delete()
        wait_until(lambda: not real_queue.connection.exists(group.key, Group.REDIS_GROUP_KEY))
    assert not rq.job.Job.exists(gone.id, real_queue.connection)


def test_an_abandoned_job_is_cleaned_up_and_its_callback_runs_in_a_pool_process(real_queue: Queue) -> None:
    job = real_queue.enqueue(jobs.square, 2, on_failure=rq.Callback(rq_jobs.note_abandoned))
    real_queue.connection.delete(real_queue.key)  # another worker took it, and died long ago
    with real_queue.connection.pipeline() as pipe:
        job.prepare_for_execution("dead", pipe)
        execution = Execution.create(job, 1, pipe, worker_name="dead")
        pipe.execute()
    real_queue.connection.zadd(
        real_queue.started_job_registry.key, {execution.composite_key: current_timestamp() - 60}
    )
    with running_worker(real_queue, processes=1) as state:
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
        [pid] = state.lanes.pids
        told = real_queue.connection.get(f"test:abandoned:{job.id}")
        assert told == f"AbandonedJobError {pid}".encode()
        wait_until(lambda: not real_queue.connection.exists(real_queue.registry_cleaning_key), "the lock is free")


def test_a_stock_worker_that_is_slow_to_begin_keeps_its_job(real_queue: Queue) -> None:
    """RQ takes the id off the intermediate list only when its horse runs; its execution is registered before."""
    job = real_queue.enqueue(jobs.square, 2)
    real_queue.connection.lmove(real_queue.key, real_queue.intermediate_queue_key)
    with real_queue.connection.pipeline() as pipe:
        Execution.create(job, 100, pipe, worker_name="stock")
        pipe.execute()
    with running_worker(real_queue, processes=1) as state:
        from taskq_workers.service.jobs.intake import give_back

        assert not give_back(state, real_queue, job.id)
        assert real_queue.intermediate_queue.get_job_ids() == [job.id]


# -- webhooks -------------------------------------------------------------------------------------------


class _Listener(BaseHTTPRequestHandler):
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: Any) -> None: ...


@pytest.fixture
def listener() -> Iterator[tuple[str, list[bytes]]]:
    _Listener.bodies = []
    server = HTTPServer(("127.0.0.1", 0), _Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", _Listener.bodies
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("function", "status"), [("tests.rq_jobs.tick", "finished"), ("tests.jobs.invert", "failed"),
                             ("tests.jobs.exit_process", "failed")],
)  # fmt: skip
def test_webhooks_name_the_function(
    real_queue: Queue, listener: tuple[str, list[bytes]], function: str, status: Any
) -> None:
    url, bodies = listener
    with running_worker(real_queue, processes=1, trust=Trust(private_webhooks=True)):
        hook = rq.Webhook(url, job_status=status, method="POST")
        job = real_queue.enqueue(function, 0, webhooks=[hook], on_failure=None)
        wait_until(lambda: bool(bodies))
        assert f'"func_name": "{function}"'.encode() in bodies[0]
        assert f'"status": "{status}"'.encode() in bodies[0]
        assert job.get_status() == status


def test_the_dependent_of_a_simple_job_does_not_wait_for_a_tick(
    real_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "TICK", NEVER)
    monkeypatch.setattr(Membership, "due", math.inf)
    flag = tmp_path / "flag"
    with running_worker(real_queue, processes=1):
        first = real_queue.enqueue(jobs.wait_for, str(flag))
        second = real_queue.enqueue(jobs.square, 3, depends_on=first)
        flag.touch()
        wait_until(lambda: second.get_status() == JobStatus.FINISHED)


def test_an_odd_attribute_of_the_current_job_is_saved_as_text(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1) as state:
        wait_until(lambda: len(state.lanes.pids) == 1)
        before = tuple(state.lanes.pids)
        job = real_queue.enqueue(rq_jobs.describe_oddly)
        wait_until(lambda: job.get_status() == JobStatus.FINISHED)
        assert tuple(state.lanes.pids) == before, "it took no process with it"
    job.refresh()
    assert job.description == "odd"


def test_what_goes_back_unrun_is_still_allowed(real_queue: Queue, tmp_path: Path) -> None:
    """Short jobs are begun ahead; behind long ones they wait too long for a process, and go back."""
    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    with running_worker(real_queue, processes=2, rq=RQOptions(max_jobs=40)) as state:
        wait_until(lambda: state.tickets and len(state.lanes.idle) == 2 and not state.errands)
        state.job_seconds = 0.001
        with real_queue.connection.pipeline() as pipe:
            for n in range(60):
                arguments = (str(ledger), n, "" if n > 1 else str(flag))
                real_queue.enqueue_call(jobs.run_until, arguments, pipeline=pipe)
            pipe.execute()
        wait_until(lambda: state.begun == 40)
        wait_until(lambda: len(real_queue) == 58, "what was begun ahead has gone back")
        flag.touch()
        wait_until(lambda: state.finished)
    runs = runs_of(ledger)
    assert len(runs) == len(set(runs)) == real_queue.finished_job_registry.count == 40
