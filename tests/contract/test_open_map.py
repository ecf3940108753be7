"""Open maps: items come while the map runs, each once; it ends when it is sealed, or when its producer is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from rq.job import JobStatus

from taskq import (
    ItemCanceledError,
    MapCanceledError,
    MapError,
    MapFailedError,
    MapJob,
    OpenMap,
    OptionError,
    PickleError,
    Queue,
    ResultsGoneError,
    SourceFailedError,
    TooLargeError,
)
from taskq.maps import feed, orphans
from taskq.maps.proof import prove
from taskq.maps.waiting import Events
from taskq.payload import signing
from taskq.redis.keys import UNSEALED, MapField
from taskq.redis.lua import Operation
from taskq.testing import drain
from tests import jobs
from tests.contract.by_hand import A, claim, commit, entries, everything, items_of, saved
from tests.waiting import BRIEF, HANGS, wait_until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer is gone as soon as its lease is over."""
    monkeypatch.setattr(orphans, "GRACE", 0.0)


def leave(job: OpenMap) -> None:
    """What is left when its producer dies, some time after."""
    assert job._feed is not None
    job._feed._over.set()
    job.connection.hset(job.store.keys.hash, MapField.LEASE, 1)


def run_all(job: MapJob) -> None:
    """Do all that is pending, as a worker would."""
    for one in claim(job.store, 1000):
        commit(job.store, one)


def test_what_is_put_can_be_run_at_once(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square)
    assert (job.put("a"), job.put("b")) == (0, 1)
    [first, second] = claim(job.store, 5)
    assert (items_of(job.store, first), items_of(job.store, second)) == (["a"], ["b"])
    assert job.put_many(iter(range(10))) == range(2, 12)
    assert sum(len(one.to_do) for one in claim(job.store, 100)) == 10
    assert job.put_many([]) == range(12, 12)


def test_it_is_complete_when_it_is_sealed_and_all_have_ended(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square)
    job.put_many(range(5))
    run_all(job)
    info = job.store.info()
    assert (info.total, info.items, info.done, info.sealed, info.complete) == (UNSEALED, 5, 5, False, False)
    job.store.check()
    job.put(5)
    job.seal()
    assert (job.store.info().total, job.store.info().complete) == (6, False)
    run_all(job)
    assert job.store.info().complete
    prove(job.store)
    job.seal()
    with pytest.raises(MapError, match="is sealed: it takes no more items"):
        job.put(7)


def test_a_stock_worker_waits_for_the_seal(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square)
    job.put(1)

    def feed_on() -> None:
        with job:
            wait_until(lambda: job.progress.done == 1)
            job.put(2)

    threading.Thread(target=feed_on).start()
    drain(any_queue)
    assert job.get(timeout=HANGS) == [1, 4]
    assert job.get_status() == JobStatus.FINISHED
    assert job.return_value()["items"] == 2


def test_without_items(any_queue: Queue) -> None:
    with any_queue.open_map(jobs.square) as job:
        pass
    drain(any_queue)
    assert job.get(timeout=HANGS) == []


def test_a_block_that_raises_cancels_it(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square)
    job.put(1)
    with pytest.raises(OptionError), job:
        job.put_many(17)  # type: ignore[arg-type]
    assert job.get_status() == JobStatus.CANCELED
    with pytest.raises(MapCanceledError, match="0 of 1 items"):
        job.put(2)
    with pytest.raises(MapCanceledError):
        job.seal()
    with pytest.raises(MapCanceledError, match="0 of 1 items"):
        job.get(timeout=HANGS)


@pytest.mark.parametrize("by", ["cancel", "delete", "seal"])
def test_what_others_have_ended_takes_no_more(any_queue: Queue, by: str) -> None:
    job = any_queue.open_map(jobs.square)
    job.put(1)
    other = any_queue.fetch_job(job.id)
    assert type(other) is MapJob
    kinds = {"cancel": MapCanceledError, "delete": ResultsGoneError, "seal": MapError}
    if by == "seal":
        leave(job)
        assert orphans.seal(job.store, job.store.info())
        assert orphans.seal(job.store, job.store.info()), "before"
    else:
        getattr(other, by)()
    before = everything(job.store)
    for act in (lambda: job.put(2), job.seal):
        with pytest.raises(kinds[by]):
            act()
    assert everything(job.store) == before


