"""Closed, opened again, replaced, expired: what holds of a map's life as a whole, on every server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from taskq import Queue, ReplacedError
from taskq.maps.claim import ClaimReply
from taskq.maps.draft import Draft
from taskq.maps.store import MapStore
from taskq.payload.outcome import Totals
from taskq.redis import holdings, keys, services
from taskq.redis.holdings import Holding
from tests import jobs
from tests.contract.by_hand import (
    A,
    B,
    claim,
    commit,
    consistent,
    entries,
    everything,
    failures_of,
    give_back,
    halve,
    held,
    names,
    outcome,
    pending,
    put,
    results,
)

STEP = 1000  # what a call of open.lua may move
SLACK = 512  # entries which a small hash hands over at once


@pytest.fixture
def store(any_queue: Queue) -> MapStore:
    """An open map of ten items in chunks of 3, 3, 3, 1."""
    store = any_queue.map(jobs.square, range(10), chunksize=3).store
    assert store.open(A) is not None
    return store


def works_on(store: MapStore, name: str, job_id: str) -> None:
    """Have a worker hold this job."""
    one = Holding(job_id, "e1", holdings.BEGUN, "default")
    store.connection.hset(keys.held(name), one.key, one.value)


# -- close and open --------------------------------------------------------------------------------


def test_close(store: MapStore) -> None:
    claim(store)
    store.close("enough")
    info = store.info()
    assert (info.state, info.reason) == ("closed", "enough")
    assert store.read_claims(store.claim(A, 1), A) == ClaimReply("closed", 0, [])
    assert store.connection.hlen(store.keys.bodies) == 4
    consistent(store)


def test_who_does_not_hold_the_job_opens_nothing(store: MapStore) -> None:
    """As when it was said long ago, and comes only now: the map has ended."""
    commit(store, claim(store, 2)[0])
    store.close()
    before = store.connection.hgetall(store.keys.hash), pending(store)
    assert store.open(B, f"{store.keys.id}:execution") is None
    assert (store.connection.hgetall(store.keys.hash), pending(store)) == before
    store.connection.hset(f"taskq:held:{B}", f"{store.keys.id}:execution", "begun default")
    assert store.open(B, f"{store.keys.id}:execution") is not None


def test_open_again_makes_all_that_is_left_pending_once(store: MapStore) -> None:
    commit(store, claim(store, 2)[0])
    store.close("enough")
    info = store.open(B)
    assert info is not None
    assert info.done == 3
    assert pending(store) == ["3:3 0 3:3", "6:3", "9:1"], "what was in work comes first"
    assert store.info().reason == ""
    assert held(store, A) == {}
    consistent(store)


def test_open_again_keeps_deaths(store: MapStore) -> None:
    give_back(store, *claim(store), deaths=2)
    claim(store, 2)
    store.close()
    store.open(B)
    assert {str(one.range): one.deaths for one in claim(store, 2)} == {"0:3": 2, "3:3": 0}
    consistent(store)


def test_open_again_makes_only_failed_items_pending(store: MapStore) -> None:
    for claimed in claim(store, 4):
        commit(store, claimed, failing=[4, 6, 8])
    store.close()
    info = store.open(A)
    assert info is not None
    assert (info.done, info.failed, info.total, info.first) == (7, 0, 10, None)
    assert (failures_of(store), store.groups()) == ({}, [])
    consistent(store)
    again = claim(store, 10)
    assert [list(one.to_do) for one in again] == [[4], [6, 8]]
    commit(store, again[0])
    assert commit(store, again[1], failing=[8]) == Totals(True, 9, 1, 10)
    assert entries(store, store.keys.failed) == ["8:1 0"]
    assert sorted(results(store)) == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    consistent(store)


def test_what_had_failed_comes_after_what_never_ran(store: MapStore) -> None:
    commit(store, claim(store)[0], failing=[0, 1, 2])
    store.close()
    store.open(A)
    reply = store.read_claims(store.claim(A, 1), A)
    assert reply.pending == 3, "both are pending"
    assert names([*reply.claims, *claim(store, 9)]) == ["3:3", "6:3", "9:1", "0:3"]


def test_what_fails_before_the_earlier_failures_were_tried_again_is_not_lost(store: MapStore) -> None:
    commit(store, claim(store)[0], failing=[0, 1, 2])
    store.close()
    store.open(A)
    commit(store, claim(store)[0], failing=[4])
    consistent(store)
    store.close()
    store.open(A)
    consistent(store)
    assert names(claim(store, 9)) == ["6:3", "9:1", "0:3", "4:1"]
    consistent(store)


def test_an_open_map_keeps_its_claims_and_failures(store: MapStore) -> None:
    """Its owner is another now; what dead workers hold of it is returned elsewhere."""
    first, second = claim(store, 2)
    commit(store, first, failing=[1])
    before = {key: value for key, value in everything(store).items() if key != store.keys.hash}
    info = store.open(B)
    assert info is not None
    assert (info.state, info.failed, info.first) == ("open", 1, 1)
    assert {key: value for key, value in everything(store).items() if key != store.keys.hash} == before
    assert commit(store, second).committed
    consistent(store)


def test_the_claims_of_the_dead_come_back(store: MapStore) -> None:
    for name in (B, "dead", "late"):
        claim(store, 1, name)
    works_on(store, B, store.keys.id)
    works_on(store, "late", store.keys.id)
    assert store.release_orphans() == 1
    assert held(store, B) == {"0:3": 0}
    assert held(store, "late") == {"6:3": 0}, "who is dead, and still holds it, is somebody else's to recover"
    assert pending(store) == ["3:3 0 3:3", "9:1"]
    consistent(store)


def test_the_claims_of_who_has_let_go_come_back(store: MapStore) -> None:
    """A service that lives, and whose request for more came late: it does not work on this map any more."""
    claim(store, 1, B)
    info = services.ServiceInfo(B, "host", 1, 1, ("default",), "3", 0.0)
    services.renew(store.scripts, info, 3600)
    works_on(store, B, "another")
    assert store.release_orphans() == 1
    assert held(store, B) == {}


def test_what_is_said_at_the_end_of_a_map_and_comes_late_does_not_end_its_retry(store: MapStore) -> None:
    for one in claim(store, 4):
        commit(store, one, failing=[one.range.start])
    store.close(whole=True)
    assert store.info().state == "closed"
    store.open(B)
    store.close(whole=True)
    store.expire(100)
    assert store.info().state == "open"
    assert {store.connection.ttl(key) for key in store.keys.all} <= {-1, -2}


def test_a_map_that_is_being_written_is_not_opened(any_queue: Queue) -> None:
    draft = Draft("mine", any_queue.connection)
    draft.begin(b"f", {"name": "a"})
    assert MapStore("mine", any_queue.connection).open(A) is None
    assert MapStore("mine", any_queue.connection).info().state == "writing"


@pytest.mark.parametrize("status", ["canceled", "stopped"])
def test_a_map_that_was_cancelled_in_this_moment_stays_closed(store: MapStore, status: str) -> None:
    claim(store)
    store.close("cancelled")
    store.connection.hset(f"rq:job:{store.keys.id}", "status", status)
    before = everything(store)
    info = store.open(B)
    assert info is not None
    assert info.state == "closed"
    assert everything(store) == before


def test_who_has_had_it_closed_does_not_open_it_again(store: MapStore) -> None:
    """What it had said is heard twice: its failed item would run once more, while the end is put on record."""
    works_on(store, A, store.keys.id)
    first, retry = f"{store.keys.id}:e1", f"{store.keys.id}:e2"
    store.open(A, first)
    for one in claim(store, 4):
        commit(store, one, failing=[one.range.start])
    store.close(whole=True)
    before = everything(store)
    echo = store.open(A, first)
    assert echo is not None
    assert echo.state == "closed"
    assert everything(store) == before
    store.connection.hset(keys.held(A), retry, "begun default")
    again = store.open(A, retry)
    assert again is not None
    assert (again.state, again.failed) == ("open", 0)


def test_open_takes_off_all_time_limits(store: MapStore) -> None:
    """A map that is run again must not lose the results it has because of the time limit of its first end."""
    first, second, third = claim(store, 3)
    commit(store, first, failing=[1])
    commit(store, second, failing=[4])
    halve(store, third, 1)
    store.close()
    store.expire(60)
    store.open(A)
    ttls = {key: store.connection.ttl(key) for key in store.keys.all if store.connection.exists(key)}
    assert ttls == dict.fromkeys(ttls, -1)
    assert {store.keys.results, store.keys.function, store.keys.uses, store.keys.again} <= set(ttls)


def test_the_first_start_is_kept(store: MapStore) -> None:
    started = store.info().started
    assert 0 < started <= time.time() + 1
    store.close()
    store.open(B)
    assert store.info().started == started


# -- open, in bounded steps ----------------------------------------------------------------------------


def test_a_small_map_is_opened_at_once(store: MapStore, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(store, claim(store, 3)[0], failing=[0])
    store.close()
    assert len(_steps(store, monkeypatch)) == 1


@pytest.mark.parametrize("queue", ["fake_queue", "real_queue"])
def test_much_is_opened_again_in_bounded_steps(
    queue: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No script may keep everybody waiting, however much was claimed, pending, or failed in two tries."""
    each = 25_000 if queue == "real_queue" else 2500
    store = request.getfixturevalue(queue).map(abs, range(4 * each), chunksize=4 * each).store
    _scatter(store, each)
    consistent(store)
    store.close()
    claimed = store.connection.hlen(store.keys.claims)
    assert STEP - 20 <= each - claimed <= STEP + SLACK, "of what is claimed, closing it moves a part, too"
    consistent(store)
    moved = _steps(store, monkeypatch)
    assert sum(moved) == claimed + each
    assert max(moved) <= STEP + SLACK
    assert [count for count in moved[:-1] if count < STEP - 20] == [], "and none is for nothing"
    k = store.keys
    assert not store.connection.exists(k.claims, k.failed, k.errors, k.groups)
    assert (store.connection.llen(k.pending), store.connection.llen(k.again)) == (2 * each, 2 * each)
    consistent(store)


