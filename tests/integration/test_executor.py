"""``taskq.Executor`` as ``concurrent.futures`` says an executor is; all of it is one map."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path
from typing import Any

import pytest

from taskq import (
    BrokenFrontError,
    DuplicateJobError,
    Executor,
    MapCanceledError,
    OptionError,
    Pool,
    Queue,
    TooLargeError,
    UnsendableError,
)
from taskq.fronts import place
from tests import jobs
from tests.integration.fronts import left, working_queue
from tests.waiting import HANGS, wait_until


@pytest.fixture(scope="module")
def queue(server_url: str) -> Iterator[Queue]:
    with working_queue(server_url, "executor") as queue:
        yield queue


@pytest.fixture
def executor(queue: Queue) -> Iterator[Executor]:
    with Executor(queue=queue) as executor:
        yield executor


def blocked(executor: Executor, flag: Path, count: int) -> list[Any]:
    """Calls that last until there is a flag."""
    return [executor.submit(jobs.wait_for, str(flag)) for _ in range(count)]


def test_results_errors_and_names(executor: Executor) -> None:
    assert executor.submit(jobs.add, 1, b=2).result(HANGS) == 3
    assert executor.submit(lambda x: x + 1, 5).result(HANGS) == 6
    failed = executor.submit(jobs.invert, 0)
    with pytest.raises(ZeroDivisionError) as caught:
        failed.result(HANGS)
    text = str(caught.value.__cause__)
    assert "return 1 / n" in text
    assert "fronts/call.py" not in text
    assert "of the Executor" in caught.value.__notes__[0]


def test_it_is_one_map(queue: Queue) -> None:
    before = {one.name for one in threading.enumerate()}
    with Executor(queue=queue) as executor:
        assert list(executor.map(jobs.add, range(300), range(300))) == [2 * n for n in range(300)]
        [job] = queue.connection.keys("rq:job:*")
        assert executor.job.id in job.decode()
        assert executor.job.progress.done == 300
        threads = {one.name for one in threading.enumerate()} - before
        assert threads == {
            f"taskq feeds {executor.job.id}", "taskq Executor reads", "taskq Executor sends",
        }  # fmt: skip
    wait_until(lambda: not left(queue))


def test_what_concurrent_futures_does_with_them(executor: Executor) -> None:
    futures = [executor.submit(jobs.square, n) for n in range(20)]
    assert {one.result() for one in concurrent.futures.as_completed(futures, HANGS)} == {n * n for n in range(20)}
    done, pending = concurrent.futures.wait([executor.submit(jobs.invert, 0), *futures], HANGS)
    assert (len(done), len(pending)) == (21, 0)
    called: list[int] = []
    last = executor.submit(jobs.square, 3)
    last.add_done_callback(lambda future: called.append(future.result()))
    wait_until(lambda: called == [9])


def test_asyncio_waits_for_them(executor: Executor) -> None:
    async def main() -> tuple[int, list[int]]:
        loop = asyncio.get_running_loop()
        one = await loop.run_in_executor(executor, jobs.square, 4)
        futures = [asyncio.wrap_future(executor.submit(jobs.square, n)) for n in range(3)]
        return one, list(await asyncio.gather(*futures))

    assert asyncio.run(main()) == (16, [0, 1, 4])


def test_states_and_cancel(executor: Executor, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    first = blocked(executor, flag, 2)
    wait_until(lambda: all(one.running() for one in first))
    waits = executor.submit(jobs.square, 2)
    assert (waits.running(), waits.done()) == (False, False)
    assert waits.cancel()
    assert waits.cancelled()
    assert waits.cancel()
    with pytest.raises(CancelledError):
        waits.result(HANGS)
    assert not first[0].cancel()
    flag.touch()
    assert [one.result(HANGS) for one in first] == [str(flag)] * 2
    assert not first[0].cancel()
    assert executor.submit(jobs.square, 3).result(HANGS) == 9


def test_what_is_on_its_way_is_cancelled_when_it_has_arrived(
    executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "flag"
    blocked(executor, flag, 2)
    feed, arrives, on_its_way = executor.job.feed, threading.Event(), threading.Event()
    put = feed.put

    def put_late(*args: Any, **options: Any) -> range:
        on_its_way.set()
        assert arrives.wait(HANGS)
        return put(*args, **options)

    monkeypatch.setattr(feed, "put", put_late)
    late = executor.submit(jobs.square, 2)
    assert on_its_way.wait(HANGS)
    threading.Timer(0.05, arrives.set).start()
    try:
        assert late.cancel()
        with pytest.raises(CancelledError):
            late.result(HANGS)
    finally:
        flag.touch()
    assert executor.job.progress.total == 3


def test_who_hears_twice_that_it_is_cancelled_says_nothing(
    executor: Executor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By who has cancelled it, and by the reader, which hears of it from the server."""
    flag = tmp_path / "flag"
    blocked(executor, flag, 2)
    waits = executor.submit(jobs.square, 2)
    try:
        assert waits.cancel()
        assert waits.drop()
        assert not waits.running()
        assert not caplog.records
    finally:
        flag.touch()


