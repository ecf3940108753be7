"""Producer, dispatcher and real pool processes in one test process, on fakeredis: no server at all."""

from __future__ import annotations

import operator
from pathlib import Path

import numpy as np
import pytest
from rq import Retry
from rq.job import JobStatus

import taskq
from taskq import Queue
from taskq.testing import running_worker
from tests import jobs
from tests.waiting import HANGS, LONG, wait_until


@pytest.mark.parametrize("count", [1, 7, 1000, 20_000])
def test_results_come_in_the_order_of_the_items(fake_queue: Queue, count: int) -> None:
    with running_worker(fake_queue):
        assert fake_queue.map(jobs.square, range(count)).get(timeout=HANGS) == [n * n for n in range(count)]


def test_each_kind_of_function_and_iterable(fake_queue: Queue) -> None:
    offset = 10
    with running_worker(fake_queue):
        by_value = fake_queue.map(lambda n: n + offset, (n for n in range(5)))
        several = fake_queue.map(jobs.add, [1, 2, 3], range(10))
        star = fake_queue.starmap(jobs.add, zip(range(4), range(4), strict=True))
        array = fake_queue.map(np.sum, np.ones((6, 3)))
        method = fake_queue.map(str.upper, "abc")
        path = fake_queue.map("operator.neg", [1, 2])
        assert by_value.get(timeout=HANGS) == [10, 11, 12, 13, 14]
        assert several.get(timeout=HANGS) == [1, 3, 5]
        assert star.get(timeout=HANGS) == [0, 2, 4, 6]
        assert array.get(timeout=HANGS) == [3.0] * 6
        assert method.get(timeout=HANGS) == ["A", "B", "C"]
        assert path.get(timeout=HANGS) == [-1, -2]