def test_who_has_fetched_it_puts_nothing(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square, job_id="mine")
    again = OpenMap.fetch("mine", connection=any_queue.connection)
    with pytest.raises(OptionError, match="by the program that has opened"):
        again.put(1)
    job.seal()


@pytest.mark.parametrize(
    "options",
    [
        {"buffersize": 0},
        {"buffersize": True},
        {"buffersize": 1.5},
        {"orphan": "keep"},
        {"chunksize": 0},
        {"nope": 1},
    ],
)
def test_bad_options(any_queue: Queue, options: dict[str, Any]) -> None:
    before = set(any_queue.connection.keys())
    with pytest.raises(OptionError):
        any_queue.open_map(jobs.square, **options)
    assert set(any_queue.connection.keys()) == before


def test_a_queue_that_runs_jobs_itself_has_none(any_queue: Queue) -> None:
    with pytest.raises(OptionError, match="is_async"):
        Queue(connection=any_queue.connection, is_async=False).open_map(jobs.square)


def test_an_item_that_cannot_be_sent_is_not_added(any_queue: Queue) -> None:
    queue = Queue(connection=any_queue.connection, payload_limit=1000)
    job = queue.open_map(jobs.square)
    job.put(0)
    with pytest.raises(PickleError, match="item 1"):
        job.put(threading.Lock())
    with pytest.raises(TooLargeError, match="item 1 is"):
        job.put(b"x" * 2000)
    assert job.put(1) == 1
    assert entries(job.store, job.store.keys.pending) == ["0:1", "1:1"]


@pytest.mark.parametrize("buffersize", [None, 10_000])
@pytest.mark.parametrize("chunksize", [None, 1, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5000])
def test_what_an_iterable_raises_comes_after_what_it_gave(
    any_queue: Queue, count: int, chunksize: int | None, buffersize: int | None
) -> None:
    def items() -> Iterator[int]:
        yield from range(count)
        raise ZeroDivisionError

    job = any_queue.open_map(jobs.square, chunksize=chunksize, buffersize=buffersize)
    with pytest.raises(ZeroDivisionError):
        job.put_many(items())
    assert job.store.info().items == job.accepted == len(job) == count
    assert job.put(9) == count


@pytest.mark.parametrize("as_list", [True, False])
@pytest.mark.parametrize("chunksize", [None, 1, 100, 10_000])
def test_what_comes_before_an_item_that_can_not_be_sent_is_put(
    any_queue: Queue, chunksize: int | None, as_list: bool
) -> None:
    for bad, error in ((threading.Lock(), PickleError), (bytes(any_queue.payload_limit + 1), TooLargeError)):
        job = any_queue.open_map(jobs.square, chunksize=chunksize)
        given = [*range(777), bad, *range(50)]
        with pytest.raises(error, match=r"^item 777 "):
            job.put_many(given if as_list else iter(given))
        assert job.store.info().items == job.accepted == 777
        assert job.put(9) == 777


def test_what_has_closed_it_is_said_before_its_job_has_ended(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square, max_failures=0)
    job.put(1)
    job.store.close("too many items have failed: 1, and max_failures is 0")
    with pytest.raises(MapFailedError, match="was closed with 0 of 1 items done: too many items have failed"):
        job.put(2)
    job.cancel()


@pytest.mark.parametrize("act", ["put", "seal"])
def test_what_is_read_can_not_put(any_queue: Queue, act: str) -> None:
    job = any_queue.open_map(jobs.square)

    def items() -> Iterator[int]:
        yield 1
        job.put(2) if act == "put" else job.seal()

    with pytest.raises(MapError, match="this thread is putting items"):
        job.put_many(items())
    job.put(3)
    job.seal()


