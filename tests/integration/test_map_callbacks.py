"""What callbacks of a map, and jobs that depend on one, may read of it."""

from __future__ import annotations

import html
from typing import Any

import pytest
import rq
from click.testing import CliRunner
from rq import Callback
from rq.command import send_stop_job_command
from rq.job import JobStatus

from taskq import MapJob, Queue
from taskq.payload.function import Function
from taskq.redis.urls import url_of
from taskq.testing import drain, running_worker
from taskq_workers import report
from taskq_workers.cli import cli, exits
from taskq_workers.dashboard import maps
from taskq_workers.rq_options import RQOptions
from taskq_workers.user_code import UserCode
from tests import jobs, rq_jobs
from tests.waiting import HANGS, LONG, wait_until

READ = Callback(jobs.read_map, timeout=HANGS)
READ_FETCHED = Callback(jobs.read_map_as_fetched, timeout=HANGS)
SQUARES = (True, True, [0, 1, 4], [0, 1, 4])
LOUD = RQOptions(user=UserCode(job_class=Function.of(rq_jobs.LoudJob)))


def told(queue: Queue, job: MapJob) -> Any:
    data = queue.connection.get(f"test:callback:{job.id}")
    assert data is not None
    return data.decode()


@pytest.fixture(params=["", "k" * 32], ids=["unsigned", "signed"], autouse=True)
def _key(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setenv("TASKQ_SECRET_KEY", request.param)


@pytest.mark.parametrize("settings", [{}, {"rq": LOUD}], ids=["", "job class"])
def test_a_success_callback_reads_its_map(real_queue: Queue, settings: dict[str, Any]) -> None:
    with running_worker(real_queue, **settings):
        job = real_queue.map(jobs.square, range(3), on_success=READ)
        assert job.get(timeout=HANGS) == [0, 1, 4]
        assert told(real_queue, job) == repr([SQUARES] * 2)
        assert job.get_status() == JobStatus.FINISHED


def test_a_failure_callback_reads_its_map_at_each_try(real_queue: Queue) -> None:
    with running_worker(real_queue):
        job = real_queue.map(jobs.invert, [1, 0, 2], on_failure=READ, retry=rq.Retry(max=1))
        assert job.wait(timeout=HANGS)
        read = told(real_queue, job)
        assert read.count("ZeroDivisionError") == 2
        assert read.count("(True, False, [0.5, 1.0], [1.0, ") == 2


def test_why_it_failed_is_told_though_no_item_has(real_queue: Queue) -> None:
    with running_worker(real_queue):
        job = real_queue.map(jobs.square, [2, 3], on_success=Callback(rq_jobs.note_killed))
        assert job.wait(timeout=HANGS)
    why = "its callback failed: TypeError: note_killed() missing 1 required positional argument: 'usage'"
    assert job.get() == [4, 9]
    assert job.store.info().reason == why
    url = url_of(real_queue.connection)
    run = CliRunner()
    assert why in run.invoke(cli, ["show", job.id, "--url", url]).stdout
    told = run.invoke(cli, ["results", job.id, "--url", url, "--values"])
    assert (told.exit_code, told.stdout) == (exits.ITEMS_FAILED, "4\n9\n")
    assert f"every item has its result, but the map failed: {why}" in told.stderr
    assert f"No item failed. The map did: {why}" in html.unescape(report.render(real_queue.connection, job.id))
    row = maps.find(real_queue.connection, job.id)
    assert row is not None
    assert row["reason"] == why


def test_a_stopped_callback_reads_its_map(real_queue: Queue) -> None:
    with running_worker(real_queue):
        job = real_queue.map(jobs.nap, [0, LONG], chunksize=1, on_stopped=READ)
        wait_until(lambda: len(job.result_list) == 1)
        send_stop_job_command(real_queue.connection, job.id)
        wait_until(lambda: real_queue.connection.exists(f"test:callback:{job.id}"))
        assert told(real_queue, job).count("(True, False, [") == 2
        assert told(real_queue, job).count("MapCanceledError") == 2


def test_nobody_else_sees_the_end_before_it_is_on_record(real_queue: Queue) -> None:
    with running_worker(real_queue):
        job = real_queue.map(jobs.square, range(3), on_success=Callback(jobs.wait_for_deletion, timeout=HANGS))
        wait_until(lambda: real_queue.connection.exists(f"test:callback:{job.id}"))
        assert not job.ready()
        job.delete()


@pytest.mark.parametrize(("target", "items"), [(jobs.square, [0, 1, 2]), (jobs.invert, [1, 0, 2])])
def test_in_a_stock_worker_it_reads_what_it_fetches(any_queue: Queue, target: Any, items: list[int]) -> None:
    job = any_queue.map(target, items, on_success=READ_FETCHED, on_failure=READ_FETCHED)
    drain(any_queue)
    assert told(any_queue, job).count(f"(True, {target is jobs.square}, [") == 2
    assert job.ready()


def test_a_stock_worker_waits_for_the_next_try(any_queue: Queue) -> None:
    """The end that it has seen was that of one try."""
    job = any_queue.map(jobs.invert, [1, 0], on_failure=READ_FETCHED, retry=rq.Retry(max=1, interval=LONG))
    drain(any_queue)
    assert job.get_status() == JobStatus.SCHEDULED
    assert not job.ready()
    job.set_status(JobStatus.STARTED)  # by another worker, of which this process knows nothing
    any_queue.connection.hset(job.key, "started_at", "2027-01-01T00:00:00.000000Z")
    assert not job.ready()


@pytest.mark.parametrize("settings", [{}, {"rq": LOUD}], ids=["", "job class"])
def test_a_dependent_reads_the_map_it_waited_for(real_queue: Queue, settings: dict[str, Any]) -> None:
    first = real_queue.map(jobs.square, range(3))
    second = real_queue.enqueue(jobs.total_of_maps, depends_on=first)
    with running_worker(real_queue, **settings):
        wait_until(lambda: second.get_status() == JobStatus.FINISHED)
        loud = "!" if settings else ""
        assert str(second.return_value(refresh=True)) == f"[5, 5]{loud}"
    [found] = real_queue.fetch_job(second.id).fetch_dependencies()
    assert isinstance(found, MapJob)
    assert found.get() == [0, 1, 4]
    assert found == first
    assert real_queue.fetch_job(second.id) == second
