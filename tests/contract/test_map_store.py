"""Claim, commit, release, split, close, open: what holds of them on every server."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest

from taskq import Queue
from taskq.maps.chunk import Header, read_header, read_items
from taskq.maps.store import Claim, ClaimReply, MapStore
from taskq.payload import codec
from taskq.payload.outcome import ChunkOutcome, ItemFailure, Totals
from taskq.redis import keys, services
from taskq.views.timeline import TimelineNote
from tests import jobs

NOTE = TimelineNote("host", "worker-a", 17, 3)
A, B = "worker-a", "worker-b"


@pytest.fixture
def store(any_queue: Queue) -> MapStore:
    """An open map of ten items in chunks of 3, 3, 3, 1."""
    store = any_queue.map(jobs.square, range(10), chunksize=3).store
    assert store.open(A) is not None
    return store


def lease(store: MapStore, name: str, seconds: float) -> None:
    info = services.ServiceInfo(name, "host", 1, 1, ("default",), "3", 0.0)
    with store.connection.pipeline() as pipe:
        services.renew(pipe, info, seconds)
        pipe.execute()


def claim(store: MapStore, count: int = 1, worker: str = A) -> list[Claim]:
    return store.read_claims(store.claim(worker, count)).claims


def outcome(claimed: Claim, failing: Iterable[int] = ()) -> ChunkOutcome:
    """What running the chunk gives: each item itself, and failures for some indices."""
    header, bad = read_header(claimed.payload), set(failing)
    indices = [header.start + offset for offset in header.offsets]
    good = [index for index in indices if index not in bad]
    failures = [ItemFailure(index, "ValueError", "x") for index in indices if index in bad]
    return ChunkOutcome([codec.dumps(index) for index in good], [(index, 1) for index in good], failures, 1.0, 0.5)


def commit(store: MapStore, claimed: Claim, failing: Iterable[int] = (), worker: str = A) -> Totals:
    return store.read_commit(store.commit(worker, claimed, outcome(claimed, failing), NOTE))


def everything(store: MapStore) -> dict[str, Any]:
    """All that is stored of the map, and the timeline."""
    names = (*store.keys.all, keys.TIMELINE)
    return {name: store.connection.dump(name) for name in names}


def pending(store: MapStore) -> list[bytes]:
    return list(store.connection.lrange(store.keys.pending, 0, -1))


def results(store: MapStore) -> list[Any]:
    return [codec.loads(data) for data in store.results.read()]


def numbers(claims: Iterable[Claim]) -> list[int]:
    return [one.number for one in claims]


def placed(store: MapStore) -> list[int]:
    return [index for start, count in store.spans() for index in range(start, start + count)]


def consistent(store: MapStore) -> None:
    """The counters agree with the lists, and each chunk is in exactly one place (I3)."""
    info = store.info()
    assert info.done == len(results(store)) == len(placed(store))
    assert info.failed == len(store.failures())
    assert results(store) == placed(store)
    assert len(set(placed(store))) == len(placed(store))
    waiting = [int(entry.partition(b":")[0]) for entry in pending(store)]
    held = [int(number) for number in store.connection.hkeys(store.keys.claims)]
    assert len(set(waiting) | set(held)) == len(waiting) + len(held)


# -- claim -----------------------------------------------------------------------------------------


def test_claims_come_in_order(store: MapStore) -> None:
    reply = store.read_claims(store.claim(A, 2))
    assert (reply.state, reply.pending) == ("open", 2)
    assert numbers(reply.claims) == [0, 1]
    assert list(read_items(store.keys.id, reply.claims[1].payload)) == [3, 4, 5]
    assert store.held_by(A) == {0: 0, 1: 0}
    assert pending(store) == [b"2", b"3"]
    consistent(store)


def test_a_chunk_is_claimed_once(store: MapStore) -> None:
    first, second = claim(store, 3), claim(store, 3, B)
    assert numbers(first) + numbers(second) == [0, 1, 2, 3]
    assert store.read_claims(store.claim(B, 3)) == ClaimReply("open", 0, [])


@pytest.mark.parametrize("state", ["closed", "writing"])
def test_nothing_is_claimed_unless_the_map_is_open(store: MapStore, state: str) -> None:
    store.connection.hset(store.keys.hash, "state", state)
    assert store.read_claims(store.claim(A, 1)) == ClaimReply(state, 0, [])
    assert len(pending(store)) == 4


def test_a_map_that_is_gone(any_queue: Queue) -> None:
    store = MapStore("gone", any_queue.connection)
    assert store.read_claims(store.claim(A, 1)) == ClaimReply("", 0, [])
    assert store.open(A) is None
    store.close("why")
    assert store.release(A) == 0
    assert any_queue.connection.keys("*") == []


# -- commit ----------------------------------------------------------------------------------------


def test_a_commit_stores_results_and_counts(store: MapStore) -> None:
    (claimed,) = claim(store)
    assert commit(store, claimed) == Totals(True, 3, 0, 10, 3)
    assert results(store) == [0, 1, 2]
    assert store.held_by(A) == {}
    consistent(store)


def test_the_chunks_shrink(store: MapStore) -> None:
    sizes = []
    for claimed in claim(store, 4):
        commit(store, claimed)
        sizes.append(store.connection.hlen(store.keys.chunks))
    assert sizes == [3, 2, 1, 0]
    assert store.info().complete
    assert not store.connection.exists(store.keys.chunks, store.keys.pending, store.keys.claims)


def test_a_second_commit_stores_nothing(store: MapStore) -> None:
    (claimed,) = claim(store)
    commit(store, claimed)
    before = everything(store)
    assert commit(store, claimed) == Totals(False)
    assert everything(store) == before


def test_a_commit_after_close_stores_nothing(store: MapStore) -> None:
    (claimed,) = claim(store)
    store.close()
    before = everything(store)
    assert not commit(store, claimed).committed
    assert everything(store) == before


def test_a_commit_by_another_worker_stores_nothing(store: MapStore) -> None:
    (claimed,) = claim(store)
    before = everything(store)
    assert not commit(store, claimed, worker=B).committed
    assert everything(store) == before
    assert commit(store, claimed).committed


def test_a_commit_without_a_claim_stores_nothing(store: MapStore) -> None:
    payload = store.connection.hget(store.keys.chunks, "0")
    before = everything(store)
    assert not commit(store, Claim(0, 0, payload)).committed
    assert everything(store) == before


def test_a_commit_of_a_claim_that_was_lost_stores_nothing(store: MapStore) -> None:
    (claimed,) = claim(store)
    store.release(A)
    (again,) = claim(store, 1, B)
    assert again.number == claimed.number
    assert not commit(store, claimed).committed
    assert commit(store, again, worker=B).committed
    consistent(store)


def test_a_commit_of_an_earlier_run_by_the_same_worker_stores_nothing(store: MapStore) -> None:
    """A chunk that killed a process and runs again here: the dead run's outcome must not count."""
    (claimed,) = claim(store)
    store.release(A, {claimed.number: 1})
    (again,) = claim(store)
    assert (again.number, again.deaths) == (claimed.number, 1)
    assert not commit(store, claimed).committed
    assert commit(store, again).committed