def test_it_waits_where_too_many_are_unfinished(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square, buffersize=4)
    seen: list[int] = []

    def work() -> None:
        while not job.store.info().complete:
            info = job.store.info()
            seen.append(info.items - info.done)
            for one in claim(job.store, 1):
                commit(job.store, one)

    thread = threading.Thread(target=work)
    thread.start()
    for n in range(20):
        job.put(n)
    job.put_many(range(100))
    job.seal()
    thread.join(HANGS)
    assert max(seen) <= 4 + 1 + 1, "and one chunk"
    assert job.store.info().done == 120


# -- what is lost ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["put", "seal"])
def test_a_lost_reply_changes_nothing(any_queue: Queue, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    job = any_queue.open_map(jobs.square)
    job.put("a")
    run, lost = Operation.__call__, [1]

    def lose(operation: Operation, names: list[str], args: list[Any], pipe: Any = None) -> Any:
        reply = run(operation, names, args, pipe)
        if operation is getattr(job.store.scripts, name) and lost:
            lost.pop()
            raise RedisConnectionError("lost")
        return reply

    monkeypatch.setattr(Operation, "__call__", lose)
    with pytest.raises(Exception, match="lost"):
        job.put("b") if name == "put" else job.seal()
    job.put("c") if name == "put" else job.seal()
    job.seal()
    assert not lost
    told = [item for one in claim(job.store, 10) for item in items_of(job.store, one)]
    assert told == (["a", "b", "c"] if name == "put" else ["a"])
    assert job.store.info().total == len(told)


def test_what_comes_late_changes_nothing(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[Operation, list[str], list[Any]]] = []
    run = Operation.__call__

    def hear(operation: Operation, names: list[str], args: list[Any], pipe: Any = None) -> Any:
        said.append((operation, names, args))
        return run(operation, names, args, pipe)

    monkeypatch.setattr(Operation, "__call__", hear)
    job = any_queue.open_map(jobs.square)
    job.put("a")
    job.put("b")
    job.seal()
    monkeypatch.undo()
    late = [one for one in said if one[0] in (job.store.scripts.put, job.store.scripts.seal)]
    assert len(late) >= 4
    before = everything(job.store)
    for operation, names, args in late:
        operation(names, args)
    assert everything(job.store) == before
    other = any_queue.open_map(jobs.square, job_id="again")
    any_queue.fetch_job("again").cancel()
    again = any_queue.open_map(jobs.square, job_id="again")
    again.put("x")
    before = everything(again.store)
    assert other._feed is not None
    with pytest.raises(MapError):
        other.put("y")
    assert everything(again.store) == before


@pytest.mark.parametrize("sealed", [False, True])
def test_a_server_that_comes_back_as_it_was_gets_again_what_it_lost(any_queue: Queue, sealed: bool) -> None:
    job = any_queue.open_map(jobs.square)
    job.put("a")
    restore = saved(job.store)
    job.put_many(["b", "c"])
    run_all(job)
    if sealed:
        job.seal()
    restore()
    assert job.store.info().items == 1
    assert job._feed is not None
    if sealed:
        with job._feed._talk:
            job._feed._seal()  # as its thread does, for a while
    else:
        job.put("d")
    told = [item for one in claim(job.store, 10) for item in items_of(job.store, one)]
    assert told == ["a", "b", "c", *([] if sealed else ["d"])]
    assert job.store.info().sealed is sealed


def test_what_it_has_lost_for_good_is_said(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "KEEP", (0.0, 0))
    job = any_queue.open_map(jobs.square)
    job.put("a")
    restore = saved(job.store)
    job.put("b")
    restore()
    with pytest.raises(MapError, match=r"has lost items of the map .* from item 1 on"):
        job.put("c")


def test_a_seal_that_was_lost_is_no_shorter_map(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square)
    job.put(1)
    restore = saved(job.store)
    job.put(2)
    job.seal()
    restore()
    leave(job)
    drain(any_queue)
    assert any_queue.fetch_job(job.id).get(timeout=HANGS) == [1], "who has not put them knows nothing of it"
    with pytest.raises(ResultsGoneError, match="has 1 items, and 2 were put"):
        job.get(timeout=HANGS)


# -- producers that are gone -------------------------------------------------------------------------------


@pytest.mark.parametrize("orphan", ["finish", "cancel"])
def test_an_orphan_ends_as_it_was_told(any_queue: Queue, orphan: Any) -> None:
    job = any_queue.open_map(jobs.square, orphan=orphan)
    job.put_many(range(3))
    leave(job)
    drain(any_queue)
    info = job.store.info()
    assert info.orphaned
    assert info.items == 3
    if orphan == "finish":
        assert any_queue.fetch_job(job.id).get(timeout=HANGS) == [0, 1, 4]
    else:
        with pytest.raises(MapCanceledError, match="3 of 3 items"):
            any_queue.fetch_job(job.id).get(timeout=HANGS)
    with pytest.raises(MapError):
        job.put(4)


def test_a_producer_that_lives_is_no_orphan(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square)
    assert not orphans.seal(job.store, job.store.info())
    lease = job.store.info().lease
    assert 0 < lease - time.time() <= feed.LEASE + 5
    job.connection.hset(job.store.keys.hash, MapField.LEASE, 1)
    job.put(1)  # which renews it
    assert not orphans.seal(job.store, job.store.info())
    job.connection.hset(job.store.keys.hash, MapField.LEASE, 1)
    stale = job.store.info()
    job.put(2)
    job.connection.hset(job.store.keys.hash, MapField.LEASE, 1)
    assert not orphans.seal(job.store, stale), "it was read before an item came"


def test_the_lease_is_renewed_by_a_thread(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LEASE", 0.3)
    job = any_queue.open_map(jobs.square)
    first = job.store.info().lease
    wait_until(lambda: job.store.info().lease > first + 0.2)
    assert not job.store.info().orphaned
    job.cancel()


def test_a_fork_feeds_nothing(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    job = any_queue.open_map(jobs.square)
    assert job._feed is not None
    job._feed._own += 1
    with pytest.raises(MapError, match="not by a fork"):
        job.put(1)


# -- keys ----------------------------------------------------------------------------------------------------


def test_keys_of_a_map_that_nobody_begins_expire(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square, ttl=100)
    job.put(1)
    k = job.store.keys
    assert all(any_queue.connection.ttl(key) > 0 for key in (k.hash, k.bodies, k.pending))


def test_with_a_key_its_terms_and_its_seal_are_signed(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.VARIABLE, "correct horse battery staple and more")
    try:
        queue = Queue(connection=any_queue.connection)
        job = queue.open_map(jobs.square, buffersize=10)
        job.put(1)
        open_seal = any_queue.connection.hget(job.store.keys.hash, MapField.SEAL)
        assert job.store.info().terms.buffersize == 10
        job.seal()
        assert job.store.info().total == 1
        for forged in ({MapField.TERMS: '{"orphan": "cancel"}'}, {MapField.SEAL: open_seal}, {MapField.TOTAL: 2}):
            before = any_queue.connection.hgetall(job.store.keys.hash)
            any_queue.connection.hset(job.store.keys.hash, mapping=forged)
            with pytest.raises(Exception, match=r"changed since|signature|not signed"):
                job.store.info()
            any_queue.connection.hset(job.store.keys.hash, mapping=before)
    finally:
        signing._in_use.clear()


@pytest.mark.parametrize(
    "terms", ["[]", "{", '{"buffersize": "x"}', '{"orphan": 3}', "17", "null", '{"buffersize": true}']
)
def test_terms_that_are_none(any_queue: Queue, terms: str) -> None:
    job = any_queue.map(jobs.square, range(3))
    any_queue.connection.hset(job.store.keys.hash, MapField.TERMS, terms)
    with pytest.raises(Exception, match="no terms of a map"):
        job.store.info()


def test_a_plain_map_has_no_more_fields_than_before(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(3))
    there = set(any_queue.connection.hgetall(job.store.keys.hash))
    assert not there & {name.encode() for name in (MapField.TERMS, MapField.FEEDER, MapField.LEASE)}


# -- one item is cancelled ---------------------------------------------------------------------------------


def test_an_item_that_has_not_begun_is_cancelled(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(10), chunksize=5)
    assert job.cancel_item(7)
    assert not job.cancel_item(7), "it has ended"
    [held] = claim(job.store)
    assert not any(job.cancel_item(index) for index in held.to_do), "it has begun"
    commit(job.store, held)
    assert not job.cancel_item(held.to_do[0])
    drain(any_queue)
    results = job.get(timeout=HANGS, errors="return")
    assert isinstance(results[7], ItemCanceledError)
    with pytest.raises(ItemCanceledError, match="item 7 was cancelled before it had begun"):
        job.get(timeout=HANGS)
    assert [index for index, value in enumerate(results) if isinstance(value, Exception)] == [7]
    assert not job.cancel_item(3), "the map has ended"
    job.requeue()
    drain(any_queue)
    assert job.get(timeout=HANGS)[7] == 49, "a retry runs it"


def test_a_cancelled_item_is_in_no_memo(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, range(5), chunksize=1, memo="squares")
    assert job.cancel_item(3)
    drain(fake_queue)
    again = fake_queue.map(jobs.square, range(6), chunksize=1, memo="squares")
    assert (again.memo_hits, again.cancel_item(2), again.cancel_item(5)) == (4, False, True)
    drain(fake_queue)
    assert again.get(timeout=HANGS, errors="return")[:5] == [0, 1, 4, 9, 16]


def test_a_cancelled_item_fails_in_what_follows_and_is_none_of_those_that_are_enough(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, range(4), chunksize=1)
    after = job.map(jobs.square, chunksize=1)
    some = fake_queue.map(jobs.square, range(4), chunksize=1, first=2)
    assert (job.cancel_item(1), some.cancel_item(0), some.cancel_item(1)) == (True, True, True)
    drain(fake_queue)
    assert some.get(timeout=HANGS) == [4, 9]
    values = after.get(timeout=HANGS, errors="return")
    assert [type(value) for value in values] == [int, SourceFailedError, int, int]
    job.requeue()
    drain(fake_queue)
    after.requeue()
    drain(fake_queue)
    assert after.get(timeout=HANGS) == [0, 1, 16, 81]


def test_items_of_every_kind_of_range(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(30), chunksize=10)
    [first] = claim(job.store)
    commit(job.store, first, failing=[2, 5])
    job.store.close("try again")
    job.store.open(A)
    for index in (5, 29, 10, 15):
        assert job.cancel_item(index)
    assert not job.cancel_item(3), "it has a result"
    drain(any_queue)
    errors = set(job.errors)
    assert errors == {5, 29, 10, 15}
    assert job.progress.ended == 30
    prove(job.store)


@pytest.mark.parametrize("index", [-1, 3, "1", True, None, 1.0])
def test_an_item_that_is_not_there(any_queue: Queue, index: Any) -> None:
    job = any_queue.map(jobs.square, range(3))
    with pytest.raises(OptionError, match="has 3 items"):
        job.cancel_item(index)


def test_who_dies_between_claim_and_commit_leaves_nothing(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(3), chunksize=3)
    k = job.store.known
    found = job.store.scripts.pick(
        [k.hash, k.pending, k.claims, k.bodies], [k.incarnation, "dead-cancels", "token", 0, "0:3"]
    )
    assert found[0] == 1
    assert job.store.release_orphans() == 1
    assert not job.store.scripts.pick(
        [k.hash, k.pending, k.claims, k.bodies], [k.incarnation, "dead-cancels", "token", 1, "0:3"]
    )[0]
    drain(any_queue)
    assert job.get(timeout=HANGS) == [0, 1, 4]


def test_the_last_item_of_an_open_map(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square)
    job.put(3)
    assert job.cancel_item(0)
    job.seal()
    drain(any_queue)
    assert isinstance(job.get(timeout=HANGS, errors="return")[0], ItemCanceledError)


def test_what_is_put_wakes_nobody_who_waits_for_results(any_queue: Queue) -> None:
    quiet: list[bool] = []
    with any_queue.open_map(jobs.square) as job, Events(any_queue.connection, job.store.keys) as events:
        job.put(1)
        assert events.next(look_again=BRIEF, on_quiet=lambda: quiet.append(True))
    assert quiet
