"""A map from its job's point of view: waiting, results, errors, retries, the end."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
import redis
import rq
from rq.exceptions import InvalidJobOperation
from rq.executions import Execution
from rq.job import Callback, Dependency, Job, JobStatus, Retry  # type: ignore[attr-defined]
from rq.results import Result

from taskq import (
    ItemError,
    MapCanceledError,
    MapError,
    MapFailedError,
    MapJob,
    OptionError,
    Queue,
    ResultsGoneError,
    WaitTimeoutError,
)
from taskq.errors import RemoteTraceback
from taskq.maps.control import CANCELED
from taskq.maps.executions import Executions
from taskq.maps.store import MapStore
from taskq.maps.waiting import Events
from taskq.testing import drain
from tests import jobs
from tests.waiting import BRIEF, HANGS

Hook = Callable[[Callable[[Any], Any]], None]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Hook:
    """Sets what ``jobs.hooked`` calls."""
    return lambda call: monkeypatch.setitem(jobs.hooks, "call", call)


def pushed(queue: Queue, target: Any, *items: Any, **options: Any) -> MapJob:
    """A map that has run."""
    job = queue.map(target, *items, **options)
    drain(queue)
    return job


def map_keys(queue: Queue) -> dict[bytes, int]:
    """The map's keys that exist, with their time to live."""
    return {key: queue.connection.ttl(key) for key in queue.connection.keys("taskq:{*")}


class Flaky:
    """Fails the items in ``bad`` until they have been tried often enough; remembers every try."""

    def __init__(self, bad: set[int], tries: int) -> None:
        self.bad, self.tries, self.tried = bad, tries, []  # type: ignore[var-annotated]

    def __call__(self, n: int) -> int:
        self.tried.append(n)
        if n in self.bad and self.tried.count(n) < self.tries:
            raise ValueError(f"not yet: {n}")
        return n * 10


# -- results ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [None, 1, 7, 1000])
def test_results_are_in_the_order_of_the_items(any_queue: Queue, chunksize: int | None) -> None:
    job = pushed(any_queue, jobs.square, range(100), chunksize=chunksize)
    assert job.get(timeout=HANGS) == [n * n for n in range(100)]


def test_input_order_is_rebuilt_from_completion_order(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(50), chunksize=3)
    pending = any_queue.connection.lrange(job.store.keys.pending, 0, -1)
    random.Random(1).shuffle(pending)
    any_queue.connection.delete(job.store.keys.pending)
    any_queue.connection.rpush(job.store.keys.pending, *pending)
    drain(any_queue)
    assert list(job.result_list) != [n * n for n in range(50)]
    assert sorted(job.result_list) == [n * n for n in range(50)]
    assert job.get(timeout=HANGS) == [n * n for n in range(50)]


def test_results_can_be_had_again_and_again(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.square, range(5))
    assert job.get(timeout=HANGS) == job.get(timeout=HANGS) == list(job) == list(job) == list(job.result_list)