def test_a_commit_after_the_map_was_deleted_stores_nothing(store: MapStore) -> None:
    (claimed,) = claim(store)
    store.expire(0)
    assert not commit(store, claimed).committed
    assert not any(store.connection.exists(key) for key in store.keys.all)


def test_failures_are_recorded_and_their_items_kept(store: MapStore) -> None:
    claimed = claim(store, 2)[1]
    assert commit(store, claimed, failing=[4]) == Totals(True, 2, 1, 10, 2)
    assert results(store) == [3, 5]
    assert store.failures() == {4: ItemFailure(4, "ValueError", "x")}
    assert not store.connection.hexists(store.keys.chunks, "1"), "a number means the same items for ever"
    kept = store.connection.hget(store.keys.chunks, "4")
    assert read_header(kept) == Header(3, 3, (1,))
    assert list(read_items(store.keys.id, kept)) == [3, 4, 5]
    consistent(store)


def test_a_chunk_of_failures_only(store: MapStore) -> None:
    (claimed,) = claim(store)
    assert commit(store, claimed, failing=[0, 1, 2]) == Totals(True, 0, 3, 10, 3)
    assert results(store) == []
    assert list(store.failures()) == [0, 1, 2]
    consistent(store)


def test_failures_come_in_the_order_of_the_items(store: MapStore) -> None:
    for claimed in reversed(claim(store, 4)):
        commit(store, claimed, failing=range(10))
    assert list(store.failures()) == list(range(10))


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
    assert len(store.failures()) == failed
    consistent(store)


