"""Results that outlive their map: what is in the memo is not run again."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rq.job import Callback, JobStatus  # type: ignore[attr-defined]

from taskq import DamagedError, MapJob, OptionError, PickleError, Queue, SignatureError
from taskq.maps import memo
from taskq.maps.item_keys import LONGEST
from taskq.maps.store import MapStore
from taskq.payload import signing
from taskq.redis import keys
from taskq.testing import drain
from tests import jobs
from tests.contract import by_hand

RAN: list[Any] = []


def noted(n: Any) -> Any:
    """Runs in this process."""
    RAN.append(n)
    if n == 13:
        raise ValueError(n)
    return (n, "done")


@pytest.fixture(autouse=True)
def nothing_ran() -> Iterator[None]:
    RAN.clear()
    yield
    signing._in_use.clear()


def run(queue: Queue, items: Any, **options: Any) -> MapJob[Any]:
    job = queue.map(noted, items, memo="scan-v1", **options)
    drain(queue)
    return job


def held(queue: Queue, name: str = "scan-v1") -> memo.Memo:
    found = memo.find(name, queue.connection)
    assert found is not None
    return found


@pytest.mark.parametrize("bad", ["item", "key"])
@pytest.mark.parametrize("changed", ["forget", "keep", "new"])
def test_a_push_that_raises_has_changed_nothing(any_queue: Queue, changed: Any, bad: str) -> None:
    if changed != "new":
        run(any_queue, range(5))
    connection = any_queue.connection
    before = {key: everything_of(connection, key) for key in connection.keys("taskq:memo*")}
    how = {"memo_changed": changed} if changed != "new" else {}
    key: Any = str if bad == "item" else lambda n: n
    with pytest.raises((PickleError, OptionError)):
        any_queue.map(jobs.square, [1, threading.Lock()], memo="scan-v1", key=key, **how)
    assert {key: everything_of(connection, key) for key in connection.keys("taskq:memo*")} == before
    if changed != "new":
        assert run(any_queue, range(5)).memo_hits == 5


def everything_of(connection: Any, key: bytes) -> Any:
    kind = connection.type(key)
    if kind == b"zset":
        return sorted(connection.zrange(key, 0, -1))
    found = connection.hgetall(key)
    return found if found.pop(b"pushes", None) is None else {**found, "lives": connection.ttl(key) > 24 * 3600}


def test_what_was_forgotten_is_gone_with_the_push(any_queue: Queue) -> None:
    run(any_queue, range(5))
    first = held(any_queue).key
    any_queue.map(jobs.square, range(5), memo="scan-v1", memo_changed="forget")
    assert not any_queue.connection.exists(first)


def test_what_another_push_uses_meanwhile_is_not_taken_back(any_queue: Queue) -> None:
    def breaks() -> Iterator[int]:
        yield 1
        run(any_queue, range(5))
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        any_queue.map(noted, breaks(), memo="scan-v1")
    assert run(any_queue, range(5)).memo_hits == 5


# -- what is run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [None, 1, 3, 1000])
@pytest.mark.parametrize("key", ["", "secret" * 8])
def test_only_what_is_missing_runs(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, chunksize: int | None, key: str
) -> None:
    if key:
        monkeypatch.setenv(signing.VARIABLE, key)
        any_queue = Queue(connection=any_queue.connection)
    first = run(any_queue, [3, 5, 4], chunksize=chunksize)
    assert (first.memo_hits, first.get()) == (0, [(3, "done"), (5, "done"), (4, "done")])
    second = any_queue.map(noted, range(8), memo="scan-v1", chunksize=chunksize)
    assert (second.memo_hits, second.progress.done) == (3, 3)
    by_item = set(itertools.chain.from_iterable(range(a, a + n) for a, n in second.store.spans(0, 10)))
    assert by_item == {3, 4, 5}
    drain(any_queue)
    assert second.get() == [(n, "done") for n in range(8)]
    assert sorted(RAN) == sorted([3, 5, 4, 0, 1, 2, 6, 7])
    assert not any_queue.connection.exists(second.store.keys.memo)


def test_the_invariants_of_a_map_hold(any_queue: Queue) -> None:
    options: dict[str, Any] = {"memo": "m", "key": str, "chunksize": 4}
    store = any_queue.map(jobs.square, range(20), **options).store
    store.open("worker-a")
    for one, failing in zip(by_hand.claim(store, 3), ([1], [4, 5, 6], []), strict=True):
        by_hand.commit(store, one, failing=failing)
    assert len(held(any_queue, "m")) == 8
    store = any_queue.map(jobs.square, range(20), job_id="another", **options).store
    by_hand.consistent(store)
    assert sorted(by_hand.placed(store)) == [0, 2, 3, 7, 8, 9, 10, 11]
    store.open("worker-a")
    one, other = by_hand.claim(store, 2)
    assert list(one.to_do) == [1, 4, 5, 6]
    by_hand.halve(store, one)
    by_hand.consistent(store)
    by_hand.commit(store, other, stop=14)
    by_hand.consistent(store)
    while claims := by_hand.claim(store):
        by_hand.commit(store, claims[0], failing=[6])
        by_hand.consistent(store)
    assert (store.info().done, store.info().failed, len(held(any_queue, "m"))) == (19, 1, 19)


def test_a_commit_that_is_refused_stores_nothing(any_queue: Queue) -> None:
    store = any_queue.map(jobs.square, range(4), memo="m").store
    store.open("worker-a")
    [one] = by_hand.claim(store)
    by_hand.give_back(store, one)
    assert not by_hand.commit(store, one).committed
    assert len(held(any_queue, "m")) == 0


def test_what_has_failed_is_run_again_by_the_map_and_by_the_next(fake_queue: Queue) -> None:
    first = run(fake_queue, range(12, 15))
    assert first.get_status() == JobStatus.FAILED
    assert sorted(key for key, _ in held(fake_queue).each()) == ["12", "14"]
    first.requeue()
    drain(fake_queue)
    run(fake_queue, range(12, 15))
    assert RAN == [12, 13, 14, 13, 13]


def test_a_key_twice_in_a_map_runs_twice(fake_queue: Queue) -> None:
    assert run(fake_queue, [1, 1, 2]).get() == [(1, "done"), (1, "done"), (2, "done")]
    assert RAN == [1, 1, 2]
    assert run(fake_queue, [1, 1, 2]).memo_hits == 3


def test_nothing_to_run_needs_no_worker(any_queue: Queue) -> None:
    run(any_queue, range(5))
    job = any_queue.map(noted, iter(range(5)), memo="scan-v1")
    assert (job.get_status(), job.get(timeout=0), any_queue.job_ids) == (
        JobStatus.FINISHED, [(n, "done") for n in range(5)], [],
    )  # fmt: skip
    assert job.return_value() == {"items": 5, "done": 5, "failed": 0, "seconds": 0.0}
    assert any_queue.connection.ttl(job.store.keys.results) > 0


def test_nothing_to_run_but_a_callback(fake_queue: Queue) -> None:
    run(fake_queue, range(5))
    job = fake_queue.map(noted, range(5), memo="scan-v1", on_success=Callback(jobs.remember))
    assert job.get_status() == JobStatus.QUEUED
    drain(fake_queue)
    assert (job.get_status(), len(job.get()), len(RAN)) == (JobStatus.FINISHED, 5, 5)


def test_arguments(fake_queue: Queue) -> None:
    def push() -> MapJob[int]:
        job = fake_queue.map(jobs.add, [1, 2], [3, 4], memo="sums", key=lambda a, b: f"{a}+{b}")
        drain(fake_queue)
        return job

    assert push().get() == push().get() == [4, 6]
    assert sorted(key for key, _ in held(fake_queue, "sums").each()) == ["1+3", "2+4"]


def test_in_place(fake_queue: Queue) -> None:
    here = Queue("here", connection=fake_queue.connection, is_async=False)
    assert here.map(noted, range(3), memo="scan-v1").get() == [(n, "done") for n in range(3)]
    assert here.map(noted, range(4), memo="scan-v1").memo_hits == 3


def test_much_of_it(fake_queue: Queue) -> None:
    big = {"memo": "big", "key": str}
    fake_queue.map(jobs.large, [1, 2, 5], **big)
    drain(fake_queue)
    job = fake_queue.map(jobs.large, range(8), chunksize=100, **big)
    assert job.memo_hits == 3
    drain(fake_queue)
    assert job.get() == [jobs.large(n) for n in range(8)]


def test_a_map_that_goes_on_is_not_pushed_again(any_queue: Queue) -> None:
    first = any_queue.map(noted, range(5), memo="scan-v1")
    again = any_queue.map(noted, iter(range(5)), memo="scan-v1", chunksize=2)
    assert (again.incarnation, any_queue.job_ids) == (first.incarnation, [first.id])
    others: list[dict[str, Any]] = [
        {"items": range(6)}, {"item_timeout": 5}, {"job_id": "own"}, {"max_failures": 3}, {"memo": "other"},
    ]  # fmt: skip
    for one in others:
        options: dict[str, Any] = {"items": range(5), "memo": "scan-v1", **one}
        assert any_queue.map(noted, options.pop("items"), **options).incarnation != first.incarnation
    assert len(any_queue.job_ids) == 1 + len(others)
    drain(any_queue)
    assert again.get() == [(n, "done") for n in range(5)]
    left = {name for name in any_queue.connection.keys("taskq:{*") if any_queue.connection.ttl(name) < 0}
    assert not left, "what was written and not announced is gone"


def test_one_that_has_ended_or_was_cancelled_is_pushed_again(fake_queue: Queue) -> None:
    first = fake_queue.map(noted, [1, 13], memo="scan-v1")
    first.cancel()
    second = fake_queue.map(noted, [1, 13], memo="scan-v1")
    assert second.incarnation != first.incarnation
    drain(fake_queue)
    third = fake_queue.map(noted, [1, 13], memo="scan-v1")
    assert (third.incarnation != second.incarnation, third.memo_hits) == (True, 1)
    fourth = fake_queue.map(noted, [1, 13], memo="scan-v1", memo_changed="forget")
    assert fourth.incarnation == third.incarnation, "the function is the same: there is nothing to forget"


def test_a_hint_at_another_map_is_none(fake_queue: Queue) -> None:
    first = fake_queue.map(noted, range(5), memo="scan-v1")
    other = fake_queue.map(noted, range(6), memo="scan-v1")
    name = keys.memo_maps("scan-v1")
    for hint in (other.id, "nowhere", fake_queue.enqueue(jobs.square, 3).id, b"\xff"):
        for digest in fake_queue.connection.hkeys(name):
            fake_queue.connection.hset(name, digest, hint)
        again = fake_queue.map(noted, range(5), memo="scan-v1")
        assert again.incarnation not in (first.incarnation, other.incarnation)


def test_attached_with_a_memo(fake_queue: Queue) -> None:
    def push(**options: Any) -> MapJob[Any]:
        return run(fake_queue, range(3), job_id="nightly", if_exists="attach", **options)

    assert push().incarnation == push().incarnation == push(memo_changed="forget").incarnation
    with pytest.raises(OptionError, match="memo is 'scan-v1' there, and None here"):
        fake_queue.map(noted, range(3), job_id="nightly", if_exists="attach")


# -- keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "key", "why"),
    [
        ([1, {2}], None, r"item 1 \(set\) is no plain data .* key="),
        ([object()], None, r"item 0 \(object\) is no plain data"),
        ([1, 2], lambda n: n, "key= must return a text, and returned 1 for item 0"),
        ([1], lambda _: "", "returned 0 for item 0"),
        ([1], lambda _: "x" * (LONGEST + 1), "returned 1,001 for item 0"),
        ([1], lambda _: "\ud800", "no Unicode text"),
    ],
)
def test_items_without_a_key(fake_queue: Queue, items: Any, key: Any, why: str) -> None:
    with pytest.raises(OptionError, match=why):
        fake_queue.map(noted, items, memo="scan-v1", key=key)
    assert not fake_queue.connection.keys("rq:job*")
    assert not fake_queue.connection.keys("*:pending")


def test_what_the_users_key_raises_is_raised(fake_queue: Queue) -> None:
    with pytest.raises(ZeroDivisionError):
        fake_queue.map(noted, [0], memo="scan-v1", key=lambda n: str(1 / n))


def test_items_are_told_apart(fake_queue: Queue) -> None:
    items = [1, True, 1.0, "1", b"1", None, (1,), [1], {"a": 1}, {"a": 2}, "x" * 100, "x" * 101, "é\n"]
    run(fake_queue, items)
    assert len(held(fake_queue)) == len(RAN) == len(items)
    assert run(fake_queue, items).memo_hits == len(items)


def count_of(*args: Any) -> int:
    return len(args)


def test_one_argument_is_told_apart_from_several(fake_queue: Queue) -> None:
    for _ in range(2):
        told = []
        for push, item in ((fake_queue.map, (1, 2)), (fake_queue.starmap, (1, 2)), (fake_queue.map, ("x" * 99, 2)),
                           (fake_queue.starmap, ("x" * 99, 2))):  # fmt: skip
            job = push(count_of, [item], memo="counts")
            drain(fake_queue)
            told += job.get()
        assert told == [1, 2, 1, 2]
    assert job.memo_hits == 1


def test_an_item_that_can_not_be_sent(fake_queue: Queue) -> None:
    with pytest.raises(PickleError, match="item 1"):
        fake_queue.map(noted, [1, (n for n in ())], memo="scan-v1", key=lambda _: "k")


# -- another function -------------------------------------------------------------------------------------


def test_a_function_that_has_changed(fake_queue: Queue) -> None:
    def push(by: int, **options: Any) -> MapJob[int]:
        job = fake_queue.map(lambda n: n + by, range(3), memo="sums", **options)
        drain(fake_queue)
        return job

    assert push(1).get() == [1, 2, 3]
    with pytest.raises(OptionError, match=r'of another version of .*memo_changed="keep".*memo_changed="forget"'):
        push(2)
    assert push(2, memo_changed="keep").get() == [1, 2, 3]
    assert push(2).get() == [1, 2, 3]
    assert push(3, memo_changed="forget").get() == [3, 4, 5]
    assert push(3).memo_hits == 3
    with pytest.raises(OptionError, match=r"the memo sums is of the function .*, and not of square"):
        fake_queue.map(jobs.square, [1], memo="sums")


def test_an_object_with_the_name_of_another(fake_queue: Queue) -> None:
    """NumPy's bear that of the function in them."""
    one, other = np.vectorize(lambda x: x + 1), np.vectorize(lambda x: x + 100)
    job = fake_queue.map(one, range(3), memo="v")
    drain(fake_queue)
    assert job.get(timeout=0) == [1, 2, 3]
    for options in ({"memo": "v"}, {"job_id": "a", "if_exists": "attach"}):
        fake_queue.map(one, range(3), **options)
        with pytest.raises(OptionError, match=r"its code has changed, or its data|the data that belongs to it"):
            fake_queue.map(other, range(3), **options)