def _scatter(store: MapStore, each: int) -> None:
    """Of a map that is one chunk: so many items pending, claimed, failed before, failed since, each a range."""
    k = store.keys
    ranges = [f"{index}:1" for index in range(4 * each)]
    entry = [f"{one} 0 0:{4 * each}" for one in ranges]
    with store.connection.pipeline(transaction=False) as pipe:
        pipe.delete(k.pending)
        pipe.hset(k.uses, f"0:{4 * each}", 4 * each)
        for at in range(0, each, 5000):
            stop = min(at + 5000, each)
            pipe.rpush(k.pending, *entry[at:stop])
            pipe.hset(k.claims, mapping=dict.fromkeys(ranges[each + at : each + stop], f"t 1 0:{4 * each} {A}"))
            pipe.rpush(k.again, *entry[2 * each + at : 2 * each + stop])
            pipe.rpush(k.failed, *entry[3 * each + at : 3 * each + stop])
            failed = range(3 * each + at, 3 * each + stop)
            pipe.hset(k.errors, mapping={n: b'{"index": %d, "type": "E", "message": ""}' % n for n in failed})
        pipe.hset(k.hash, mapping={"failed": each, "first": 3 * each})
        pipe.hset(k.groups, "x", f"{each} {3 * each}")
        pipe.execute()


