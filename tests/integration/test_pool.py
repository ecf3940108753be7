"""``taskq.Pool`` as ``multiprocessing.Pool`` says a pool is."""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.pool
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskq import (
    BrokenFrontError,
    DuplicateJobError,
    MapCanceledError,
    OptionError,
    Pool,
    Queue,
    ReplacedError,
    UnsendableError,
    WaitTimeoutError,
)
from tests import jobs
from tests.integration.fronts import left, working_queue
from tests.waiting import HANGS, wait_until

MOMENT = 0.01  # seconds after which a wait is to give up


@pytest.fixture(scope="module")
def queue(server_url: str) -> Iterator[Queue]:
    with working_queue(server_url, "pool") as queue:
        yield queue


@pytest.fixture(scope="module")
def pool(queue: Queue) -> Iterator[Pool]:
    with Pool(queue=queue) as pool:
        yield pool
    pool.join()


class OwnError(Exception):
    pass


def raises_after(count: int) -> Iterator[int]:
    yield from range(count)
    raise OwnError


def test_calls(pool: Pool) -> None:
    assert pool.apply(jobs.add, (1,), {"b": 2}) == 3
    assert pool.apply_async(lambda: 7).get(HANGS) == 7
    assert pool.map(jobs.square, iter(range(50))) == [n * n for n in range(50)]
    assert pool.map(jobs.square, range(50), chunksize=7) == [n * n for n in range(50)]
    assert pool.starmap(jobs.add, [(1, 2), (3, 4)]) == [3, 7]
    assert pool.starmap_async(jobs.add, [(1, 2)]).get(HANGS) == [3]
    assert pool.map(jobs.square, []) == []
    assert list(pool.imap(jobs.square, [])) == []