def test_shutdown_cancels_what_nobody_has_begun(queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    began = [tmp_path / "first", tmp_path / "second"]
    executor = Executor(queue=queue)
    first = [executor.submit(jobs.begin_and_wait, str(one), str(flag)) for one in began]
    wait_until(lambda: all(one.exists() for one in began))  # one that only is at a worker is given back
    rest = blocked(executor, flag, 50)
    executor.shutdown(wait=False, cancel_futures=True)
    concurrent.futures.wait(rest, HANGS)
    assert all(one.cancelled() for one in rest)
    flag.touch()
    executor.shutdown()
    assert [one.result() for one in first] == [str(flag)] * 2
    assert not left(queue)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(jobs.square, 1)


def test_shutdown_without_waiting_runs_all(queue: Queue) -> None:
    executor = Executor(queue=queue)
    futures = [executor.submit(jobs.square, n) for n in range(20)]
    executor.shutdown(wait=False)
    assert [one.result(HANGS) for one in futures] == [n * n for n in range(20)]
    wait_until(lambda: not left(queue))


def test_one_that_nobody_holds_ends_when_its_calls_have(queue: Queue) -> None:
    executor = Executor(queue=queue)
    future = executor.submit(jobs.square, 7)
    del executor
    gc.collect()
    assert future.result(HANGS) == 49
    wait_until(lambda: not left(queue))


def test_a_killed_process_breaks_nothing(executor: Executor, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    [future] = blocked(executor, flag, 1)
    wait_until(future.running)
    os.kill(executor.submit(os.getpid).result(HANGS), signal.SIGKILL)
    assert executor.submit(jobs.square, 5).result(HANGS) == 25
    flag.touch()
    assert future.result(HANGS) == str(flag)


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (threading.Lock, r"argument 0 \(_thread.lock\) of square"),
        (lambda: [1, {"a": sys._getframe()}], r"argument 0\[1\]\['a'\] \(builtins.frame\)"),
        (lambda: (n for n in "x"), r"argument 0 \(builtins.generator\)"),
    ],
)
def test_what_cannot_travel_is_named(executor: Executor, make: Any, where: str) -> None:
    future = executor.submit(jobs.square, make())
    with pytest.raises(UnsendableError, match=where):
        future.result(0)
    assert executor.job.accepted == 0


def test_an_open_file_cannot_travel(executor: Executor) -> None:
    with Path(__file__).open(encoding="utf-8") as file:
        for value, where in [(file, "argument 'n' "), (jobs.Holder(file), "argument 'n'.held ")]:
            future = executor.submit(jobs.square, n=value)
            with pytest.raises(UnsendableError, match=where):
                future.result(0)


def test_too_large(queue: Queue) -> None:
    small = Queue(queue.name, connection=queue.connection, payload_limit=1000)
    with Executor(queue=small) as executor:
        futures = [executor.submit(len, b"x" * size) for size in (10, 2000, 20)]
        with pytest.raises(TooLargeError, match="over the limit of 1,000"):
            futures[1].result(0)
        assert [futures[0].result(HANGS), futures[2].result(HANGS)] == [10, 20]


def test_a_name(queue: Queue) -> None:
    with Executor(queue=queue, name="scan") as executor:
        futures = [executor.submit(jobs.square, n) for n in range(5)]
        with pytest.raises(DuplicateJobError, match="scan"):
            Executor(queue=queue, name="scan")
    assert [one.result(0) for one in futures] == [0, 1, 4, 9, 16]
    job = queue.fetch_job("scan")
    assert (job.get(), job.successful(), job.description) == ([0, 1, 4, 9, 16], True, "Executor scan")
    job.delete()


