"""Fronts that end: while items are read, in a fork, by what a callback raises. Their worker is played by hand."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

import pytest

from taskq import BrokenFrontError, Executor, MapCanceledError, Pool, Queue, UnsendableError
from tests import jobs
from tests.contract.by_hand import claim, commit
from tests.waiting import BRIEF, HANGS, wait_until


@contextmanager
def works(pool: Pool) -> Iterator[None]:
    """Whatever is put on the pool's map ends at once; results are the indexes."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(BRIEF):
            for one in claim(pool.job.store, 100):
                commit(pool.job.store, one)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(HANGS)
        pool.terminate()


def within(call: Callable[[], Any]) -> Any:
    """What it returns; fails if it hangs."""
    told: list[Any] = []
    thread = threading.Thread(target=lambda: told.append(call()), daemon=True)
    thread.start()
    thread.join(HANGS)
    assert told, "it hangs"
    return told[0]


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("chunksize", [1, 2])
def test_an_item_of_imap_that_cannot_be_sent(fake_queue: Queue, in_order: bool, chunksize: int) -> None:
    pool = Pool(queue=fake_queue)
    imap = pool.imap if in_order else pool.imap_unordered
    with works(pool):
        values = imap(jobs.square, [5, threading.Lock(), 5], chunksize)
        told = sorted((within(lambda: outcome_of(values)) for _ in range(4)), key=repr)
    assert told == ["StopIteration", "UnsendableError", 0, 1]


def outcome_of(values: Any) -> Any:
    try:
        return next(values)
    except (StopIteration, UnsendableError, MapCanceledError, BrokenFrontError) as error:
        return type(error).__name__


@pytest.mark.parametrize("joined", [True, False])
def test_what_imap_has_not_read_is_run_all_the_same_when_the_pool_is_closed(
    fake_queue: Queue, joined: bool
) -> None:
    pool = Pool(queue=fake_queue)
    go = threading.Event()

    def items() -> Iterator[int]:
        yield from range(3)
        go.wait(HANGS)
        yield from range(30)

    with works(pool):
        values = pool.imap(jobs.square, items(), buffersize=2)
        assert next(values) == 0
        pool.close()
        go.set()
        if joined:
            within(lambda: pool.join() or True)
        assert within(lambda: list(values)) == list(range(1, 33))
        within(lambda: pool.join() or True)


@pytest.mark.parametrize("how", ["terminate", "break"])
def test_who_takes_from_imap_is_told_of_the_end(fake_queue: Queue, how: str) -> None:
    pool = Pool(queue=fake_queue)
    values = pool.imap(jobs.square, iter(int, 1), buffersize=3)  # endless
    wait_until(lambda: pool.job.accepted == 3)
    if how == "terminate":
        pool.terminate()
    else:
        pool._session._break(ValueError("mine"))
    error = {"terminate": "MapCanceledError", "break": "BrokenFrontError"}[how]
    told = [within(lambda: outcome_of(values)) for _ in range(5)]
    assert told[:3] == [error] * 3
    assert "StopIteration" in told[3:], "nothing more is read"
    pool.terminate()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, ValueError])
def test_a_callback_that_raises_whatever(fake_queue: Queue, error: type[BaseException]) -> None:
    def raises(_value: Any) -> None:
        raise error

    pool = Pool(queue=fake_queue)
    with works(pool):
        first = pool.apply_async(jobs.square, (1,), callback=raises)
        second = pool.apply_async(jobs.square, (2,), callback=lambda _value: None)
        assert (first.get(HANGS), second.get(HANGS)) == (0, 1)


def test_a_call_that_a_worker_has_given_back_can_be_dropped(fake_queue: Queue) -> None:
    executor = Executor(queue=fake_queue)
    future, other = executor.submit(jobs.square, 1), executor.submit(jobs.square, 2)
    wait_until(lambda: executor.job.store.info().items == 2)
    held = claim(executor.job.store, 2)
    assert future.running()
    assert other.running()
    executor.job.store.release([(one, 0) for one in held])
    assert not future.cancel(), "it was seen to run, and so it stays"
    assert executor.job.store.info().failed == 0
    executor.shutdown(wait=False, cancel_futures=True)
    for one in (future, other):
        assert isinstance(one.exception(HANGS), CancelledError)
    executor._session.terminate(AssertionError("the test has ended"))


def test_a_pool_that_was_cancelled_is_no_shorter_one(fake_queue: Queue) -> None:
    pool = Pool(queue=fake_queue, name="nightly")
    pool.map_async(jobs.square, range(3), chunksize=1)
    wait_until(lambda: pool.job.store.info().items == 3)
    [first] = claim(pool.job.store, 1)
    commit(pool.job.store, first)
    fake_queue.fetch_job("nightly").cancel()
    values = iter(Pool.attach("nightly", queue=fake_queue))
    assert next(values) == 0
    with pytest.raises(MapCanceledError):
        next(values)
    pool.terminate()


def in_a_fork(act: Callable[[], object]) -> None:
    """Fail if this raises in a fork of this process, or hangs there."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    assert within(lambda: os.waitpid(pid, 0))[1] == 0


def test_a_fork_ends_nothing_of_it(fake_queue: Queue) -> None:
    pool, executor = Pool(queue=fake_queue, name="nightly"), Executor(queue=fake_queue)
    result, future = pool.apply_async(jobs.square, (1,)), executor.submit(jobs.square, 1)
    wait_until(lambda: pool.job.accepted == executor.job.accepted == 1)

    def leave() -> None:
        pool.terminate()
        pool.close()
        pool.join()
        executor.shutdown(cancel_futures=True)

    with (
        pool._session.outbox._change,
        executor._session.outbox._change,
    ):  # as another thread has it, at a bad moment
        in_a_fork(leave)
    for one in (pool, executor):
        assert one.job.store.info().state == "open"
        for held in claim(one.job.store, 1):
            commit(one.job.store, held)
    assert (result.get(HANGS), future.result(HANGS)) == (0, 0)
    pool.terminate()
    executor.shutdown()