def test_results_may_be_any_bytes(any_queue: Queue) -> None:
    store = any_queue.map(abs, range(1)).store
    store.open(A)
    (claimed,) = claim(store)
    values = [b"", b"\0\n\r\n", bytes(range(256))]
    store.commit(A, claimed, ChunkOutcome(values, [(0, 3)], [], 1.0, 0.5), NOTE)
    assert list(store.results.read()) == values


def test_payloads_may_hold_anything(any_queue: Queue) -> None:
    """A commit keeps the pickle of a chunk byte for byte while it rewrites the header."""
    items = [bytes(range(256)) * 10, b"\n" * 100, 3]
    store = any_queue.map(abs, items, chunksize=3).store
    store.open(A)
    (claimed,) = claim(store)
    commit(store, claimed, failing=[0, 2])
    assert read_items(store.keys.id, store.connection.hget(store.keys.chunks, "1")) == items


def test_the_timeline_has_one_entry_for_each_commit(store: MapStore) -> None:
    for claimed in claim(store, 2):
        commit(store, claimed, failing=[1])
    entries = [entry for _id, entry in store.connection.xrange(keys.TIMELINE)]
    assert [entry[b"chunk"] for entry in entries] == [b"0", b"1"]
    first = {name.decode(): value.decode() for name, value in entries[0].items()}
    assert first == {
        "job": store.keys.id, "chunk": "0", "start": "1.000000", "end": "1.500000", "host": "host", "worker": A,
        "lane": "3", "pid": "17", "items": "3", "failed": "1", "deaths": "0", "outcome": "ok",
    }  # fmt: skip


def test_a_commit_is_announced(store: MapStore) -> None:
    pubsub = store.connection.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(store.keys.events)
    pubsub.get_message(timeout=5)
    commit(store, claim(store)[0])
    message = pubsub.get_message(timeout=5)
    pubsub.close()
    assert message is not None
    assert message["data"] == b"progress"


def test_the_owner_is_told_of_the_last_commit(store: MapStore) -> None:
    pubsub = store.connection.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(f"rq:pubsub:{A}")
    pubsub.get_message(timeout=5)
    for claimed in claim(store, 4, B):
        assert pubsub.get_message(timeout=0) is None
        commit(store, claimed, worker=B)
    message = pubsub.get_message(timeout=5)
    pubsub.close()
    assert message is not None
    assert b"taskq-complete" in message["data"]


@pytest.mark.parametrize("owner", ["100%", "a%sb", "%1", "host-ü"])
def test_owners_may_have_any_name(any_queue: Queue, owner: str) -> None:
    store = any_queue.map(abs, range(1)).store
    store.open(owner)
    pubsub = store.connection.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(f"rq:pubsub:{owner}")
    pubsub.get_message(timeout=5)
    commit(store, claim(store)[0])
    message = pubsub.get_message(timeout=5)
    pubsub.close()
    assert message is not None


def test_commits_in_a_pipeline(store: MapStore) -> None:
    store.scripts.load()
    claims = claim(store, 2)
    with store.connection.pipeline(transaction=False) as pipe:
        for claimed in claims:
            store.commit(A, claimed, outcome(claimed), NOTE, pipe)
        store.claim(A, 1, pipe)
        first, second, reply = pipe.execute()
    assert store.read_commit(first) == Totals(True, 3, 0, 10, 2)
    assert store.read_commit(second) == Totals(True, 6, 0, 10, 2)
    assert numbers(store.read_claims(reply).claims) == [2]


# -- release ---------------------------------------------------------------------------------------


def test_released_chunks_go_to_the_front_in_order(store: MapStore) -> None:
    claim(store, 3)
    assert store.release(A, {1: 1}) == 1
    assert store.held_by(A) == {0: 0, 2: 0}
    assert pending(store)[0] == b"1:1"
    consistent(store)


