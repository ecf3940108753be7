"""Dictionaries, queues of items, events and changed lists in Redis: the API of ``multiprocessing.Manager``."""

from __future__ import annotations

import multiprocessing
import pickle
import queue as stdlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from taskq import (
    DamagedError,
    Dict,
    Event,
    Fifo,
    Manager,
    OptionError,
    PickleError,
    Queue,
    ResultList,
    SignatureError,
)
from taskq.payload import signing
from taskq.redis import connection, keys
from tests import jobs
from tests.waiting import BRIEF, HANGS, when


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.VARIABLE, "k" * signing.LEAST)


# -- dictionaries ------------------------------------------------------------------------------------------


def test_a_dictionary(any_queue: Queue) -> None:
    sizes = any_queue.dict("sizes")
    assert (len(sizes), "a" in sizes, sizes.get("a"), sizes.get("a", 5)) == (0, False, None, 5)
    sizes["a"] = [1]
    sizes.update({"b": 2}, c=3)
    sizes.update([("d", None)])
    sizes.update()
    any_queue.dict("others").update(sizes)
    assert any_queue.dict("others").copy() == sizes.copy()
    any_queue.dict("others").clear()
    expected = {"a": [1], "b": 2, "c": 3, "d": None}
    assert sizes.copy() == dict(sizes.items()) == dict(sizes) == expected
    assert (sorted(sizes), sorted(sizes.keys()), len(sizes)) == ([*"abcd"], [*"abcd"], 4)
    assert sorted(sizes.values(), key=str) == sorted(expected.values(), key=str)
    assert (sizes["a"], sizes.get("b"), "c" in sizes) == ([1], 2, True)
    del sizes["a"]
    assert (sizes.pop("b"), sizes.pop("b", 7)) == (2, 7)
    assert (sizes.setdefault("c", 9), sizes.setdefault("e", 9), sizes.setdefault("f")) == (3, 9, None)
    left = sizes.copy()
    found = dict(sizes.popitem() for _ in range(len(left)))
    assert found == left
    sizes["a"] = 1
    sizes.clear()
    assert not any_queue.connection.keys("taskq:dict:*")


def test_keys_that_are_not_there(any_queue: Queue) -> None:
    sizes = any_queue.dict("sizes")
    for look in (lambda: sizes["a"], lambda: sizes.pop("a"), sizes.popitem, lambda: sizes.__delitem__("a")):
        with pytest.raises(KeyError):
            look()


def test_equal_keys_are_one_and_others_are_not(any_queue: Queue) -> None:
    sizes, plain = any_queue.dict("sizes"), {}
    odd = [
        1,
        1.0,
        True,
        "1",
        b"1",
        1.5,
        None,
        "None",
        (1, "a"),
        (1.0, "a"),
        ("1", "a"),
        "é",
        float("inf"),
        "inf",
        0.0,
        -0.0,
    ]
    for n, key in enumerate(odd):
        sizes[key] = plain[key] = n
    assert sizes.copy() == plain
    assert all(sizes[key] == plain[key] for key in odd)


@pytest.mark.parametrize("key", [[1], object(), float("nan"), (1, {}), frozenset()])
def test_keys_that_are_none(fake_queue: Queue, key: Any) -> None:
    sizes = fake_queue.dict("sizes")
    for use in (sizes.get, sizes.pop, lambda key: sizes.update([(key, 1)])):
        with pytest.raises(OptionError, match="a key must be"):
            use(key)


def test_what_can_t_be_pickled_changes_nothing(any_queue: Queue) -> None:
    sizes, found, results = any_queue.dict("sizes"), any_queue.queue("found"), any_queue.result_list("sums")
    results.extend([1, 2])
    lock = threading.Lock()
    puts: list[Callable[[], Any]] = [
        lambda: sizes.__setitem__("a", lock),
        lambda: sizes.update(b=1, a=lock),
        lambda: sizes.setdefault("a", lock),
        lambda: found.put(lock),
        lambda: results.insert(0, lock),
        lambda: results.__setitem__(0, lock),
        lambda: results.__setitem__(slice(0, 1), [3, lock]),
    ]
    for put in puts:
        with pytest.raises(PickleError):
            put()
    assert (len(sizes), found.qsize(), [*results]) == (0, 0, [1, 2])


@pytest.mark.usefixtures("signed")
def test_what_is_not_signed_for_its_place_is_not_read(any_queue: Queue) -> None:
    server, sizes, other = any_queue.connection, any_queue.dict("sizes"), any_queue.dict("other")
    sizes.update(a=1, b=2)
    other["a"] = 3
    assert sizes["a"] == 1
    server.hset(sizes.key, "'b'", server.hget(sizes.key, "'a'"))  # a true pair, of another key
    server.hset(sizes.key, "'c'", server.hget(other.key, "'a'"))
    server.hset(sizes.key, "'d'", pickle.dumps(("d", 4)))
    for key in "bcd":
        with pytest.raises(SignatureError):
            sizes[key]
    found = any_queue.queue("found")
    found.put(1)
    server.rpush(found.key, pickle.dumps(2))
    assert found.get() == 1
    with pytest.raises(SignatureError):
        found.get()