def test_results_that_are_not_there(pool: Pool, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    result = pool.apply_async(jobs.wait_for, (str(flag),))
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(0.01)
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    result.wait(MOMENT)
    values = pool.imap(jobs.wait_for, [str(flag)])
    with pytest.raises(multiprocessing.TimeoutError):
        values.next(timeout=MOMENT)
    flag.touch()
    assert result.get(HANGS) == values.next(HANGS) == str(flag)
    assert (result.ready(), result.successful()) == (True, True)


def test_errors(pool: Pool) -> None:
    result = pool.map_async(jobs.invert, [1, 0, 2])
    with pytest.raises(ZeroDivisionError) as caught:
        result.get(HANGS)
    assert type(caught.value.__cause__) is multiprocessing.pool.RemoteTraceback
    assert "return 1 / n" in str(caught.value.__cause__)
    assert not result.successful()
    with pytest.raises(multiprocessing.pool.MaybeEncodingError):
        pool.apply(threading.Lock)
    with pytest.raises(multiprocessing.pool.MaybeEncodingError, match="LockedError: has a lock") as encoding:
        pool.apply(jobs.raise_with_a_lock)
    assert "raise LockedError" in str(encoding.value.__cause__)
    with pytest.raises(UnsendableError, match="argument 0 "):
        pool.apply(jobs.square, (threading.Lock(),))
    with pytest.raises(TypeError, match=r"argument 0\[1\]"):
        pool.map(jobs.square, [1, [2, threading.Lock()]])

    class Unwilling:
        def __reduce__(self) -> str:
            raise OwnError

    with pytest.raises(OwnError) as own:
        pool.map(jobs.square, [Unwilling()])
    assert "argument 0" in own.value.__notes__[0]


def test_callbacks_come_in_order_in_one_thread_before_the_result(pool: Pool) -> None:
    told: list[Any] = []
    threads: set[str] = set()

    def note(value: Any) -> None:
        told.append(value if not isinstance(value, Exception) else type(value))
        threads.add(threading.current_thread().name)

    pool.map_async(jobs.square, [1, 2], callback=note).wait(HANGS)
    assert told == [[1, 4]]
    pool.apply_async(jobs.invert, (0,), callback=note, error_callback=note).wait(HANGS)
    assert told == [[1, 4], ZeroDivisionError]
    pool.map_async(jobs.square, [], callback=note).wait(HANGS)
    assert told[2] == []
    assert threads == {"taskq Pool callbacks"}


def test_a_callback_may_wait_for_others_and_may_fail(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    told: list[int] = []
    pool.apply_async(jobs.square, (3,), callback=lambda n: told.append(pool.apply(jobs.square, (n,)))).wait(HANGS)
    assert told == [81]
    pool.apply_async(jobs.square, (3,), callback=lambda n: n / 0).wait(HANGS)
    assert "a callback has raised" in caplog.text


@pytest.mark.parametrize("chunksize", [1, 3])
def test_imap(pool: Pool, chunksize: int) -> None:
    values = pool.imap(jobs.square, range(20), chunksize)
    assert [next(values) for _ in range(20)] == [n * n for n in range(20)]
    with pytest.raises(StopIteration):
        next(values)
    assert sorted(pool.imap_unordered(jobs.square, range(20), chunksize)) == [n * n for n in range(20)]


def test_imap_drops_the_unfinished_chunk_when_its_iterable_raises(pool: Pool) -> None:
    for count, chunksize, whole in [(3, 1, 3), (7, 2, 6), (7, 4, 4), (0, 1, 0)]:
        values = pool.imap(jobs.square, raises_after(count), chunksize)
        assert [next(values) for _ in range(whole)] == [n * n for n in range(whole)]
        with pytest.raises(OwnError):
            next(values)
        assert list(values) == []
    with pytest.raises(OwnError):
        pool.map(jobs.square, raises_after(3), 1)


def test_imap_is_bounded_and_goes_on_behind_an_error(pool: Pool) -> None:
    read: list[int] = []

    def endless() -> Iterator[int]:
        for n in itertools.count():
            read.append(n)
            yield n

    values = pool.imap(jobs.invert, endless(), buffersize=10)
    with pytest.raises(ZeroDivisionError):
        next(values)
    assert [next(values) for _ in range(20)] == [1 / n for n in range(1, 21)]
    assert len(read) <= 21 + 10
    for wrong in ({"chunksize": 0}, {"buffersize": 0}):
        with pytest.raises(ValueError, match="must be 1"):
            pool.imap(jobs.square, [1], **wrong)


def test_states(queue: Queue) -> None:
    pool = Pool(queue=queue)
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    with pytest.raises(NotImplementedError):
        pickle.dumps(pool)
    result = pool.map_async(jobs.square, range(10))
    pool.close()
    for call in (
        lambda: pool.apply(jobs.square, (1,)),
        lambda: pool.map(jobs.square, [1]),
        lambda: pool.imap(jobs.square, [1]),
        lambda: pool.starmap(jobs.add, [(1, 2)]),
        pool.__enter__,
    ):
        with pytest.raises(ValueError, match="Pool not running"):
            call()
    pool.join()
    assert result.get(0) == [n * n for n in range(10)]
    assert not left(queue, pool.job.id)


def test_terminate_with_very_many_long_calls(queue: Queue) -> None:
    pool = Pool(queue=queue)
    result = pool.map_async(time.sleep, [300.0] * 10_000, chunksize=1)
    wait_until(lambda: pool.job.store.info().started)
    pool.terminate()
    pool.join()
    with pytest.raises(MapCanceledError, match="was terminated"):
        result.get(0)
    assert not left(queue, pool.job.id)


def test_leaving_the_block_terminates(queue: Queue, tmp_path: Path) -> None:
    with Pool(queue=queue) as pool:
        result = pool.apply_async(jobs.wait_for, (str(tmp_path / "never"),))
    with pytest.raises(MapCanceledError):
        result.get(HANGS)
    pool.join()
    assert not left(queue, pool.job.id)


def test_a_name(queue: Queue) -> None:
    with Pool(queue=queue, name="nightly") as pool:
        results = [pool.apply_async(jobs.square, (n,)) for n in range(3)]
        with pytest.raises(DuplicateJobError):
            Pool(queue=queue, name="nightly")
    assert [one.get(0) for one in results] == [0, 1, 4]
    with Pool.attach("nightly", queue=queue) as attached:
        assert attached.results(HANGS) == list(attached) == [0, 1, 4]
        assert attached.job.successful()
        attached.join()
        attached.terminate()
    with Pool.attach("nightly", queue=queue) as again:  # one by one, too, and by several
        assert list(zip(again, attached, strict=True)) == [(0, 0), (1, 1), (4, 4)]
    attached.job.delete()
    with pytest.raises(OptionError, match="no pool 'nightly'"):
        Pool.attach("nightly", queue=queue)
    with pytest.raises(OptionError, match="a string, not 7"):
        Pool.attach(7, queue=queue)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"must be a taskq.Queue"):
        Pool.attach("nightly", queue=None)  # type: ignore[arg-type]


def test_results_that_are_asked_for_before_the_pool_is_closed(queue: Queue) -> None:
    with Pool(queue=queue, name="open") as pool:
        assert pool.map(jobs.square, range(3)) == [0, 1, 4]
        attached = Pool.attach("open", queue=queue)
        with pytest.raises(WaitTimeoutError, match="close the pool"):
            attached.results(0)
        pool.close()
        assert attached.results(HANGS) == [0, 1, 4]
    with Pool(queue=queue, name="open") as pool:
        pool.apply(jobs.square, (5,))
        with pytest.raises(ReplacedError):
            attached.results(HANGS)
    assert Pool.attach("open", queue=queue).results(HANGS) == [25]
    pool.job.delete()


def test_a_killed_process(pool: Pool) -> None:
    os.kill(pool.apply(os.getpid), signal.SIGKILL)
    assert pool.map(jobs.square, range(10)) == [n * n for n in range(10)]
    pool.apply_async(os.kill, (0, 0)).wait(HANGS)


def test_unusable_options(queue: Queue) -> None:
    for options, said in [
        ({"processes": 0}, "greater than 0"),
        ({"processes": -1}, "greater than 0"),
        ({"maxtasksperchild": "12", "queue": queue}, "greater than 0"),
        ({"maxtasksperchild": 3, "queue": queue}, "--max-tasks-per-child"),
    ]:
        with pytest.raises(ValueError, match=said):
            Pool(**options)


def test_an_initializer_that_fails(queue: Queue) -> None:
    with (
        Pool(queue=queue, initializer=jobs.invert, initargs=(0,)) as pool,
        pytest.raises(BrokenFrontError, match="division by zero"),
    ):
        pool.map(jobs.square, [1])
    pool.join()
