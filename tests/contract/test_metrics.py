"""What Prometheus is shown, from a service with real pool processes."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from taskq import Queue
from taskq.redis.lua import Scripts
from taskq.testing import running_worker
from taskq.views import activity, backlog, metrics
from tests import jobs
from tests.waiting import HANGS, LONG, wait_until


def samples(connection: Any) -> dict[tuple[str, ...], float]:
    """(name, label value, ...) -> number, as Prometheus itself would read it."""
    text = metrics.exposition(connection).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_of_an_empty_server(any_queue: Queue) -> None:
    shown = samples(any_queue.connection)
    assert shown["taskq_chunks_total",] == 0
    assert shown["taskq_commit_seconds_count",] == 0


def test_outstanding_chunks_before_any_worker(any_queue: Queue) -> None:
    any_queue.map(jobs.square, range(10), chunksize=2)
    for _ in range(3):
        any_queue.enqueue(jobs.square, 1)
    shown = samples(any_queue.connection)
    assert shown["taskq_chunks_outstanding", "default", "waiting"] == 8
    assert shown["taskq_chunks_outstanding", "default", "claimed"] == 0
    assert shown["taskq_queue_jobs", "default", "queued"] == 4
    assert shown["taskq_maps", "default", "queued"] == 1


def test_a_long_queue_is_not_read_to_its_end(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "LOOK", 2)
    for _ in range(5):
        any_queue.enqueue(jobs.square, 1)
    any_queue.map(jobs.square, range(10), chunksize=1)  # beyond what is looked at: counts as one
    [line] = backlog.read_queues(any_queue.connection)
    assert (line.waiting, line.jobs["queued"], line.maps) == (6, 6, [])


def test_counted_by_a_service(real_queue: Queue) -> None:
    connection = real_queue.connection
    with running_worker(real_queue, processes=2):
        real_queue.map(jobs.invert, [1, 0, 2, 4], chunksize=2).wait(HANGS)
        assert real_queue.map(jobs.die_once_then, [0], job_id="died").get(HANGS) == [0]
        real_queue.enqueue(jobs.square, 2).latest_result(timeout=HANGS)
        real_queue.enqueue(jobs.invert, 0).latest_result(timeout=HANGS)
        wait_until(lambda: samples(connection).get(("taskq_jobs_total", "plain", "failed")) == 1)
        shown = samples(connection)
        assert shown["taskq_services", activity.live(connection)[0].host] == 1
    shown = samples(connection)
    assert shown["taskq_items_total", "done"] == 4
    assert shown["taskq_items_total", "failed"] == 1
    assert shown["taskq_chunks_total",] == shown["taskq_chunk_seconds_count",] == 3
    assert shown["taskq_commit_seconds_bucket", "+Inf"] == 3
    assert 0 < shown["taskq_commit_seconds_sum",] < 30
    assert shown["taskq_jobs_total", "map", "failed"] == 1
    assert shown["taskq_jobs_total", "map", "finished"] == 1
    assert shown["taskq_jobs_total", "plain", "finished"] == 1
    assert shown["taskq_job_seconds_count", "plain"] == 2
    assert shown["taskq_pool_process_deaths_total", "SIGKILL"] == 1
    assert shown["taskq_chunk_reruns_total", "process"] == 1
    assert shown["taskq_chunks_outstanding", "default", "waiting"] == 0
    assert not any(name == "taskq_services" for name, *_ in shown)  # it has left, what it counted stays


def test_what_runs_where(real_queue: Queue) -> None:
    connection = real_queue.connection
    with running_worker(real_queue, processes=2):
        job = real_queue.map(jobs.nap, [LONG] * 3, chunksize=1)
        wait_until(lambda: activity.cores_on(Scripts(connection), job.id) == (2, 2))
        [one] = activity.live(connection)
        assert {process.job for process in one.processes} == {job.id}
        assert {process.chunk for process in one.processes} == {"0:1", "1:1"}
        assert all(process.memory > 1e6 and process.since > process.started > 0 for process in one.processes)
        shown = samples(connection)
        assert shown["taskq_chunks_outstanding", "default", "claimed"] == 2
        assert shown["taskq_chunks_outstanding", "default", "waiting"] == 1
        assert shown["taskq_pool_processes", one.host, str(one.pid), "busy"] == 2
        assert shown["taskq_service_memory_bytes", one.host, str(one.pid)] > 1e6
        [line] = backlog.read_queues(connection)[0].maps
        assert (line.id, line.status, line.waiting, line.claimed) == (job.id, "started", 1, 2)
        job.cancel(kill=True)


def test_no_metric_is_declared_twice() -> None:
    names = [*metrics.COUNTERS, *metrics.HISTOGRAMS, *metrics.GAUGES]
    assert len(names) == len(set(names))


def counted(connection: Any, field: str) -> float:
    return float(connection.hget("taskq:metrics", field) or 0)


def test_a_server_that_refuses_what_is_told(real_queue: Queue) -> None:
    """The service works on, and nothing is lost or counted twice."""
    connection = real_queue.connection
    with running_worker(real_queue, processes=1):
        connection.hset("taskq:metrics", "taskq_chunks", "nonsense")
        assert real_queue.map(jobs.square, range(6), chunksize=2).get(HANGS)
        wait_until(lambda: counted(connection, "taskq_items|done") == 6)
        connection.set("taskq:activity", "of another kind")
        assert real_queue.map(jobs.square, range(6), chunksize=2).get(HANGS)
        wait_until(lambda: counted(connection, "taskq_items|done") == 12)
        connection.delete("taskq:activity")
        wait_until(lambda: counted(connection, "taskq_chunks") == 6, "it has begun anew by itself")
    assert counted(connection, "taskq_items|done") == 12
    assert counted(connection, "taskq_chunks") == 6


def test_garbage_among_the_counters(any_queue: Queue) -> None:
    garbage = {"": 1, "taskq_chunks": "x", "taskq_items|done|more": 2, "taskq_jobs": 3, "unknown|a": 4,
               "taskq_items|failed": "nan", b"\xff": 5, "taskq_items|done": 6}  # fmt: skip
    any_queue.connection.hset("taskq:metrics", mapping=garbage)
    shown = samples(any_queue.connection)
    assert shown["taskq_items_total", "done"] == 6
    assert [key for key in shown if key[0] == "taskq_items_total"] == [("taskq_items_total", "done")]
    assert shown["taskq_chunks_total",] == 0
