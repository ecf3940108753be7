"""Locks and values in Redis, by name and from a ``taskq.Manager``: the API of ``multiprocessing.Manager``."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from typing import Any

import pytest

from taskq import Lock, LockLostError, Manager, OptionError, PickleError, Queue, ServerError, Value, lock
from taskq.redis import connection
from tests.waiting import BRIEF, wait_until


def test_a_value(any_queue: Queue) -> None:
    hits = any_queue.value("hits", 5)
    assert hits.value == 5
    assert hits.add(2) == 7
    hits.value += 1
    assert (hits.get(), any_queue.value("hits").get()) == (8, 8)
    assert hits.update(lambda value: [value]) == [8]
    with pytest.raises(PickleError):
        hits.set(threading.Lock())
    with pytest.raises(ZeroDivisionError):
        hits.update(lambda _value: 1 / 0)
    assert hits.value == [8]
    hits.clear()
    assert hits.value == 5
    assert not any_queue.connection.keys("taskq:value:*")


def test_nobody_comes_between_in_an_update(any_queue: Queue) -> None:
    hits, other = any_queue.value("hits"), any_queue.value("hits")
    asked = []

    def change(value: int) -> int:
        asked.append(value)
        if len(asked) == 1:
            other.set(10)
        return value + 1

    assert hits.update(change) == 11
    assert asked == [0, 10]


def test_a_lock(any_queue: Queue) -> None:
    mine, theirs = any_queue.lock("ledger"), any_queue.lock("ledger")
    assert not mine.locked()
    with mine:
        assert theirs.locked()
        assert not theirs.acquire(blocking=False)
        assert not theirs.acquire(timeout=BRIEF)
        with pytest.raises(LockLostError, match="is not held here"):
            theirs.release()
        assert 0 < any_queue.connection.pttl(mine.key) <= 1000 * lock.LEASE
    assert theirs.acquire(True, -1)  # as threading's
    assert not mine.acquire(False, -1)
    assert theirs.release() is None
    assert not [one for one in threading.enumerate() if "taskq holds" in one.name and not one.daemon]


def test_who_holds_a_lock_renews_its_lease(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_RENEWALS", lock.LEASE / BRIEF)
    with any_queue.lock("ledger") as held:
        any_queue.connection.pexpire(held.key, 20_000)
        wait_until(lambda: any_queue.connection.pttl(held.key) > 20_000)


def test_a_lock_that_was_lost_says_so(any_queue: Queue) -> None:
    held = any_queue.lock("ledger")
    held.acquire()
    any_queue.connection.delete(held.key)
    with pytest.raises(LockLostError, match="was lost"):
        held.release()


@pytest.mark.parametrize("bad", [{"timeout": -2}, {"blocking": False, "timeout": 1}])
def test_bad_waits(fake_queue: Queue, bad: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="a timeout is seconds"):
        fake_queue.lock("ledger").acquire(**bad)


@pytest.mark.parametrize("name", ["", "a b", "a{b}", 5])
def test_bad_names(fake_queue: Queue, name: Any) -> None:
    for make in (fake_queue.lock, fake_queue.value, fake_queue.result_list):
        with pytest.raises(OptionError, match="name may hold"):
            make(name)


def test_they_travel(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "shared", lambda: real_queue.connection)
    held, hits = pickle.loads(pickle.dumps((real_queue.lock("ledger"), real_queue.value("hits", 3))))
    assert isinstance(held, Lock)
    assert isinstance(hits, Value)
    assert hits.add(1) == real_queue.value("hits").value == 4
    with held:
        assert real_queue.lock("ledger").locked()


def append(results: Any, count: Any, lock: Any) -> None:
    with lock:
        results.append(count.value)
        count.value += 1


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_manager_of_a_private_server(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKQ_URL", raising=False)
    context = multiprocessing.get_context(method)
    with Manager() as manager:
        shared = manager.list("a"), manager.Value("i", 5), manager.Lock()
        workers = [context.Process(target=append, args=shared) for _ in range(2)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
        assert f"{shared[0]}" == "['a', 5, 6]"
    with pytest.raises(ServerError):
        len(shared[0])


def test_a_manager_on_a_server_leaves_nothing(real_queue: Queue) -> None:
    manager = Manager(queue=real_queue)
    manager.list([1, 2])
    manager.Value("i", 1).set(2)
    assert len(real_queue.connection.keys("taskq:*:{*}")) == 2
    manager.shutdown()
    assert not real_queue.connection.keys("taskq:list:*")
    assert not real_queue.connection.keys("taskq:value:*")
    with pytest.raises(OptionError, match="either a queue"):
        Manager(queue=real_queue, url="redis://localhost")