def _steps(store: MapStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Open the map; returns how much each call of the script has moved."""
    run, k, moved = store.scripts.open, store.keys, []

    def left() -> int:
        return int(store.connection.hlen(k.claims) + store.connection.llen(k.failed))

    def spy(*args: Any) -> Any:
        before = left()
        reply = run(*args)
        moved.append(before - left())
        assert len(moved) < 10_000, "it does not come to an end"
        return reply

    monkeypatch.setattr(store.scripts, "open", spy)
    assert store.open(B) is not None
    return moved


# -- incarnations --------------------------------------------------------------------------------------


def replaced(queue: Queue) -> tuple[MapStore, MapStore]:
    """A map that was cancelled, as a worker still has it, and the one which has taken its place."""
    old = queue.map(jobs.square, range(6), chunksize=3, job_id="mine")
    old.store.open(A)
    was = MapStore("mine", queue.connection, incarnation=old.incarnation)
    old.cancel()
    new = queue.map(jobs.square, range(6), chunksize=3, job_id="mine")
    assert new.incarnation != old.incarnation
    new.store.open(B)
    return was, new.store


def test_a_replaced_map_is_gone(any_queue: Queue) -> None:
    was, new = replaced(any_queue)
    before = everything(new)
    assert was.read_claims(was.claim(A, 9), A) == ClaimReply("", 0, [])
    assert was.open(A) is None
    was.close("cancelled", kill=True)
    was.expire(0)
    was.expire(10)
    was.tell_end(delete=True)
    assert everything(new) == before
    assert {any_queue.connection.ttl(key) for key in new.keys.all if any_queue.connection.exists(key)} == {-1}
    assert new.connection.zscore(keys.MAPS, "mine") is not None
    with pytest.raises(ReplacedError):
        was.info()


HELD: dict[str, Callable[[MapStore, Any], Any]] = {
    "commit": lambda was, one: put(was, one, outcome(was, one)).committed,
    "release": give_back,
    "give": lambda was, one: was.give(one),
    "split": lambda was, one: halve(was, one, 1),
}


@pytest.mark.parametrize("act", HELD.values(), ids=HELD)
def test_a_claim_of_a_replaced_map_is_worth_nothing(any_queue: Queue, act: Callable[[MapStore, Any], Any]) -> None:
    """Even if the new one had the same claim, to the last byte."""
    was, new = replaced(any_queue)
    (claimed,) = claim(new, 1, A)
    before = everything(new)
    assert not act(was, claimed)
    assert everything(new) == before
    assert commit(new, claimed).committed
    consistent(new)


def test_a_store_means_the_incarnation_that_it_saw_first(any_queue: Queue) -> None:
    any_queue.map(jobs.square, range(6), job_id="mine")
    seen = MapStore("mine", any_queue.connection)
    seen.open(A)
    any_queue.fetch_job("mine").cancel()
    any_queue.map(jobs.square, range(6), job_id="mine")
    assert seen.open(A) is None
    assert MapStore("mine", any_queue.connection).open(A) is not None


def test_begin_reserves_an_id_once(any_queue: Queue) -> None:
    draft = Draft("mine", any_queue.connection)
    assert draft.begin(b"f", {"name": "a"})
    assert draft.begin(b"f", {"name": "a"}), "said again, since no reply was heard"
    assert not Draft("mine", any_queue.connection).begin(b"g", {"name": "b"})
    store = MapStore("mine", any_queue.connection)
    assert (store.info().name, store.info().state, store.function()) == ("a", "writing", b"f")
    assert 0 < any_queue.connection.ttl(store.keys.hash) <= keys.WRITING_TTL
    assert 0 < any_queue.connection.ttl(store.keys.function) <= keys.WRITING_TTL


# -- expire --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ttl", "left"), [(100, 100), (-1, -1), (0, -2)])
def test_expire(store: MapStore, ttl: int, left: int) -> None:
    first, second = claim(store, 2)
    commit(store, first, failing=[1])
    halve(store, second, 1)
    store.close()
    there = [key for key in store.keys.all if store.connection.exists(key)]
    store.expire(50)
    store.expire(ttl)
    assert {store.connection.ttl(key) for key in there} <= {left, left - 1 if left > 0 else left}
    assert (store.connection.zscore(keys.MAPS, store.keys.id) is None) == (ttl == 0)


def test_what_is_left_of_a_map_without_its_hash_can_be_removed(store: MapStore) -> None:
    store.connection.delete(store.keys.hash)
    store.expire(0)
    assert not any(store.connection.exists(key) for key in store.keys.all)