def test_release_all(store: MapStore) -> None:
    claim(store, 2)
    claim(store, 1, B)
    assert store.release(A) == 2
    assert store.held_by(A) == {}
    assert store.held_by(B) == {2: 0}
    assert sorted(pending(store)) == [b"0:0", b"1:0", b"3"]
    consistent(store)


def test_only_the_holder_can_release(store: MapStore) -> None:
    claim(store, 1, B)
    assert store.release(A, {0: 0}) == 0
    assert store.release(A) == 0
    assert store.held_by(B) == {0: 0}


def test_deaths_are_kept(store: MapStore) -> None:
    claim(store)
    store.release(A, {0: 2})
    (again,) = claim(store)
    assert (again.number, again.deaths) == (0, 2)
    store.release(A)
    assert claim(store)[0].deaths == 2


def test_release_after_close_leaves_nothing_pending(store: MapStore) -> None:
    claim(store)
    store.close()
    assert store.release(A) == 0
    assert pending(store) == []


# -- split -----------------------------------------------------------------------------------------


def test_split(store: MapStore) -> None:
    (claimed,) = claim(store)
    assert store.split(A, claimed, read_header(claimed.payload).halves(), 2) == 1
    assert pending(store)[:2] == [b"4:1", b"5:2"], "one item alone gets one more chance"
    halves = claim(store, 2)
    assert [list(read_header(half.payload).offsets) for half in halves] == [[0], [1, 2]]
    assert [half.deaths for half in halves] == [1, 2]
    assert not commit(store, claimed).committed
    for half in halves:
        assert commit(store, half).committed
    assert results(store) == [0, 1, 2]
    consistent(store)


def test_split_down_to_one_item(store: MapStore) -> None:
    (claimed,) = claim(store)
    store.split(A, claimed, read_header(claimed.payload).halves(), 3)
    _single, double = claim(store, 2)
    store.split(A, double, read_header(double.payload).halves(), 3)
    offsets = [list(read_header(one.payload).offsets) for one in claim(store, 2)]
    assert offsets == [[1], [2]]
    consistent(store)


def test_split_numbers_are_free_ones(store: MapStore) -> None:
    for claimed in claim(store, 2):
        store.split(A, claimed, read_header(claimed.payload).halves(), 1)
    assert sorted(int(number) for number in store.connection.hkeys(store.keys.chunks)) == [2, 3, 4, 5, 6, 7]


def test_an_outcome_from_before_a_retry_is_not_taken_for_the_retrys(store: MapStore) -> None:
    """Its worker holds what is left of the chunk again, as the same claim, when the old commit comes again."""
    (claimed,) = claim(store)
    assert commit(store, claimed, failing=[1]).committed
    store.close()
    store.open(A)
    assert len(claim(store, 4)) == 4
    assert not commit(store, claimed, failing=[1]).committed
    consistent(store)


def test_an_outcome_from_before_a_split_is_not_taken_for_a_halfs(store: MapStore) -> None:
    (claimed,) = claim(store)
    store.split(A, claimed, read_header(claimed.payload).halves(), claimed.deaths)
    assert len(claim(store, 2)) == 2
    assert not commit(store, claimed).committed
    consistent(store)


def test_split_without_the_claim_does_nothing(store: MapStore) -> None:
    (claimed,) = claim(store)
    before = everything(store)
    assert store.split(B, claimed, read_header(claimed.payload).halves(), 1) == 0
    assert everything(store) == before


# -- close and open --------------------------------------------------------------------------------


def test_close(store: MapStore) -> None:
    claim(store)
    store.close("enough")
    info = store.info()
    assert (info.state, info.reason) == ("closed", "enough")
    assert store.read_claims(store.claim(A, 1)) == ClaimReply("closed", 0, [])
    assert store.connection.hlen(store.keys.chunks) == 4


def test_open_again_makes_all_that_is_left_pending_once(store: MapStore) -> None:
    commit(store, claim(store, 2)[0])
    store.close("enough")
    info = store.open(B)
    assert info is not None
    assert info.done == 3
    assert pending(store) == [b"1", b"2", b"3"]
    assert store.info().reason == ""
    consistent(store)