def test_garbage_says_so(any_queue: Queue) -> None:
    sizes = any_queue.dict("sizes")
    any_queue.connection.hset(sizes.key, "'a'", pickle.dumps(5))
    with pytest.raises(DamagedError, match="was not written for that key"):
        sizes["a"]
    any_queue.connection.set(any_queue.queue("found").key, 1)
    with pytest.raises(DamagedError):
        any_queue.queue("found").get(block=False)


# -- queues of items ---------------------------------------------------------------------------------------


def test_a_queue_of_items(any_queue: Queue) -> None:
    found = any_queue.queue("found", maxsize=2)
    assert (found.empty(), found.full(), found.qsize(), found.maxsize) == (True, False, 0, 2)
    found.put("a")
    found.put_nowait(["b"])
    assert (found.empty(), found.full(), found.qsize()) == (False, True, 2)
    for put in (lambda: found.put_nowait(3), lambda: found.put(3, False), lambda: found.put(3, timeout=BRIEF)):
        with pytest.raises(stdlib.Full):
            put()
    any_queue.queue("found").put(3)  # says nothing of how many there may be
    assert [found.get(), found.get_nowait(), found.get(timeout=HANGS)] == ["a", ["b"], 3]
    for get in (found.get_nowait, lambda: found.get(False), lambda: found.get(timeout=BRIEF)):
        with pytest.raises(stdlib.Empty):
            get()
    found.put(1)
    found.clear()
    assert not any_queue.connection.keys("taskq:queue:*")


def test_who_waits_goes_on(any_queue: Queue) -> None:
    found = any_queue.queue("found", maxsize=1)
    threading.Thread(target=found.put, args=(1,), daemon=True).start()
    assert found.get() == 1
    found.put(2)
    when(found.full, lambda: any_queue.queue("found").get())
    found.put(3)
    assert found.get() == 3


@pytest.mark.parametrize("bad", [-1, -0.5])
def test_bad_times_and_sizes(fake_queue: Queue, bad: float) -> None:
    found = fake_queue.queue("found")
    for wait in (lambda: found.get(timeout=bad), lambda: found.put(1, timeout=bad)):
        with pytest.raises(OptionError, match="a timeout is"):
            wait()
    with pytest.raises(OptionError, match="maxsize"):
        fake_queue.queue("found", maxsize="2")  # type: ignore[arg-type]