def test_a_map_of_before_it_forgot_stores_nothing(any_queue: Queue) -> None:
    before = any_queue.map(lambda n: n, range(3), memo="m").store
    any_queue.map(lambda n: n + 1, range(3), memo="m", memo_changed="forget")
    before.open("worker-a")
    while claims := by_hand.claim(before):
        assert by_hand.commit(before, claims[0]).committed
    assert len(held(any_queue, "m")) == 0
    assert len(any_queue.connection.keys("taskq:memo:*:*")) == 1, "the register of maps"


def test_another_python(fake_queue: Queue) -> None:
    run(fake_queue, [1])
    name = keys.memo("scan-v1")
    header = json.loads(fake_queue.connection.hget(name, "header"))
    fake_queue.connection.hset(name, "header", json.dumps({**header, "python": "3.1", "code": "x"}))
    with pytest.raises(OptionError, match=r"of noted in Python 3\.1, whose byte code"):
        run(fake_queue, [1])


# -- how long ---------------------------------------------------------------------------------------------


def test_a_result_that_is_too_old_is_run_again(any_queue: Queue) -> None:
    run(any_queue, [1, 2], memo_ttl=100)
    name = held(any_queue).key
    old = any_queue.connection.hget(name, "1")
    any_queue.connection.hset(name, "1", b"%d " % (int(old.split()[0]) - 101) + old.partition(b" ")[2])
    assert run(any_queue, [1, 2], memo_ttl=100).memo_hits == 1
    assert RAN == [1, 2, 1]
    assert run(any_queue, [1, 2], memo_ttl=100).memo_hits == 2