def test_open_again_makes_only_failed_items_pending(store: MapStore) -> None:
    for claimed in claim(store, 4):
        commit(store, claimed, failing=[4, 6, 8])
    store.close()
    info = store.open(A)
    assert info is not None
    assert (info.done, info.failed, info.total) == (7, 0, 10)
    assert store.failures() == {}
    again = claim(store, 10)
    left = [read_header(one.payload) for one in again]
    assert [[one.start + offset for offset in one.offsets] for one in left] == [[4], [6, 8]]
    commit(store, again[0])
    assert commit(store, again[1], failing=[8]) == Totals(True, 9, 1, 10)
    (kept,) = store.connection.hvals(store.keys.chunks)
    assert (read_header(kept).start, read_header(kept).only) == (6, (2,))
    assert sorted(placed(store)) == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    consistent(store)


def test_chunk_numbers_are_sorted_as_numbers(any_queue: Queue) -> None:
    store = any_queue.map(abs, range(12), chunksize=1).store
    store.close()
    store.open(A)
    assert numbers(claim(store, 12)) == list(range(12))


def test_opening_an_open_map_returns_the_claims_of_the_dead(store: MapStore) -> None:
    claim(store, 1, B)
    claim(store, 1, "dead")
    claim(store, 1, "late")
    lease(store, B, 60)
    lease(store, "late", -1)
    info = store.open("new")
    assert info is not None
    assert info.state == "open"
    assert store.held_by(B) == {0: 0}
    assert sorted(pending(store)) == [b"1:0", b"2:0", b"3"]
    consistent(store)


def test_who_opens_keeps_what_it_holds(store: MapStore) -> None:
    """A helper that comes to own the map goes on with its chunks."""
    lease(store, A, 60)
    claim(store, 2, A)
    store.open(A)
    assert store.held_by(A) == {0: 0, 1: 0}
    consistent(store)


def test_an_early_claim_is_kept_with_its_deaths(store: MapStore) -> None:
    claim(store, 1, "dead")
    store.release("dead", {0: 2})
    claim(store, 1, "dead")
    store.open(A)
    assert claim(store)[0].deaths == 2


def test_open_takes_off_all_time_limits(store: MapStore) -> None:
    """A map that is run again must not lose the results it has because of the time limit of its first end."""
    for claimed in claim(store, 3):
        commit(store, claimed, failing=[1])
    store.close()
    store.expire(60)
    store.open(A)
    ttls = {key: store.connection.ttl(key) for key in store.keys.all if store.connection.exists(key)}
    assert ttls == dict.fromkeys(ttls, -1)
    assert store.keys.results in ttls


def test_the_first_start_is_kept(store: MapStore) -> None:
    started = store.info().started
    assert 0 < started <= time.time()
    store.close()
    store.open(B)
    assert store.info().started == started


# -- keys ------------------------------------------------------------------------------------------


def test_begin_reserves_an_id_once(any_queue: Queue) -> None:
    store = MapStore("mine", any_queue.connection)
    assert store.begin({"name": "a"})
    assert store.begin({"name": "a"}), "said again, since no reply was heard"
    assert not MapStore("mine", any_queue.connection).begin({"name": "b"})
    assert store.info().name == "a"
    assert store.info().state == "writing"
    assert 0 < any_queue.connection.ttl(store.keys.hash) <= keys.WRITING_TTL


@pytest.mark.parametrize(("ttl", "left"), [(100, 100), (-1, -1), (0, -2)])
def test_expire(store: MapStore, ttl: int, left: int) -> None:
    commit(store, claim(store, 2)[0], failing=[1])
    store.expire(50)
    store.expire(ttl)
    assert {store.connection.ttl(key) for key in store.keys.all} <= {left, left - 1 if left > 0 else left}


def test_batches_of_results(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskq.redis.list_reader._BYTES", 4 * len(codec.dumps(1)))
    store = any_queue.map(abs, range(30), chunksize=30).store
    store.open(A)
    commit(store, claim(store)[0])
    reader = store.results
    sizes = [len(reader.batch(0)), len(reader.batch(16)), len(reader.batch(28)), len(reader.batch(30))]
    assert sizes == [16, 4, 2, 0], "the first ones tell how large they are"
    assert [codec.loads(data) for data in reader.read(3, 12)] == list(range(3, 12))
    assert results(store) == list(range(30))