def test_the_initializer_runs_before_all_else(queue: Queue) -> None:
    with Executor(queue=queue, initializer=jobs.keep, initargs=("told",)) as executor:
        assert set(executor.map(jobs.kept, range(10))) == {"told"}


def test_an_initializer_that_fails(queue: Queue) -> None:
    with Executor(queue=queue, initializer=jobs.invert, initargs=(0,)) as executor:
        future = executor.submit(jobs.square, 1)
        with pytest.raises(BrokenExecutor, match="division by zero"):
            future.result(HANGS)


def test_a_map_that_others_cancel(queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with Executor(queue=queue) as executor:
        futures = blocked(executor, flag, 5)
        queue.fetch_job(executor.job.id).cancel(kill=True)
        for future in futures:
            with pytest.raises(BrokenFrontError, match="was cancelled") as caught:
                future.result(HANGS)
            assert isinstance(caught.value.__cause__, MapCanceledError)
        with pytest.raises(BrokenExecutor):
            executor.submit(jobs.square, 1)


def test_unusable_options(queue: Queue) -> None:
    for options, said in [
        ({"queue": queue, "url": "redis://localhost"}, "not both"),
        ({"queue": "default"}, "must be a taskq.Queue"),
        ({"queue": queue, "max_workers": 0}, "greater than 0"),
        ({"queue": queue, "patience": -1}, "patience"),
        ({"queue": queue, "initializer": 3}, "initializer"),
        ({"queue": queue, "item_timeout": -1}, "item_timeout"),
        ({"queue": queue, "colour": 1}, "unknown option colour"),
    ]:
        with pytest.raises(OptionError, match=said):
            Executor(**options)
    assert not left(queue)


@pytest.mark.parametrize("front", [Executor, Pool])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"colour": 1}, "unknown option colour"),
        ({"item_timeout": -1}, "item_timeout"),
        ({"patience": -1}, "patience"),
        ({"name": "a b"}, "ID must only contain"),
        ({"initializer": 3}, "initializer"),
        ({"payload_limit": 0}, "payload_limit must be"),
        ({"result_ttl": "x"}, "these options"),
    ],
)
def test_unusable_options_are_found_before_anything_is_started(
    front: Any, options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TASKQ_URL", raising=False)
    monkeypatch.setattr(place, "local", lambda *_, **__: pytest.fail("a server was started"))
    with pytest.raises(OptionError, match=said):
        front(**options)


def test_what_process_pool_executor_takes(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    with Executor(2, multiprocessing.get_context("spawn"), jobs.square, (2,), queue=queue) as executor:
        assert executor.submit(jobs.square, 3).result(HANGS) == 9
    for number, said in ((0, "max_tasks_per_child must be greater"), (3, "--max-tasks-per-child")):
        with pytest.raises(OptionError, match=said):
            Executor(queue=queue, max_tasks_per_child=number)
    monkeypatch.delenv("TASKQ_URL", raising=False)
    with Executor(1, max_tasks_per_child=1) as executor:
        assert len({executor.submit(os.getpid).result(HANGS) for _ in range(3)}) == 3


@pytest.mark.parametrize("front", [Executor, Pool])
def test_how_large_arguments_may_be(front: Any, server_url: str) -> None:
    with front(url=server_url, payload_limit=1000) as one:
        assert one._session.place.queue.payload_limit == 1000
        with pytest.raises(TooLargeError, match="over the limit of 1,000"):
            [*one.map(len, [b"x" * 2000])]
    with pytest.raises(OptionError, match="the queue's own"):
        front(queue=Queue(url=server_url), payload_limit=1000)


def test_how_large_arguments_may_be_in_processes_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKQ_URL", raising=False)
    with Executor(1, payload_limit=1000) as executor:
        assert isinstance(executor.submit(len, b"x" * 2000).exception(HANGS), TooLargeError)


def test_calls_that_submit_to_executors_of_their_own(queue: Queue) -> None:
    with Executor(queue=queue) as executor:
        futures = [executor.submit(jobs.sum_of_squares, 10) for _ in range(3)]  # more than there are processes
        assert [one.result(HANGS) for one in futures] == [285] * 3


def test_a_fork_is_told_that_it_is_none_of_its_business(executor: Executor) -> None:
    executor._session.pid += 1
    with pytest.raises(RuntimeError, match="not to a fork"):
        executor.submit(jobs.square, 1)
    executor._session.pid -= 1
    assert executor.submit(jobs.square, 3).result(HANGS) == 9