def test_a_failing_item_costs_only_itself(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        job = fake_queue.map(jobs.invert, [4, 0, 2, 0, 1], chunksize=5)
        with pytest.raises(ZeroDivisionError) as caught:
            job.get(timeout=HANGS)
        results = job.get(errors="return")
    assert "in invert" in str(caught.value.__cause__)
    assert [results[0], results[2], results[4]] == [0.25, 0.5, 1.0]
    assert isinstance(results[1], ZeroDivisionError)
    assert sorted(job.errors) == [1, 3]
    assert list(job.result_list) == [0.25, 0.5, 1.0]
    assert (job.progress.done, job.progress.failed, job.progress.total) == (3, 2, 5)
    assert job.get_status() == JobStatus.FAILED
    assert job.id in fake_queue.failed_job_registry.get_job_ids()


@pytest.mark.parametrize(
    ("function", "item", "kind"),
    [
        (jobs.exit_at_3, 3, "SystemExit"),
        (jobs.interrupt, 3, "KeyboardInterrupt"),
        (jobs.stubborn, 3, "tests.jobs.Stubborn"),
        (jobs.unpicklable, 3, "PickleError"),
    ],
)
def test_what_would_hang_a_pool_is_an_error_of_its_item(
    fake_queue: Queue, function: object, item: int, kind: str
) -> None:
    with running_worker(fake_queue) as state:
        job = fake_queue.map(function, [item], chunksize=1)
        assert job.wait(timeout=HANGS)
        assert job.errors[0].type == kind
        assert fake_queue.map(jobs.square, range(3)).get(timeout=HANGS) == [0, 1, 4]
        wait_until(lambda: all(lane.idle for lane in state.lanes))


def test_a_result_over_the_limit_fails_its_item_only(fake_queue: Queue) -> None:
    fake_queue.payload_limit = 2000
    with running_worker(fake_queue):
        job = fake_queue.map(jobs.big, [10, 5000, 20])
        results = job.get(timeout=HANGS, errors="return")
    assert (results[0], results[2]) == (bytes(10), bytes(20))
    assert job.errors[1].type == "TooLargeError"
    assert "item 1" in job.errors[1].message


def test_a_function_that_the_worker_cannot_load_fails_the_map_as_a_whole(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        job = fake_queue.map("no_such_module.function", range(100))
        with pytest.raises(taskq.MapFailedError, match="no_such_module"):
            job.get(timeout=HANGS)
        latest = job.latest_result()
    assert latest is not None
    assert "FunctionError" in (latest.exc_string or "")


def test_code_of_another_python_is_refused_in_words(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    from taskq.payload import function

    monkeypatch.setattr(function, "_HERE", "3.9")
    made_by_39 = function.Function("square", function.codec.dumps(lambda n: n), by_value=True, python="3.9")
    monkeypatch.undo()
    with running_worker(fake_queue):
        job = fake_queue.map(made_by_39, range(3))
        with pytest.raises(taskq.MapFailedError, match=r"sent by value from Python 3\.9"):
            job.get(timeout=HANGS)


def test_retry_runs_only_the_failed_items_again(fake_queue: Queue, tmp_path: Path) -> None:
    flag, ledger = tmp_path / "flag", tmp_path / "ledger"
    flag.touch()

    def fails_once(n: int) -> int:
        with ledger.open("a") as file:
            file.write(f"{n}\n")
        if n == 2 and flag.exists():
            flag.unlink()
            raise ValueError("not yet")
        return n

    with running_worker(fake_queue):
        job = fake_queue.map(fails_once, range(5), retry=Retry(max=1), chunksize=5)
        assert job.get(timeout=HANGS) == [0, 1, 2, 3, 4]
    assert sorted(ledger.read_text().split()) == ["0", "1", "2", "2", "3", "4"]


def test_requeue_runs_only_the_failed_items_again(fake_queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    with running_worker(fake_queue):
        job = fake_queue.starmap(jobs.fail_until, [(str(flag), n) for n in range(4)])
        with pytest.raises(ValueError, match="not yet"):
            job.get(timeout=HANGS)
        flag.unlink()
        job.requeue()
        assert job.get(timeout=HANGS) == [0, 1, 2, 3]
        assert job.errors == {}


def test_values_come_as_they_complete(fake_queue: Queue, tmp_path: Path) -> None:
    first, second, last = (tmp_path / name for name in ("first", "second", "last"))
    first.touch()
    second.touch()
    with running_worker(fake_queue):
        values = iter(fake_queue.map(jobs.wait_for, map(str, (last, first, second)), chunksize=1))
        assert [next(values), next(values)] == [str(first), str(second)]
        last.touch()
        assert list(values) == [str(last)]


def test_a_job_sees_itself(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        job = fake_queue.map(jobs.current_job, range(2), description="look around")
        assert job.get(timeout=HANGS) == [(job.id, "look around")] * 2


def test_a_short_job_is_not_stuck_behind_a_huge_map(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        huge = fake_queue.map(jobs.nap, [0.02] * 5000, chunksize=1)
        wait_until(lambda: huge.progress.done > 5)
        small = fake_queue.map(jobs.square, range(10))
        plain = fake_queue.enqueue(operator.add, 1, 2)
        assert small.get(timeout=HANGS)[3] == 9
        wait_until(lambda: plain.return_value(refresh=True) == 3)
        assert not huge.ready()
        huge.cancel()


def test_one_service_runs_as_many_plain_jobs_as_it_has_processes(fake_queue: Queue, tmp_path: Path) -> None:
    with running_worker(fake_queue, processes=3):
        pushed = [fake_queue.enqueue(jobs.nap, LONG) for _ in range(5)]
        registry = fake_queue.started_job_registry
        wait_until(lambda: len(registry.get_job_ids()) == 3)
        assert sorted(registry.get_job_ids()) == sorted(job.id for job in pushed[:3])
        assert len(fake_queue) == 2


def test_cancel_stops_a_running_map(fake_queue: Queue) -> None:
    with running_worker(fake_queue) as state:
        job = fake_queue.map(jobs.nap, [0.02] * 1000, chunksize=1)
        wait_until(lambda: job.progress.done > 2)
        job.cancel()
        with pytest.raises(taskq.MapCanceledError):
            job.get(timeout=HANGS)
        wait_until(lambda: not state.taken)
        done = job.progress.done
        assert fake_queue.map(jobs.square, range(3)).get(timeout=HANGS) == [0, 1, 4]
    assert job.progress.done == done < 1000
    assert len(job.result_list) == done


def test_job_timeout_ends_the_map_and_frees_its_processes(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        job = fake_queue.map(jobs.nap, [LONG] * 3, job_timeout=1)
        with pytest.raises(taskq.MapFailedError, match="maximum timeout value"):
            job.get(timeout=HANGS)
        assert fake_queue.map(jobs.square, range(3)).get(timeout=HANGS) == [0, 1, 4]


def test_a_plain_job_that_ignores_its_alarm_is_killed(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        job = fake_queue.enqueue(jobs.sleep_in_c, LONG, job_timeout=1)
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
        latest = job.latest_result()
    assert latest is not None
    assert "maximum timeout value (1 seconds)" in (latest.exc_string or "")


def test_an_empty_map_has_ended(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, [])
    assert job.ready()
    assert job.successful()
    assert job.get() == []
    assert job.return_value() == {"items": 0, "done": 0, "failed": 0, "seconds": 0.0}


def test_nothing_is_left_of_maps_and_jobs_but_what_expires(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        kept = fake_queue.map(jobs.square, range(10))
        gone = fake_queue.map(jobs.square, range(10), result_ttl=0)
        failed = fake_queue.map(jobs.invert, [0])
        for job in (kept, gone, failed):
            assert job.wait(timeout=HANGS)
        wait_until(lambda: not fake_queue.connection.exists(gone.store.keys.hash))
    connection = fake_queue.connection
    lasting = {key.decode() for key in connection.keys("*") if connection.ttl(key) == -1}
    registries = {"rq:finished:default", "rq:failed:default", "rq:queues"}
    ours = {"taskq:timeline", "taskq:maps", "taskq:metrics", "taskq:schema"}
    assert lasting <= registries | ours, lasting - registries
    assert not fake_queue.started_job_registry.get_job_ids()


def test_what_the_timeline_says(fake_queue: Queue) -> None:
    with running_worker(fake_queue) as state:
        job = fake_queue.map(jobs.square, range(8), chunksize=2)
        job.get(timeout=HANGS)
    entries = [fields for _id, fields in fake_queue.connection.xrange("taskq:timeline")]
    assert sorted(entry[b"chunk"] for entry in entries) == [b"0:2", b"2:2", b"4:2", b"6:2"]
    assert {entry[b"worker"].decode() for entry in entries} == {state.name}
    assert all(float(entry[b"start"]) <= float(entry[b"end"]) for entry in entries)
    assert sum(int(entry[b"items"]) for entry in entries) == 8