def test_results_in_many_batches(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskq.redis.list_reader._MOST", 7)
    job = pushed(any_queue, jobs.square, range(50))
    assert job.get(timeout=HANGS) == list(job) == [n * n for n in range(50)]


def test_the_job_when_all_went_well(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.square, range(8))
    assert job.ready()
    assert job.successful()
    assert job.wait(timeout=0)
    assert job.wait(timeout=0, progress=True)
    assert job.is_finished
    assert job.errors == {}
    assert (job.progress.done, job.progress.failed, job.progress.total) == (8, 0, 8)
    assert job.progress.seconds_left == 0
    assert repr(job) == str(job) == f"<MapJob {job.id} square 8/8 done, 0 failed, finished>"


def test_the_return_value_is_a_summary(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.square, range(8))
    value = job.return_value()
    assert {**value, "seconds": 0} == {"items": 8, "done": 8, "failed": 0, "seconds": 0}
    latest = job.latest_result()
    assert latest is not None
    assert latest.type == Result.Type.SUCCESSFUL
    assert latest.return_value == value


def test_the_job_while_it_waits(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(8))
    assert not job.ready()
    assert not job.wait(timeout=BRIEF)
    assert not job.wait(timeout=0)
    for progress in (False, True):
        with pytest.raises(
            WaitTimeoutError, match=r"has not ended within 0\.01 s \(0/8 done.*nobody works on it: no worker"
        ):
            job.get(timeout=BRIEF, progress=progress)
    with pytest.raises(TimeoutError):
        job.get(timeout=0)
    with pytest.raises(MapError, match="has not ended yet: it is queued"):
        job.successful()
    assert repr(job) == f"<MapJob {job.id} square 0/8 done, 0 failed>"
    drain(any_queue)
    assert job.get(timeout=HANGS) == [n * n for n in range(8)]


@pytest.mark.parametrize("errors", ["ignore", "", None, True])
def test_errors_is_one_of_two_words(any_queue: Queue, errors: Any) -> None:
    with pytest.raises(OptionError, match='errors must be "raise" or "return"'):
        any_queue.map(jobs.square, []).get(errors=errors)


def test_waiting_ends_with_the_map(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(8))
    got: list[Any] = []
    waiter = threading.Thread(target=lambda: got.append(job.get(timeout=HANGS)))
    waiter.start()
    drain(any_queue)
    waiter.join(HANGS)
    assert got == [[n * n for n in range(8)]]


def test_iteration_gives_values_as_they_complete(any_queue: Queue, hook: Hook) -> None:
    job = any_queue.map(jobs.hooked, range(5), chunksize=1)
    seen: list[int] = []
    steps = [threading.Event() for _ in range(6)]

    def follow() -> None:
        for value in job:
            seen.append(value)
            steps[value].set()

    def one_at_a_time(n: int) -> int:
        """The next item runs only when the value before it has been seen."""
        assert n == 0 or steps[n - 1].wait(HANGS)
        return n

    hook(one_at_a_time)
    follower = threading.Thread(target=follow)
    follower.start()
    drain(any_queue)
    follower.join(HANGS)
    assert seen == [0, 1, 2, 3, 4]


def test_positions_are_those_of_completion(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.square, range(5))
    assert job[3] == 9
    assert job[0] == 0
    with pytest.raises(IndexError):
        job[5]
    with pytest.raises(OptionError):
        job[-1]


# -- failures --------------------------------------------------------------------------------------


def test_the_first_error_in_input_order_is_raised(any_queue: Queue) -> None:
    job = pushed(any_queue, int, ["1", "b", "3", "a"], chunksize=1)
    with pytest.raises(ValueError, match="'b'") as caught:
        job.get(timeout=HANGS)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "ValueError: invalid literal" in str(caught.value.__cause__)


def test_errors_can_be_returned(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.invert, [1, 0, 2, 0], chunksize=2)
    got = job.get(timeout=HANGS, errors="return")
    assert got[::2] == [1.0, 0.5]
    assert [type(error) for error in got[1::2]] == [ZeroDivisionError] * 2
    assert all(isinstance(error.__cause__, RemoteTraceback) for error in got[1::2])


def test_the_others_complete(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.invert, [1, 0, 2, 0], chunksize=4)
    assert list(job.result_list) == [1.0, 0.5]
    assert sorted(job.errors) == [1, 3]
    assert job.errors[1].type == "ZeroDivisionError"
    assert (job.progress.done, job.progress.failed) == (2, 2)


def test_the_job_when_items_failed(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.invert, [1, 0, 2])
    assert job.ready()
    assert not job.successful()
    assert job.is_failed
    assert repr(job).endswith("2/3 done, 1 failed, failed>")
    assert any_queue.failed_job_registry.get_job_ids() == [job.id]
    latest = job.latest_result()
    assert latest is not None
    assert latest.type == Result.Type.FAILED
    assert "1 of 3 items failed, 2 done." in latest.exc_string
    assert "ZeroDivisionError" in latest.exc_string
    assert job.return_value() is None


def test_an_error_is_raised_after_the_last_value(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.invert, [1, 0, 2])
    seen: list[float] = []
    with pytest.raises(ZeroDivisionError):
        deque(map(seen.append, job))
    assert seen == [1.0, 0.5]


def no_such_index(_item: object) -> None:
    [].pop()


def stop(_item: object) -> None:
    raise StopIteration("no more")


@pytest.mark.parametrize("target", [no_such_index, stop])
def test_no_error_passes_for_the_end_of_the_values(any_queue: Queue, target: Any) -> None:
    """Iteration by position ends at IndexError; an item's own must not be taken for it."""
    job = pushed(any_queue, target, [1])
    raised = ""
    try:
        for _value in job:
            pass
    except Exception as error:  # noqa: BLE001 - which one is taskq's choice
        raised = repr(error) + repr(error.__cause__)
    assert "pop" in raised or "no more" in raised


def test_exit_comes_back_as_an_exception(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.exit_at_3, range(5))
    got = job.get(timeout=HANGS, errors="return")
    assert isinstance(got[3], SystemExit)
    assert got[:3] + got[4:] == [0, 1, 2, 4]


def exit_silently(_item: object) -> None:
    sys.exit(0)


def cancel(_item: object) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("target", [exit_silently, jobs.interrupt, cancel])
@pytest.mark.parametrize("read", [lambda job: job.get(timeout=HANGS), list], ids=["get", "iterate"])
def test_what_would_end_the_caller_is_the_cause_of_an_item_error(any_queue: Queue, target: Any, read: Any) -> None:
    job = pushed(any_queue, target, [1])
    try:
        read(job)
    except BaseException as error:  # noqa: BLE001 - the kind is what is tested
        raised = error
    assert type(raised) is ItemError
    assert isinstance(raised.__cause__, (SystemExit, KeyboardInterrupt, asyncio.CancelledError))


def test_an_error_of_an_item_says_of_which(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.invert, [1, 0, 2])
    note = f"item 1 of the map {job.id} (invert) on {socket.gethostname()}"
    for read in (lambda: job.get(timeout=HANGS), lambda: list(job)):
        with pytest.raises(ZeroDivisionError) as caught:
            read()
        assert caught.value.__notes__ == [note]
    assert job.get(timeout=HANGS, errors="return")[1].__notes__ == [note]


def test_a_result_that_can_not_be_read_says_of_which_map_it_is(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = pushed(any_queue, jobs.absent_at_3, range(4))
    monkeypatch.setattr(jobs.Absent, "absent", True)
    for read in (lambda: job.get(timeout=HANGS), lambda: list(job)):
        with pytest.raises(ItemError, match="item 3") as caught:
            read()
        assert caught.value.__notes__ == [f"of the map {job.id} (absent_at_3)"]


def test_an_interrupt_does_not_stop_the_worker(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.interrupt, [1])
    assert job.errors[0].type == "KeyboardInterrupt"


def test_a_stand_in_for_what_does_not_unpickle(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.stubborn, [1, 2])
    with pytest.raises(ItemError, match=r"item 0 failed with tests\.jobs\.Stubborn: 1 and 1"):
        job.get(timeout=HANGS)


def test_a_function_that_cannot_be_loaded_fails_the_map(any_queue: Queue) -> None:
    job = pushed(any_queue, "no_such_module.f", [1, 2])
    assert job.is_failed
    for errors in ("raise", "return"):
        with pytest.raises(MapFailedError, match=r"0 of 2 items done: FunctionError.*no_such_module\.f"):
            job.get(timeout=HANGS, errors=errors)  # type: ignore[arg-type]
    with pytest.raises(MapFailedError):
        list(job)


def test_a_map_that_lost_its_keys(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, [1, 2])
    any_queue.connection.delete(*job.store.keys.all)
    drain(any_queue)
    assert job.is_failed
    with pytest.raises(ResultsGoneError):
        job.get(timeout=HANGS)


def test_the_job_timeout_ends_the_map(any_queue: Queue) -> None:
    """It is for the whole map: the alarm must not pass for the failure of one item."""
    job = pushed(any_queue, jobs.nap, [0.2] * 12, chunksize=1, job_timeout=1)
    assert job.is_failed
    assert job.progress.done <= 5
    latest = job.latest_result()
    assert latest is not None
    assert "exceeded maximum timeout value" in latest.exc_string


def test_an_error_that_cant_be_encoded(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.raise_it, [ValueError("half \ud800 of a pair")])
    assert job.is_failed
    latest = job.latest_result()
    assert latest
    assert "half ? of a pair" in str(latest.exc_string)
    with pytest.raises(ValueError, match="half \ud800 of a pair"):
        job.get()


def test_what_is_there_already_is_not_waited_for(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """To subscribe and to end it are two round trips for each value."""
    job = pushed(any_queue, jobs.square, range(50))
    subscribed = Mock(side_effect=Events)
    monkeypatch.setattr("taskq.maps.iterated.Events", subscribed)
    assert sorted(job) == [n * n for n in range(50)]
    assert subscribed.call_count == 1, "for the end"


# -- retry, requeue --------------------------------------------------------------------------------


def test_a_retry_runs_only_the_failed_items(any_queue: Queue, hook: Hook) -> None:
    flaky = Flaky(bad={1, 5, 6}, tries=3)
    hook(flaky)
    job = pushed(any_queue, jobs.hooked, range(8), chunksize=3, retry=Retry(max=2))
    assert job.get(timeout=HANGS) == [n * 10 for n in range(8)]
    assert flaky.tried == [*range(8), 1, 5, 6, 1, 5, 6]
    assert job.successful()
    assert job.errors == {}
    assert (job.progress.done, job.progress.failed) == (8, 0)


def test_retries_end(any_queue: Queue, hook: Hook) -> None:
    flaky = Flaky(bad={1}, tries=9)
    hook(flaky)
    job = pushed(any_queue, jobs.hooked, range(3), retry=Retry(max=2))
    assert flaky.tried == [0, 1, 2, 1, 1]
    assert job.is_failed
    with pytest.raises(ValueError, match="not yet: 1"):
        job.get(timeout=HANGS)


def test_a_map_that_waits_for_its_retry_has_not_ended(any_queue: Queue, hook: Hook) -> None:
    hook(Flaky(bad={1}, tries=9))
    job = pushed(any_queue, jobs.hooked, range(3), retry=Retry(max=2, interval=3600))
    assert job.get_status() == JobStatus.SCHEDULED
    assert not job.ready()
    assert not job.wait(timeout=BRIEF)


@pytest.mark.parametrize("failure_ttl", [0, 60])
def test_the_keys_last_until_the_retry(any_queue: Queue, hook: Hook, failure_ttl: int) -> None:
    """``failure_ttl`` counts from the end, and a map that is to be retried has not ended."""
    hook(Flaky(bad={1}, tries=2))
    job = pushed(any_queue, jobs.hooked, range(3), retry=Retry(max=1, interval=3600), failure_ttl=failure_ttl)
    assert job.store.exists()
    assert {key: ttl for key, ttl in map_keys(any_queue).items() if 0 <= ttl <= 3600} == {}


@pytest.mark.parametrize("failure_ttl", [0, 60])
def test_a_retry_despite_a_short_failure_ttl(any_queue: Queue, hook: Hook, failure_ttl: int) -> None:
    hook(Flaky(bad={1}, tries=2))
    job = pushed(any_queue, jobs.hooked, range(3), retry=Retry(max=1), failure_ttl=failure_ttl)
    assert job.get(timeout=HANGS) == [0, 10, 20]


def test_requeue_runs_only_the_failed_items(any_queue: Queue, hook: Hook) -> None:
    flaky = Flaky(bad={1, 5}, tries=2)
    hook(flaky)
    job = pushed(any_queue, jobs.hooked, range(8), chunksize=3)
    assert job.is_failed
    job.requeue()
    assert not job.ready()
    drain(any_queue)
    assert flaky.tried == [*range(8), 1, 5]
    assert job.get(timeout=HANGS) == [n * 10 for n in range(8)]
    assert job.successful()


def test_requeue_by_rqs_registry(any_queue: Queue, hook: Hook) -> None:
    flaky = Flaky(bad={1}, tries=2)
    hook(flaky)
    job = pushed(any_queue, jobs.hooked, range(3))
    rq.Queue(connection=any_queue.connection).failed_job_registry.requeue(job.id)
    drain(any_queue)
    assert job.get(timeout=HANGS) == [0, 10, 20]


def test_requeue_of_a_cancelled_map(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(5))
    job.cancel()
    any_queue.enqueue_job(job)
    drain(any_queue)
    assert job.get(timeout=HANGS) == [0, 1, 4, 9, 16]


def test_a_finished_map_that_is_run_again_changes_nothing(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.square, range(5))
    any_queue.enqueue_job(job)
    drain(any_queue)
    assert job.get(timeout=HANGS) == [0, 1, 4, 9, 16]
    assert len(job.result_list) == 5


# -- time to live ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [100, -1])
def test_results_are_kept_for_result_ttl(any_queue: Queue, ttl: int) -> None:
    job = pushed(any_queue, jobs.square, range(5), result_ttl=ttl)
    ttls = {*map_keys(any_queue).values(), any_queue.connection.ttl(job.key)}
    assert ttls <= ({-1} if ttl < 0 else {ttl, ttl - 1})


@pytest.mark.parametrize("ttl", [100, -1])
def test_results_of_a_failed_map_are_kept_for_failure_ttl(any_queue: Queue, ttl: int) -> None:
    pushed(any_queue, jobs.invert, [1, 0], failure_ttl=ttl)
    assert set(map_keys(any_queue).values()) <= ({-1} if ttl < 0 else {ttl, ttl - 1})


def test_no_results_are_kept_with_result_ttl_0(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.square, range(5), result_ttl=0)
    assert map_keys(any_queue) == {}
    assert job.ready()
    assert job.wait(timeout=0)
    for look in (partial(job.get, 5), job.successful, partial(list, job)):
        with pytest.raises(ResultsGoneError):
            look()


# -- cancel, delete --------------------------------------------------------------------------------


def test_cancel_before_the_start(any_queue: Queue, hook: Hook) -> None:
    tried: list[int] = []
    hook(tried.append)
    job = any_queue.map(jobs.hooked, range(5))
    job.cancel()
    drain(any_queue)
    assert tried == []
    assert job.is_canceled
    assert job.ready()
    assert not job.successful()
    with pytest.raises(MapCanceledError, match="was cancelled with 0 of 5 items done"):
        job.get(timeout=HANGS)
    with pytest.raises(MapCanceledError):
        list(job)
    assert any_queue.canceled_job_registry.get_job_ids() == [job.id]
    assert all(0 < ttl <= 24 * 3600 for ttl in map_keys(any_queue).values())


def test_cancel_twice(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(5))
    job.cancel()
    with pytest.raises(InvalidJobOperation):
        job.cancel()


@pytest.mark.parametrize("waiting", [0, 2])
def test_cancel_lets_go_what_depends_on_it_if_it_is_told_to(any_queue: Queue, waiting: int) -> None:
    job = any_queue.map(jobs.square, range(5))
    after = Dependency([job], allow_failure=True)
    others = [any_queue.enqueue(jobs.square, number, depends_on=after).id for number in range(waiting)]
    moved = job.cancel(enqueue_dependents=True)
    assert job.is_canceled
    assert sorted(moved.get(any_queue.name, [])) == sorted(others)
    assert sorted(any_queue.job_ids) == sorted(others)
    assert not any(isinstance(any_queue.fetch_job(one), MapJob) for one in others)
    drain(any_queue)
    assert [any_queue.fetch_job(one).return_value() for one in others] == [0, 1][:waiting]


def test_cancel_again_what_was_half_cancelled(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    job = any_queue.map(jobs.square, range(5))
    with monkeypatch.context() as broken:
        broken.setattr(MapStore, "close", Mock(side_effect=redis.ConnectionError))
        with pytest.raises(redis.ConnectionError):
            job.cancel()
    assert any_queue.connection.ttl(job.store.keys.hash) == -1
    with pytest.raises(InvalidJobOperation):
        job.cancel()
    assert job.store.info().reason == CANCELED
    assert all(0 < ttl <= 24 * 3600 for ttl in map_keys(any_queue).values())


@pytest.mark.parametrize("act", [MapJob.cancel, MapJob.delete])
def test_an_execution_whose_record_has_expired_keeps_nobody_from_it(
    any_queue: Queue, act: Callable[[MapJob], object]
) -> None:
    """As after an outage that was longer than RQ keeps the record, and not than it keeps the list."""
    job = any_queue.map(jobs.square, range(5))
    job.set_status(JobStatus.STARTED)
    any_queue.remove(job)
    with any_queue.connection.pipeline() as pipe:
        execution = Execution.create(job, ttl=100, pipeline=pipe, worker_name="ann")
        pipe.delete(execution.key)
        pipe.execute()
    act(job)
    assert job.started_job_registry.get_job_ids(cleanup=False) == []
    assert job.ready()


def test_a_map_is_deleted_at_once_or_not_at_all(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    job = any_queue.map(jobs.square, range(5))
    with monkeypatch.context() as dying:
        dying.setattr(Executions, "delete", Mock(side_effect=redis.ConnectionError))
        with pytest.raises(redis.ConnectionError):
            job.delete()
    assert any_queue.job_ids == [job.id], "it still waits for a worker"
    job.delete()
    assert any_queue.job_ids == []
    assert any_queue.connection.keys("*" + job.id + "*") == []


@pytest.mark.parametrize("options", [{}, {"retry": Retry(max=2)}], ids=["plain", "retry"])
def test_cancel_midway(any_queue: Queue, hook: Hook, options: dict[str, Any]) -> None:
    tried = []

    def cancel_at_3(n: int) -> int:
        tried.append(n)
        if n == 3 and tried.count(3) == 1:
            any_queue.fetch_job(job.id).cancel()
        return n

    hook(cancel_at_3)
    job = any_queue.map(jobs.hooked, range(9), chunksize=1, **options)
    drain(any_queue)
    assert tried == [0, 1, 2, 3]
    assert list(job.result_list) == [0, 1, 2]
    with pytest.raises(MapCanceledError, match="with 3 of 9 items done"):
        job.get(timeout=HANGS)


def test_delete(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.square, range(5))
    job.delete()
    assert map_keys(any_queue) == {}
    assert not any_queue.connection.exists(job.key)
    assert repr(job) == f"<MapJob {job.id} (its keys are gone)>"
    for look in (partial(job.get, 5), job.successful, partial(list, job), lambda: job.progress):
        with pytest.raises(ResultsGoneError):
            look()
    assert any_queue.fetch_job(job.id) is None


def test_delete_midway(any_queue: Queue, hook: Hook) -> None:
    tried = []

    def delete_at_3(n: int) -> int:
        tried.append(n)
        if n == 3:
            any_queue.fetch_job(job.id).delete()
        return n

    hook(delete_at_3)
    job = any_queue.map(jobs.hooked, range(9), chunksize=1)
    drain(any_queue)
    assert tried == [0, 1, 2, 3]
    assert map_keys(any_queue) == {}


# -- fetched elsewhere -----------------------------------------------------------------------------


def test_fetch_in_another_queue_object(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(5))
    other = Queue(connection=any_queue.connection).fetch_job(job.id)
    assert type(other) is MapJob
    assert other == job
    drain(any_queue)
    assert other.get(timeout=HANGS) == [0, 1, 4, 9, 16]


def test_fetch_by_class(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.square, range(5), meta={"a": 1})
    other = MapJob.fetch(job.id, connection=any_queue.connection, serializer=any_queue.serializer)
    assert other.meta == {"a": 1}
    assert other.get(timeout=HANGS) == [0, 1, 4, 9, 16]


def test_fetch_from_another_queue(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(5))
    assert Queue("other", connection=any_queue.connection).fetch_job(job.id) is None


def test_fetch_what_is_not_there(any_queue: Queue) -> None:
    assert any_queue.fetch_job("nothing") is None


def test_saving_keeps_it_a_map(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(5))
    job.meta["seen"] = True
    job.save_meta()
    job.save()
    other = any_queue.fetch_job(job.id)
    assert type(other) is MapJob
    assert other.meta == {"seen": True}


def test_saving_by_a_stock_rq_tool_keeps_it_a_map(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(5))
    stock = Job.fetch(job.id, connection=any_queue.connection)
    stock.save()
    assert type(any_queue.fetch_job(job.id)) is MapJob


def test_a_repr_never_raises(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    job = any_queue.map(jobs.square, range(5))
    monkeypatch.setattr(type(job), "store", property(lambda _job: 1 / 0))
    assert "ZeroDivisionError" in repr(job)


# -- RQ's part -------------------------------------------------------------------------------------


def test_a_stock_worker_with_rqs_own_serializer_runs_a_map(any_queue: Queue) -> None:
    job = any_queue.map(lambda n: n + 1, range(5))
    worker = rq.SimpleWorker([any_queue.name], connection=any_queue.connection)
    worker.work(burst=True, logging_level="ERROR")
    assert job.get(timeout=HANGS) == [1, 2, 3, 4, 5]
    assert any_queue.finished_job_registry.get_job_ids() == [job.id]
    assert any_queue.started_job_registry.get_job_ids() == []


def test_the_current_job_is_the_map(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.current_job, range(2))
    assert job.get(timeout=HANGS) == [(job.id, "map current_job over 2 items")] * 2


def trace(queue: Queue, job: Job) -> str | None:
    data = queue.connection.get(f"test:callback:{job.id}")
    return data.decode() if data else None


def test_on_success(any_queue: Queue) -> None:
    job = pushed(
        any_queue, jobs.square, range(5), on_success=Callback(jobs.remember), on_failure=Callback("no.such")
    )
    assert trace(any_queue, job) == repr(job.return_value())


def test_on_failure(any_queue: Queue) -> None:
    job = pushed(any_queue, jobs.invert, [0], on_success=Callback("no.such"), on_failure=Callback(jobs.remember))
    assert trace(any_queue, job) == "<class 'taskq.errors.MapFailedError'>"


def test_a_job_that_depends_on_a_map(any_queue: Queue) -> None:
    first = any_queue.map(jobs.square, range(5))
    second = any_queue.enqueue(jobs.square, 3, depends_on=first)
    assert second.get_status() == JobStatus.DEFERRED
    drain(any_queue)
    assert second.return_value() == 9


@pytest.mark.parametrize("wrap", [lambda job: job, lambda job: job.id, lambda job: [job], Dependency])
def test_a_map_that_depends_on_a_map(any_queue: Queue, wrap: Callable[[Job], Any]) -> None:
    first = any_queue.map(jobs.square, range(5))
    second = any_queue.map(jobs.square, [3], depends_on=wrap(first))
    assert any_queue.job_ids == [first.id]
    drain(any_queue)
    assert second.get(timeout=HANGS) == [9]


def test_a_stock_queues_job_that_depends_on_a_map(any_queue: Queue) -> None:
    first = any_queue.map(jobs.square, range(5))
    second = rq.Queue(connection=any_queue.connection).enqueue(jobs.square, 3, depends_on=first)
    assert second._dependency_ids == [first.id]
    drain(any_queue)
    assert second.return_value() == 9


def test_enqueue_at_and_many_after_a_map(any_queue: Queue) -> None:
    first = any_queue.map(jobs.square, range(5))
    data = Queue.prepare_data(jobs.square, (3,), depends_on=first)
    (second,) = any_queue.enqueue_many([data])
    drain(any_queue)
    assert second.return_value() == 9


def test_nothing_depends_on_a_failed_map(any_queue: Queue) -> None:
    first = any_queue.map(jobs.invert, [0])
    strict = any_queue.enqueue(jobs.square, 3, depends_on=first)
    lenient = any_queue.enqueue(jobs.square, 4, depends_on=Dependency([first], allow_failure=True))
    drain(any_queue)
    assert strict.get_status() == JobStatus.DEFERRED
    assert lenient.return_value() == 16


def test_an_empty_map_as_a_dependency(any_queue: Queue) -> None:
    second = any_queue.enqueue(jobs.square, 3, depends_on=any_queue.map(jobs.square, []))
    drain(any_queue)
    assert second.return_value() == 9