class Deaf:
    """A server whose reply to the first call of a script is lost; redis-py says it again."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._heard = connection, False

    def evalsha(self, *args: Any) -> Any:
        reply = self._connection.evalsha(*args)
        return reply if self._heard else self.again(*args)

    def again(self, *args: Any) -> Any:
        self._heard = True
        return self._connection.evalsha(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize("size", [1, 1 << 17])
def test_a_lost_reply_doubles_and_loses_nothing(any_queue: Queue, size: int) -> None:
    server, found = any_queue.connection, any_queue.queue("found")
    found.put(0)
    found.get()  # the scripts are known
    deaf = Fifo(found.key)
    deaf._connection = Deaf(server)
    deaf.put("a" * size)
    found.put("b")
    assert found.qsize() == 2
    deaf._connection = Deaf(server)
    assert deaf.get() == "a" * size
    assert [found.get(), found.qsize()] == ["b", 0]
    assert all(server.strlen(key) < 1 << 16 for key in server.keys(f"{keys.RECEIPT}*"))


# -- events ------------------------------------------------------------------------------------------------


def test_an_event(any_queue: Queue) -> None:
    ready = any_queue.event("ready")
    assert not ready.is_set()
    assert not ready.wait(0)
    assert not ready.wait(-1)
    assert not ready.wait(BRIEF)
    threading.Thread(target=any_queue.event("ready").set, daemon=True).start()
    assert ready.wait()
    assert (ready.is_set(), ready.wait(HANGS)) == (True, True)
    ready.clear()
    assert not any_queue.connection.keys("taskq:event:*")


# -- lists -------------------------------------------------------------------------------------------------

CHANGES: list[Callable[[Any], Any]] = [
    lambda one: one.pop(),
    lambda one: one.pop(0),
    lambda one: one.pop(2),
    lambda one: one.pop(-2),
    lambda one: one.insert(0, 9),
    lambda one: one.insert(-1, 9),
    lambda one: one.insert(99, 9),
    lambda one: one.remove(1),
    lambda one: one.sort(),
    lambda one: one.sort(key=lambda n: -n),
    lambda one: one.sort(reverse=True),
    lambda one: one.reverse(),
    lambda one: one.__setitem__(0, 8),
    lambda one: one.__setitem__(-1, 8),
    lambda one: one.__setitem__(slice(1, 3), [6, 7, 8]),
    lambda one: one.__setitem__(slice(None), []),
    lambda one: one.__delitem__(1),
    lambda one: one.__delitem__(slice(None, None, 2)),
    lambda one: (one.__iadd__([7]), None)[1],
    lambda one: (one.__imul__(2), None)[1],
    lambda one: (one.__imul__(0), None)[1],
    lambda one: one.__add__([5]),
    lambda one: one * 2,
    lambda one: 2 * one,
    lambda one: one.count(1),
    lambda one: one.index(4),
]
FAULTS: list[Callable[[Any], Any]] = [
    lambda one: one.pop(5),
    lambda one: one.pop(-6),
    lambda one: one.remove(77),
    lambda one: one.__setitem__(5, 1),
    lambda one: one.__delitem__(5),
    lambda one: one.__setitem__(slice(None, None, 2), [1]),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_a_list_is_changed_as_lists_are(any_queue: Queue, number: int) -> None:
    plain, ours = [3, 1, 4, 1, 5], any_queue.result_list("sums")
    ours.extend(plain)
    assert CHANGES[number](ours) == CHANGES[number](plain)
    assert [*ours] == plain


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_what_a_list_refuses(any_queue: Queue, number: int) -> None:
    plain, ours = [3, 1, 4, 1, 5], any_queue.result_list("sums")
    ours.extend(plain)
    with pytest.raises((IndexError, ValueError)) as theirs:
        FAULTS[number](plain)
    with pytest.raises(theirs.type):
        FAULTS[number](ours)
    assert [*ours] == plain
    ours.clear()
    for pop in (ours.pop, lambda: ours.pop(0)):
        with pytest.raises(IndexError):
            pop()


@pytest.mark.usefixtures("signed")
def test_a_list_stays_signed(any_queue: Queue) -> None:
    ours = any_queue.result_list("sums")
    ours += [3, 1, 2]
    ours[0] = 5
    ours.insert(1, 4)
    ours.sort()
    ours *= 2
    assert [*ours] == [1, 2, 4, 5] * 2


def test_nobody_comes_between_in_a_change(any_queue: Queue) -> None:
    ours, asked = any_queue.result_list("sums"), []
    ours.extend([2, 1])

    def key(n: int) -> int:
        asked.append(n)
        if len(asked) == 1:
            any_queue.result_list("sums").append(0)
        return n

    ours.sort(key=key)
    assert [*ours] == [0, 1, 2]


@pytest.mark.parametrize("number", range(12))
def test_a_map_s_list_is_not_changed(fake_queue: Queue, number: int) -> None:
    job = fake_queue.map(jobs.square, [1])
    results = job.result_list
    before = len(results)
    change = [one for one in CHANGES if "__iadd__" not in one.__code__.co_names][number]
    with pytest.raises(OptionError, match="is the result list of a map"):
        change(results)
    assert len(results) == before


# -- for all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a b", "a{b}", 5])
def test_bad_names(fake_queue: Queue, name: Any) -> None:
    for make in (fake_queue.dict, fake_queue.queue, fake_queue.event):
        with pytest.raises(OptionError, match="name may hold"):
            make(name)


def test_they_travel(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "shared", lambda: real_queue.connection)
    made = real_queue.dict("sizes"), real_queue.queue("found", 3), real_queue.event("ready")
    sizes, found, ready = pickle.loads(pickle.dumps(made))
    assert [type(one) for one in (sizes, found, ready)] == [Dict, Fifo, Event]
    sizes["a"] = 1
    found.put(2)
    ready.set()
    assert (made[0]["a"], made[1].get(), made[2].is_set(), found.maxsize) == (1, 2, True, 3)


def fill(sizes: Any, found: Any, ready: Any, results: Any) -> None:
    ready.wait()
    sizes["child"] = results.pop()
    found.put(sizes.copy())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_manager_of_a_private_server(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKQ_URL", raising=False)
    with Manager() as manager:
        shared = manager.dict({"a": 1}, b=2), manager.Queue(5), manager.Event(), manager.list([3])
        child = multiprocessing.get_context(method).Process(target=fill, args=shared)
        child.start()
        shared[2].set()
        assert shared[1].get() == {"a": 1, "b": 2, "child": 3}
        child.join()
        assert eval(str(shared[0])) == {"a": 1, "b": 2, "child": 3}  # noqa: S307 - as a Manager's
        assert len(shared[3]) == 0


def test_a_manager_on_a_server_leaves_nothing(real_queue: Queue) -> None:
    with Manager(queue=real_queue) as manager:
        manager.dict(a=1)
        manager.Queue().put(1)
        manager.Event().set()
        assert isinstance(manager.list([1]), ResultList)
    assert not [key for key in real_queue.connection.keys("taskq:*") if not key.startswith(keys.RECEIPT.encode())]
