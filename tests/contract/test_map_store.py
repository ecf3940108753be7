"""Claim, commit, release: what holds of them on every server. See also test_map_bodies.py, test_map_open.py."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from taskq import DamagedError, Queue
from taskq.maps import control
from taskq.maps.claim import Claim, ClaimReply
from taskq.maps.store import MapStore
from taskq.payload import codec
from taskq.payload.outcome import ChunkOutcome, ItemFailure, Totals
from taskq.payload.ranges import Range
from taskq.redis import keys
from taskq.views.timeline import TimelineNote
from tests import jobs
from tests.contract.by_hand import (
    NOTE,
    A,
    B,
    claim,
    commit,
    consistent,
    everything,
    failures_of,
    give_back,
    held,
    items_of,
    names,
    outcome,
    pending,
    placed,
    put,
    results,
)
from tests.waiting import HANGS


@pytest.fixture
def store(any_queue: Queue) -> MapStore:
    """An open map of ten items in chunks of 3, 3, 3, 1."""
    store = any_queue.map(jobs.square, range(10), chunksize=3).store
    assert store.open(A) is not None
    return store


# -- claim -----------------------------------------------------------------------------------------


def test_claims_come_in_order(store: MapStore) -> None:
    reply = store.read_claims(store.claim(A, 2), A)
    assert (reply.state, reply.pending) == ("open", 2)
    assert names(reply.claims) == ["0:3", "3:3"]
    assert items_of(store, reply.claims[1]) == [3, 4, 5]
    assert held(store, A) == {"0:3": 0, "3:3": 0}
    assert pending(store) == ["6:3", "9:1"]
    consistent(store)


def test_a_range_is_claimed_once(store: MapStore) -> None:
    first, second = claim(store, 3), claim(store, 3, B)
    assert names(first) + names(second) == ["0:3", "3:3", "6:3", "9:1"]
    assert store.read_claims(store.claim(B, 3), B) == ClaimReply("open", 0, [])
    consistent(store)


def test_each_claim_has_a_token_of_its_own(store: MapStore) -> None:
    tokens = [one.token for one in claim(store, 2)]
    store.release_all(A)
    tokens += [one.token for one in claim(store, 4)]
    assert len(set(tokens)) == 6


@pytest.mark.parametrize("state", ["closed", "writing"])
def test_nothing_is_claimed_unless_the_map_is_open(store: MapStore, state: str) -> None:
    store.connection.hset(store.keys.hash, "state", state)
    assert store.read_claims(store.claim(A, 1), A) == ClaimReply(state, 0, [])
    assert len(pending(store)) == 4


def test_a_reason_that_cant_be_encoded(store: MapStore) -> None:
    store.close("half \ud800 of a pair")
    assert store.info().reason == "half ? of a pair"


def test_no_end_is_put_on_what_was_not_announced(store: MapStore) -> None:
    """The server has come back as it was while the map was written; its owner does not know yet."""
    connection, hash_key = store.connection, store.keys.hash
    connection.hset(hash_key, "state", "writing")
    connection.expire(hash_key, 100)
    store.close("why")
    store.expire(1000)
    assert connection.hmget(hash_key, "state", "reason") == [b"writing", None]
    assert 0 < connection.ttl(hash_key) <= 100
    store.expire(0)
    assert not connection.exists(hash_key)


def test_a_map_that_is_gone(any_queue: Queue) -> None:
    store = MapStore("gone", any_queue.connection)
    assert store.read_claims(store.claim(A, 1), A) == ClaimReply("", 0, [])
    assert store.open(A) is None
    store.close("why")
    assert store.release_all(A) == 0
    assert give_back(store, Claim(Range(0, 3), "t", 0, Range(0, 3), A)) == 0
    assert any_queue.connection.keys("*") == []


def test_a_range_whose_items_are_gone_is_not_claimed(store: MapStore) -> None:
    store.connection.hdel(store.keys.bodies, "3:3")
    with pytest.raises(DamagedError, match="the items 3 to 5 are gone"):
        claim(store, 4)
    assert pending(store) == ["3:3", "6:3", "9:1"], "it stays where it was, and so do those behind it"
    assert held(store, A) == {"0:3": 0}


@pytest.mark.parametrize("entry", ["", "what is this", "3:-1 0 0:3", "x:y"])
def test_an_entry_that_is_no_range_is_not_claimed(store: MapStore, entry: str) -> None:
    store.connection.lpush(store.keys.pending, entry)
    with pytest.raises(DamagedError):
        claim(store)
    assert held(store, A) == {}


# -- commit ----------------------------------------------------------------------------------------


def test_a_commit_stores_results_and_counts(store: MapStore) -> None:
    (claimed,) = claim(store)
    assert commit(store, claimed) == Totals(True, 3, 0, 10, 3)
    assert results(store) == [0, 1, 2]
    assert held(store, A) == {}
    consistent(store)


def test_nothing_is_left_but_results(store: MapStore) -> None:
    sizes = []
    for claimed in claim(store, 4):
        commit(store, claimed)
        sizes.append(store.connection.hlen(store.keys.bodies))
    assert sizes == [3, 2, 1, 0]
    assert store.info().complete
    k = store.keys
    assert not store.connection.exists(
        k.bodies, k.uses, k.pending, k.again, k.claims, k.failed, k.errors, k.groups
    )
    consistent(store)


def test_a_second_commit_with_the_same_token_stores_nothing(store: MapStore) -> None:
    (claimed,) = claim(store)
    commit(store, claimed, failing=[1])
    before = everything(store)
    assert commit(store, claimed, failing=[1]) == Totals(False)
    assert commit(store, claimed) == Totals(False)
    assert everything(store) == before


def test_a_commit_after_close_stores_nothing(store: MapStore) -> None:
    (claimed,) = claim(store)
    store.close()
    before = everything(store)
    assert not commit(store, claimed).committed
    assert everything(store) == before
    consistent(store)


def test_a_commit_after_close_and_open_stores_nothing(store: MapStore) -> None:
    (claimed,) = claim(store)
    store.close()
    store.open(A)
    before = everything(store)
    assert not commit(store, claimed).committed
    assert everything(store) == before
    assert "0:3" in names(claim(store, 4))
    assert not commit(store, claimed).committed
    consistent(store)


@pytest.mark.parametrize("change", [{"worker": B}, {"token": "x"}, {"deaths": 1}, {"range": Range(0, 2)}], ids=str)
def test_a_commit_of_another_claim_stores_nothing(store: MapStore, change: dict[str, Any]) -> None:
    """It is exactly this claim that has the right to commit, in every part of it."""
    (claimed,) = claim(store)
    what, before = outcome(store, claimed), everything(store)
    assert not put(store, replace(claimed, **change), what).committed
    assert everything(store) == before
    assert put(store, claimed, what).committed


def test_a_commit_of_a_claim_that_was_lost_stores_nothing(store: MapStore) -> None:
    (claimed,) = claim(store)
    store.release_all(A)
    (again,) = claim(store, 1, B)
    assert again.range == claimed.range
    assert not commit(store, claimed).committed
    assert commit(store, again).committed
    consistent(store)


@pytest.mark.parametrize("deaths", [0, 1])
def test_a_commit_of_an_earlier_claim_by_the_same_worker_stores_nothing(store: MapStore, deaths: int) -> None:
    """The same worker holds the same range again: what the earlier run gave must not count."""
    (claimed,) = claim(store)
    give_back(store, claimed, deaths=deaths)
    (again,) = claim(store)
    assert (again.range, again.deaths) == (claimed.range, deaths)
    before = everything(store)
    assert not commit(store, claimed).committed
    assert everything(store) == before
    assert commit(store, again).committed
    consistent(store)


def test_a_commit_after_the_map_was_deleted_stores_nothing(store: MapStore) -> None:
    (claimed,) = claim(store)
    store.expire(0)
    assert not commit(store, claimed).committed
    assert not any(store.connection.exists(key) for key in store.keys.all)


def test_a_commit_of_a_server_that_came_back_as_it_was_before_the_claim(store: MapStore) -> None:
    k = store.keys
    old = {key: store.connection.dump(key) for key in k.all if store.connection.exists(key)}
    (claimed,) = claim(store)
    store.connection.delete(*k.all)
    for key, dump in old.items():
        store.connection.restore(key, 0, dump)
    (again,) = claim(store)
    assert again.range == claimed.range
    assert not commit(store, claimed).committed
    assert commit(store, again).committed
    consistent(store)


ONE = codec.dumps(1)
OUTSIDE: dict[str, ChunkOutcome] = {
    "a span behind the range": ChunkOutcome([ONE], [(6, 1)], [], 1.0, 0.5),
    "a span before the range": ChunkOutcome([ONE], [(2, 1)], [], 1.0, 0.5),
    "a span that reaches out of it": ChunkOutcome([ONE] * 4, [(3, 4)], [], 1.0, 0.5),
    "an item twice": ChunkOutcome([ONE] * 3, [(3, 2), (4, 1)], [], 1.0, 0.5),
    "spans out of order": ChunkOutcome([ONE] * 2, [(4, 1), (3, 1)], [], 1.0, 0.5),
    "more results than spans": ChunkOutcome([ONE] * 3, [(3, 2)], [], 1.0, 0.5),
    "fewer results than spans": ChunkOutcome([ONE], [(3, 2)], [], 1.0, 0.5),
    "a failure behind the range": ChunkOutcome([], [], [ItemFailure(6, "E", "")], 1.0, 0.5),
    "a failure before the range": ChunkOutcome([], [], [ItemFailure(2, "E", "")], 1.0, 0.5),
    "a failure twice": ChunkOutcome([], [], [ItemFailure(3, "E", ""), ItemFailure(3, "E", "")], 1.0, 0.5),
}


@pytest.mark.parametrize("what", OUTSIDE.values(), ids=OUTSIDE)
def test_what_does_not_lie_in_the_range_is_refused(store: MapStore, what: ChunkOutcome) -> None:
    claimed = claim(store, 2)[1]
    before = everything(store)
    with pytest.raises(DamagedError, match="does not fit"):
        put(store, claimed, what)
    assert everything(store) == before
    assert commit(store, claimed).committed
    consistent(store)


def test_failures_are_recorded_and_their_items_kept(store: MapStore) -> None:
    claimed = claim(store, 2)[1]
    assert commit(store, claimed, failing=[4]) == Totals(True, 2, 1, 10, 2)
    assert results(store) == [3, 5]
    assert failures_of(store) == {4: ItemFailure(4, "ValueError", "x")}
    consistent(store)


def test_a_chunk_of_failures_only(store: MapStore) -> None:
    (claimed,) = claim(store)
    assert commit(store, claimed, failing=[0, 1, 2]) == Totals(True, 0, 3, 10, 3)
    assert results(store) == []
    assert list(failures_of(store)) == [0, 1, 2]
    consistent(store)


def test_failures_come_in_the_order_of_the_items(store: MapStore) -> None:
    for claimed in reversed(claim(store, 4)):
        commit(store, claimed, failing=range(10))
    assert list(failures_of(store)) == list(range(10))
    consistent(store)


def test_spans_follow_the_order_of_completion(store: MapStore) -> None:
    for claimed in reversed(claim(store, 4)):
        commit(store, claimed)
    assert results(store) == placed(store) == [9, 6, 7, 8, 3, 4, 5, 0, 1, 2]


@pytest.mark.parametrize(("count", "failed"), [(8100, 0), (4100, 4100)], ids=["results", "failures"])
def test_a_chunk_of_more_values_than_lua_can_unpack(any_queue: Queue, count: int, failed: int) -> None:
    store = any_queue.map(abs, range(count), chunksize=count).store
    store.open(A)
    (claimed,) = claim(store)
    assert commit(store, claimed, failing=range(failed)) == Totals(True, count - failed, failed, count)
    assert len(failures_of(store)) == failed
    consistent(store)


def test_results_may_be_any_bytes(any_queue: Queue) -> None:
    store = any_queue.map(abs, range(3), chunksize=3).store
    store.open(A)
    (claimed,) = claim(store)
    values: list[bytes | memoryview] = [b"", b"\0\n\r\n", bytes(range(256))]
    put(store, claimed, ChunkOutcome(values, [(0, 3)], [], 1.0, 0.5))
    assert list(store.results.read()) == values


def test_the_timeline_has_one_entry_for_each_commit(store: MapStore) -> None:
    for claimed in claim(store, 2):
        commit(store, claimed, failing=[1])
    entries = [entry for _id, entry in store.connection.xrange(keys.TIMELINE)]
    assert [entry[b"chunk"] for entry in entries] == [b"0:3", b"3:3"]
    first = {name.decode(): value.decode() for name, value in entries[0].items()}
    assert first == {
        "job": store.keys.id, "chunk": "0:3", "start": "1.000000", "end": "1.500000", "host": "host", "worker": A,
        "lane": "3", "pid": "17", "items": "3", "failed": "1", "deaths": "0", "outcome": "ok",
    }  # fmt: skip


def test_a_death_is_noted_in_the_timeline(store: MapStore) -> None:
    (claimed,) = claim(store)
    before = everything(store)
    with store.connection.pipeline() as pipe:
        store.note_death(claimed, TimelineNote("host", A, 17, 3, "killed"), 1.0, 0.5, pipe)
        pipe.execute()
    [(_id, entry)] = store.connection.xrange(keys.TIMELINE)
    assert (entry[b"chunk"], entry[b"outcome"], entry[b"items"]) == (b"0:3", b"killed", b"0")
    assert {**everything(store), keys.TIMELINE: None} == before


def test_a_commit_is_announced(store: MapStore) -> None:
    pubsub = store.connection.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(store.keys.events)
    pubsub.get_message(timeout=HANGS)
    commit(store, claim(store)[0])
    message = pubsub.get_message(timeout=HANGS)
    pubsub.close()
    assert message is not None
    assert message["data"] == b"progress"


def test_the_owner_is_told_of_the_last_commit(store: MapStore) -> None:
    pubsub = store.connection.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(f"rq:pubsub:{A}")
    pubsub.get_message(timeout=HANGS)
    for claimed in claim(store, 4, B):
        assert pubsub.get_message(timeout=0) is None
        commit(store, claimed)
    message = pubsub.get_message(timeout=HANGS)
    pubsub.close()
    assert message is not None
    assert json.loads(message["data"]) == {"command": "taskq-complete", "map": store.keys.id}


def test_an_owner_who_commits_the_last_chunk_is_told_nothing(store: MapStore) -> None:
    """Whoever owns very many maps would hear as many messages."""
    pubsub = store.connection.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(f"rq:pubsub:{A}")
    pubsub.get_message(timeout=HANGS)
    for claimed in claim(store, 4, A):
        commit(store, claimed)
    assert store.info().complete
    store.connection.publish(f"rq:pubsub:{A}", "the first one")
    message = pubsub.get_message(timeout=HANGS)
    pubsub.close()
    assert message is not None
    assert message["data"] == b"the first one"


@pytest.mark.parametrize("owner", ["100%", "a%sb", "%1", "host-ü", "a b  c"])
def test_workers_may_have_any_name(any_queue: Queue, owner: str) -> None:
    store = any_queue.map(abs, range(1)).store
    store.open(owner)
    pubsub = store.connection.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(f"rq:pubsub:{owner}")
    pubsub.get_message(timeout=HANGS)
    claim(store, 1, owner)
    assert [one.worker for one in store.claims()] == [owner]
    assert store.release_all(owner) == 1
    assert commit(store, claim(store, 1, B)[0]).committed
    message = pubsub.get_message(timeout=HANGS)
    pubsub.close()
    assert message is not None


def test_commits_in_a_pipeline(store: MapStore) -> None:
    store.scripts.load()
    claims = claim(store, 2)
    with store.connection.pipeline(transaction=False) as pipe:
        for claimed in claims:
            store.commit(claimed, outcome(store, claimed), NOTE, pipe)
        store.claim(A, 1, pipe)
        first, second, reply = pipe.execute()
    assert store.read_commit(first) == Totals(True, 3, 0, 10, 2)
    assert store.read_commit(second) == Totals(True, 6, 0, 10, 2)
    assert names(store.read_claims(reply, A).claims) == ["6:3"]


# -- release ---------------------------------------------------------------------------------------


def test_released_ranges_go_to_the_front(store: MapStore) -> None:
    claims = claim(store, 3)
    assert give_back(store, claims[1], deaths=1) == 1
    assert held(store, A) == {"0:3": 0, "6:3": 0}
    assert pending(store)[0] == "3:3 1 3:3"
    consistent(store)


def test_release_all(store: MapStore) -> None:
    claim(store, 2)
    claim(store, 1, B)
    assert store.release_all(A) == 2
    assert held(store, A) == {}
    assert held(store, B) == {"6:3": 0}
    assert sorted(pending(store)) == ["0:3 0 0:3", "3:3 0 3:3", "9:1"]
    consistent(store)


def test_only_who_holds_a_range_can_release_it(store: MapStore) -> None:
    (mine,) = claim(store, 1, A)
    assert give_back(store, mine) == 1
    (theirs,) = claim(store, 1, B)
    before = everything(store)
    assert give_back(store, mine) == 0
    assert store.release_all(A) == 0
    assert everything(store) == before
    assert commit(store, theirs).committed


def test_an_earlier_claim_of_the_same_worker_releases_nothing(store: MapStore) -> None:
    """A release that arrives late must not give back what its worker holds since."""
    (first,) = claim(store)
    give_back(store, first)
    (second,) = claim(store)
    assert give_back(store, first, deaths=1) == 0
    assert commit(store, second).committed
    consistent(store)


def test_deaths_are_kept(store: MapStore) -> None:
    give_back(store, *claim(store), deaths=2)
    (again,) = claim(store)
    assert (str(again.range), again.deaths) == ("0:3", 2)
    store.release_all(A)
    assert claim(store)[0].deaths == 2


def test_a_range_that_is_released_after_close_is_there_once(store: MapStore) -> None:
    (claimed,) = claim(store)
    store.close()
    assert give_back(store, claimed, deaths=1) == 0  # close has made it pending
    consistent(store)
    store.open(A)
    assert (names(claim(store, 9)), held(store, A)["0:3"]) == (["0:3", "3:3", "6:3", "9:1"], 0)
    consistent(store)


def test_claims_that_no_worker_wrote_become_pending(store: MapStore) -> None:
    claim(store)
    store.connection.hset(store.keys.claims, "0:3", "something")
    assert store.held_by(A) == []
    store.release_orphans()
    assert names(claim(store)) == ["0:3"]
    consistent(store)


# -- what comes after the end ----------------------------------------------------------------------


def limits(store: MapStore) -> dict[str, int]:
    """Seconds that each key lives that there is."""
    return {key: store.connection.ttl(key) for key in store.keys.all if store.connection.exists(key)}


@pytest.mark.parametrize("late", ["release", "split", "close", "trace"])
def test_what_comes_after_the_end_leaves_nothing_for_ever(
    store: MapStore, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    """The map was closed and expires; what was claimed is given back only now, into keys that were empty."""
    claims = claim(store, 4)
    assert pending(store) == []
    monkeypatch.setattr(control, "_STEP", 0)  # as if more were claimed than one call moves
    store.close()
    store.expire(60)
    monkeypatch.undo()
    if late == "release":
        assert give_back(store, *claims) == 4
    elif late == "split":
        assert store.divide(claims[0], [(Range(0, 1), 1), (Range(1, 2), 1)])
    elif late == "close":
        store.close()
        assert len(pending(store)) == 4
    else:
        store.note_traces({"0:3": "{}"})
        assert store.connection.hlen(store.keys.deaths) == 1
    assert all(0 < seconds <= 60 for seconds in limits(store).values()), limits(store)


def test_nothing_is_noted_of_a_map_that_is_gone(store: MapStore) -> None:
    store.expire(0)
    store.note_traces({"0:3": "{}"})
    assert limits(store) == {}


def test_a_map_that_is_opened_again_has_no_limit(store: MapStore) -> None:
    """It may run for longer than its results would have been kept."""
    give_back(store, *claim(store, 2))
    (first, second) = claim(store, 2)
    commit(store, first, failing=[1])
    store.note_traces({str(second.range): "{}"})
    store.close()
    store.expire(60)
    assert store.open(B) is not None
    assert set(limits(store).values()) == {-1}, limits(store)
