"""A session of a front, whose worker is played by hand: outages, rollbacks, failures; results are the indexes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from taskq import BrokenFrontError, Executor, Queue, SignatureError
from taskq.fronts import returns, session
from taskq.fronts.returns import Returns
from taskq.maps.arrivals import Arrival
from taskq.payload import results, signing
from tests import jobs
from tests.contract.by_hand import claim, commit, outcome, put
from tests.waiting import HANGS, wait_until


@contextmanager
def front(**options: Any) -> Iterator[Executor]:
    """An executor that waits for nothing if the test fails."""
    executor = Executor(**options)
    try:
        yield executor
        executor.shutdown()
    finally:
        executor._session.terminate(AssertionError("the test has ended"))


def run_all(executor: Executor, failing: tuple[int, ...] = ()) -> None:
    for one in claim(executor.job.store, 10_000):
        commit(executor.job.store, one, failing)


def submitted(executor: Executor, count: int) -> list[Any]:
    futures = [executor.submit(jobs.square, n) for n in range(count)]
    wait_until(lambda: executor.job.store.info().items == count)
    return futures


def server_of(queue: Queue) -> Any:
    return queue.connection.connection_pool.connection_kwargs["server"]


def test_a_server_that_stays_away(fake_queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    with front(queue=fake_queue, patience=0.05) as executor:
        [future] = submitted(executor, 1)
        server_of(fake_queue).connected = False
        with pytest.raises(BrokenFrontError, match="can do no more: Redis at"):
            future.result(HANGS)
        with pytest.raises(BrokenFrontError):
            executor.submit(jobs.square, 2)
    assert "Waits for it, 0.05 s at most" in capsys.readouterr().err


def test_a_server_that_comes_back(fake_queue: Queue) -> None:
    with front(queue=fake_queue) as executor:
        futures = submitted(executor, 1)
        server_of(fake_queue).connected = False
        futures += [executor.submit(jobs.square, n) for n in range(3)]
        server_of(fake_queue).connected = True
        wait_until(lambda: executor.job.store.info().items == 4)
        run_all(executor)
        assert [one.result(HANGS) for one in futures] == [0, 1, 2, 3]


def test_many_at_once_and_failures_among_them(any_queue: Queue) -> None:
    with front(queue=any_queue) as executor:
        futures = submitted(executor, 100)
        run_all(executor, failing=(0, 17, 99))
        errors = {n: one.exception(HANGS) for n, one in enumerate(futures)}
        assert sorted(n for n, error in errors.items() if error) == [0, 17, 99]
        assert futures[3].result(0) == 3
    assert not any_queue.connection.keys("taskq:{*")


def test_a_server_that_came_back_as_it_was_before(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_LOOK", 0.02)
    with front(queue=any_queue) as executor:
        futures = submitted(executor, 4)
        store, connection = executor.job.store, any_queue.connection
        first, second, third, fourth = claim(store, 4)
        before = {key: connection.dump(key) for key in (store.keys.hash, store.keys.claims)}
        commit(store, first)
        commit(store, second)
        assert (futures[0].result(HANGS), futures[1].result(HANGS)) == (0, 1)
        connection.delete(store.keys.results, store.keys.spans)
        for key, value in before.items():
            connection.restore(key, 0, value, replace=True)
        connection.hset(store.keys.bodies, mapping={str(one.range): one.body for one in (first, second)})
        for one in (fourth, second, third, first):
            assert commit(store, one).committed
        assert [one.result(HANGS) for one in futures] == [0, 1, 2, 3]


@pytest.mark.parametrize("spans", [1, 2, 1000])
def test_what_has_ended_is_read_once(any_queue: Queue, spans: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returns, "_SPANS", spans)
    monkeypatch.setattr(returns, "_GUESS", (2, 4096))
    job = any_queue.open_map(jobs.square)
    reads, told = Returns(job.store), []

    def look() -> list[Arrival]:
        told.extend(new := list(reads.new(lambda: range(job.accepted))))
        return new

    assert look() == []
    for count in (1, 5, 3):
        job.put_many(range(count))
        claims = claim(job.store, 100)
        for one in reversed(claims):
            commit(job.store, one, failing=(4,))
        assert sum(len(one.to_do) for one in claims) == count
        assert len(look()) == count
        assert look() == []
    assert sorted(one.index for one in told) == list(range(9))
    assert [one.index for one in told if one.failure] == [4]
    assert reads.open
    job.cancel()
    assert look() == []
    assert not reads.open


def test_with_a_secret_key_what_is_forged_is_not_read(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.VARIABLE, "k" * 40)
    with front(queue=any_queue) as executor:
        futures = submitted(executor, 3)
        store = executor.job.store
        for one in claim(store, 3):
            what = outcome(store, one)
            sealed = what.values if one.range.start == 1 else results.sealed(store.place, what.values, what.spans)
            assert put(store, one, replace(what, values=sealed)).committed
        with pytest.raises(SignatureError):
            futures[1].result(HANGS)
        assert (futures[0].result(HANGS), futures[2].result(HANGS)) == (0, 2)


@pytest.mark.parametrize(("name", "orphan"), [("scan", "finish"), (None, "cancel")])
def test_what_becomes_of_the_calls_of_a_program_that_dies(
    fake_queue: Queue, name: str | None, orphan: str
) -> None:
    executor = Executor(queue=fake_queue, name=name)
    submitted(executor, 1)
    assert executor.job.store.info().terms.orphan == orphan
    executor._session.terminate(AssertionError("the test has ended"))
