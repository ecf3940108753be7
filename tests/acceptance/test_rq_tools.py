"""RQ's own tools beside the services: what they show is true, and what they run is right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import rq

from taskq import Queue
from tests import jobs
from tests.acceptance.worker import ROOT, Workers, environment
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance


def stock(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """RQ's own command."""
    command = [sys.executable, "-m", "rq.cli", arguments[0], "--url", url, *arguments[1:]]
    return subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=HANGS, check=True
    )


def test_services_are_rq_workers(workers: Workers, real_queue: Queue, server_url: str, tmp_path: Path) -> None:
    worker = workers.ready(services=2, processes=1)

    def states() -> set[str]:  # looked up anew each time: who was read at its birth stays "?"
        return {one.get_state() for one in rq.Worker.all(real_queue.connection)}

    known = {one.name: one for one in rq.Worker.all(real_queue.connection)}
    assert set(known) == {info.name for info in worker.infos}
    assert {one.pid for one in known.values()} == set(worker.service_pids)
    wait_until(lambda: states() <= {"idle", "started"})  # "?": as at RQ's own birth

    flag = tmp_path / "flag"
    job = real_queue.map(jobs.wait_for, [str(flag)], chunksize=1)
    last = [real_queue.enqueue(jobs.wait_for, str(flag)) for _ in range(2)]
    # Owning a map costs no process: it has begun, and which two of the three run is the scheduler's choice.
    wait_until(lambda: real_queue.started_job_registry.get_job_count(cleanup=False) >= 2)
    wait_until(lambda: states() == {"busy"})
    told = stock(server_url, "info", "--raw").stdout
    assert "queue default 0" in told or "queue default 1" in told
    for info in worker.infos:
        line = next(line for line in told.splitlines() if info.name in line)
        assert "busy" in line
    current = {one.get_current_job_id() for one in rq.Worker.all(real_queue.connection)}
    assert current - {None} <= {job.id, *(one.id for one in last)}  # who has a place in another's map has no job

    flag.touch()
    for one in (*last, job):
        wait_until(lambda one=one: one.get_status() == "finished")
    wait_until(lambda: states() == {"idle"})
    assert sum(one.successful_job_count for one in rq.Worker.all(real_queue.connection)) == 3
    assert set(real_queue.finished_job_registry.get_job_ids(cleanup=False)) == {job.id, *(one.id for one in last)}


def test_stock_worker_runs_a_map(real_queue: Queue, server_url: str) -> None:
    mapped = real_queue.map(jobs.invert, [1, 2, 0, 4], chunksize=2)
    by_value = real_queue.map(lambda n: n + 1, range(5))
    plain = real_queue.enqueue(jobs.square, 3)
    stock(server_url, "worker", "--burst", "default")
    assert mapped.get_status() == "failed"
    assert [str(value) for value in mapped.get(errors="return")] == ["1.0", "0.5", "division by zero", "0.25"]
    assert by_value.get() == [1, 2, 3, 4, 5]
    assert plain.return_value() == 9


def test_stock_worker_helps_beside_a_service(workers: Workers, real_queue: Queue, server_url: str) -> None:
    workers.ready(processes=1)
    first = real_queue.map(jobs.nap, [0.05] * 12, chunksize=1)
    second = real_queue.map(jobs.nap, [0.05] * 8, chunksize=1)
    stock(server_url, "worker", "--burst", "default")
    assert first.get(timeout=HANGS) == [0.05] * 12
    assert second.get(timeout=HANGS) == [0.05] * 8


def test_callbacks_run_in_a_pool_process(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready()
    callbacks = {
        "on_success": rq.Callback(jobs.remember_process),
        "on_failure": rq.Callback(jobs.remember_process),
    }
    good = real_queue.map(jobs.square, range(10), **callbacks)
    bad = real_queue.map(jobs.invert, [1, 0], **callbacks)
    plain = real_queue.enqueue(jobs.square, 3, **callbacks)
    for job, status in ((good, "finished"), (bad, "failed"), (plain, "finished")):
        wait_until(lambda job=job, status=status: job.get_status() == status)
        pid = real_queue.connection.get(f"test:callback:{job.id}")
        assert pid is not None
        assert int(pid) in worker.pool_pids


def test_callbacks_are_told_what_came_out(workers: Workers, real_queue: Queue) -> None:
    workers.ready()
    good = real_queue.map(jobs.square, range(10), on_success=rq.Callback(jobs.remember))
    bad = real_queue.map(jobs.invert, [1, 0], on_failure=rq.Callback(jobs.remember))
    wait_until(lambda: good.get_status() == "finished" and bad.get_status() == "failed")
    assert real_queue.connection.get(f"test:callback:{good.id}") == repr(good.return_value()).encode()
    assert b"MapFailedError" in real_queue.connection.get(f"test:callback:{bad.id}")


def test_jobs_append_to_a_shared_list(workers: Workers, real_queue: Queue) -> None:
    workers.ready()
    shared = real_queue.result_list("shared")
    one_by_one = [real_queue.enqueue(jobs.append_to, shared, n) for n in range(8)]
    mapped = real_queue.starmap(jobs.append_to, [(shared, n) for n in range(8, 40)])
    assert mapped.get(timeout=HANGS) == [None] * 32
    wait_until(lambda: all(job.get_status() == "finished" for job in one_by_one))
    assert sorted(shared) == list(range(40))


def test_jobs_save_their_meta(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready(processes=1)
    plain = real_queue.enqueue(jobs.note_in_meta, 1)
    mapped = real_queue.map(jobs.note_in_meta, range(3), meta={"of": "the producer"})
    assert mapped.get(timeout=HANGS) == [0, 1, 2]
    wait_until(lambda: plain.get_status() == "finished")
    [pid] = worker.pool_pids
    assert plain.get_meta() == {"process of 1": pid}
    assert mapped.get_meta() == {"of": "the producer", **{f"process of {n}": pid for n in range(3)}}