@pytest.mark.parametrize(("ttl", "lasts"), [(None, memo.TTL + memo.BEYOND), (0.5, 1 + memo.BEYOND), (-1, -1)])
def test_how_long_it_is_kept(any_queue: Queue, ttl: float | None, lasts: int) -> None:
    run(any_queue, [1], memo_ttl=ttl)
    left = [any_queue.connection.ttl(key) for key in (keys.memo("scan-v1"), held(any_queue).key)]
    assert all(lasts - 60 <= one <= lasts for one in left)


class _DiedError(BaseException):
    """The process is no more."""


def test_of_a_map_that_nobody_is_to_run_nothing_stays_for_ever(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its results were in the memo, and its producer dies when it has just said so."""
    run(any_queue, [1, 2])

    def dies(*_: Any, **__: Any) -> None:
        raise _DiedError

    monkeypatch.setattr(MapStore, "close", dies)
    with pytest.raises(_DiedError):
        any_queue.map(noted, [1, 2], memo="scan-v1", job_id="late")
    job = MapJob.fetch("late", connection=any_queue.connection)
    assert job.get_status() == JobStatus.FINISHED
    assert any_queue.connection.ttl(job.key) > 0


def test_of_a_map_that_nobody_is_to_run_nothing_is_kept_if_nothing_is_to_be(any_queue: Queue) -> None:
    run(any_queue, [1, 2])
    job = any_queue.map(noted, [1, 2], memo="scan-v1", result_ttl=0)
    assert any_queue.connection.exists(job.key, *job.store.keys.all) == 0


# -- what somebody may have done ----------------------------------------------------------------------------


@pytest.fixture
def signed_queue(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setenv(signing.VARIABLE, "secret" * 8)
    queue = Queue(connection=fake_queue.connection)
    run(queue, range(4))
    queue.map(noted, range(4), memo="other")
    drain(queue)
    return queue


def test_no_result_can_be_moved_to_another_key(signed_queue: Queue) -> None:
    name, connection = held(signed_queue).key, signed_queue.connection
    connection.hset(name, "1", connection.hget(name, "2"))
    with pytest.raises(SignatureError):
        run(signed_queue, [1])


def test_nor_from_another_memo(signed_queue: Queue) -> None:
    connection = signed_queue.connection
    connection.hset(held(signed_queue).key, "1", connection.hget(held(signed_queue, "other").key, "1"))
    with pytest.raises(SignatureError):
        run(signed_queue, [1])


def test_nor_be_put_behind_the_signature_of_another(signed_queue: Queue) -> None:
    name, connection = held(signed_queue).key, signed_queue.connection
    one, two = (connection.hget(name, key).partition(b"\n") for key in ("1", "2"))
    connection.hset(name, "1", one[0] + b"\n" + two[2])
    with pytest.raises(SignatureError, match="result of item 1 should be"):
        run(signed_queue, [1])


def test_nor_from_before_it_forgot(signed_queue: Queue) -> None:
    connection = signed_queue.connection
    old = connection.hget(held(signed_queue).key, "1")
    signed_queue.map(jobs.square, [7], memo="scan-v1", memo_changed="forget")
    connection.hset(held(signed_queue).key, "1", old)
    with pytest.raises(SignatureError):
        signed_queue.map(jobs.square, [1], memo="scan-v1")


def test_nor_can_it_be_said_to_be_of_another_function(signed_queue: Queue) -> None:
    connection = signed_queue.connection
    one, other = keys.memo("scan-v1"), keys.memo("other")
    connection.hset(one, "header", connection.hget(other, "header"))
    with pytest.raises(SignatureError):
        run(signed_queue, [1])


def test_what_was_signed_is_not_read_without_a_key(signed_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(signing.VARIABLE)
    with pytest.raises((SignatureError, DamagedError)):
        run(signed_queue, [1])


def test_what_was_not_signed_is_not_read_with_one(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    run(fake_queue, [1])
    monkeypatch.setenv(signing.VARIABLE, "secret" * 8)
    with pytest.raises(SignatureError, match="is not signed"):
        run(fake_queue, [1])


@pytest.mark.parametrize(
    "value", [b"", b"x", b"1 2 3 4 -\n", b"\xff \xff \xff 1 -\nx", b"1 a b x -\n", b"nan a b 1 -\n"]
)
@pytest.mark.parametrize("field", ["1", "header", "entries", "ttl"])
def test_garbage_in_it(fake_queue: Queue, field: str, value: bytes) -> None:
    run(fake_queue, [1])
    fake_queue.connection.hset(held(fake_queue).key if field == "1" else keys.memo("scan-v1"), field, value)
    try:
        job = run(fake_queue, [1, 2])
        assert len(job.get(errors="return")) == 2
    except DamagedError:
        assert memo.remove("scan-v1", fake_queue.connection)
        assert run(fake_queue, [1, 2]).memo_hits == 0


@pytest.mark.parametrize("which", [0, 1, 2])
def test_something_else_in_its_place(any_queue: Queue, which: int) -> None:
    job = any_queue.map(noted, range(3), memo="scan-v1")
    name = [keys.memo("scan-v1"), held(any_queue).key, job.store.keys.memo][which]
    any_queue.connection.delete(name)
    any_queue.connection.set(name, "x")
    drain(any_queue)
    assert job.get() == [(n, "done") for n in range(3)]
    if which == 0:
        with pytest.raises(DamagedError):
            any_queue.map(noted, range(3), memo="scan-v1")


# -- what there is -----------------------------------------------------------------------------------------


def test_looking_and_removing(any_queue: Queue) -> None:
    connection = any_queue.connection
    run(any_queue, range(3))
    any_queue.map(noted, [1], memo="other")
    assert sorted(memo.names(connection)) == ["other", "scan-v1"]
    found = held(any_queue)
    assert (found.header.function, len(found), found.remove(["1", "7"]), len(found)) == ("noted", 3, 1, 2)
    entry = found.get("2")
    assert entry is not None
    assert entry.index == 2
    assert found.get("1") is None
    assert run(any_queue, range(3)).memo_hits == 2
    assert memo.remove("scan-v1", connection)
    assert not memo.remove("scan-v1", connection)
    connection.delete(keys.memo("other"))
    assert memo.names(connection) == []
    assert not connection.exists(keys.MEMOS)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"key": str}, "key means nothing without memo"),
        ({"memo_ttl": 3}, "memo_ttl means nothing without memo"),
        ({"memo": "a b"}, "a memo's name has"),
        ({"memo": ""}, "a memo's name has"),
        ({"memo": "m", "key": "id"}, "key must be a function"),
        ({"memo": "m", "memo_ttl": 0}, "memo_ttl must be seconds above 0"),
        ({"memo": "m", "memo_changed": "ignore"}, 'must be "keep" or "forget"'),
    ],
)
def test_options_that_can_not_be(fake_queue: Queue, options: Any, why: str) -> None:
    with pytest.raises(OptionError, match=why):
        fake_queue.map(noted, [1], **options)
    assert not fake_queue.connection.keys("taskq:memo*")


def test_not_where_items_come_one_by_one(fake_queue: Queue) -> None:
    for name in ("memo", "key", "memo_ttl", "memo_changed", "if_exists"):
        with pytest.raises(OptionError, match=f"has no option {name}"):
            fake_queue.open_map(noted, **{name: "x"})  # type: ignore[arg-type]
        with pytest.raises(OptionError, match=f"has no option {name}"):
            fake_queue.imap(noted, [1], **{name: "x"})  # type: ignore[arg-type]


def test_nothing_is_written_for_maps_without_one(fake_queue: Queue) -> None:
    job = fake_queue.map(noted, range(3))
    drain(fake_queue)
    assert not fake_queue.connection.keys("taskq:memo*")
    assert (job.memo_hits, fake_queue.connection.exists(job.store.keys.memo)) == (0, 0)
