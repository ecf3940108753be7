"""``max_running`` and ``rate``: how much of a map may be claimed, whoever asks."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from taskq import DamagedError, MapError, OptionError, Queue, VersionError
from taskq.maps.caps import Caps
from taskq.maps.job import MapJob
from taskq.maps.store import MapStore
from taskq.redis import keys, schema
from taskq.redis.keys import MapField
from taskq.redis.lua import Scripts
from taskq.redis.services import ServiceInfo, renew
from tests import jobs
from tests.contract.by_hand import A, B, claim, commit, consistent, give_back, halve, names, saved
from tests.waiting import HANGS


def opened(queue: Queue, **options: Any) -> MapJob[int]:
    job = queue.map(jobs.square, range(10), **{"chunksize": 2, **options})
    assert job.store.open(A) is not None
    return job


def replied(store: MapStore, count: int = 9, worker: str = A) -> tuple[list[str], int, float | None]:
    """What is claimed, what may still be, and in how many seconds if nothing may."""
    reply = store.read_claims(store.claim(worker, count), worker)
    return names(reply.claims), reply.pending, reply.wait


def seen(queue: Queue, job: MapJob[int]) -> tuple[int, float | None]:
    """What ``look.lua`` tells of the map: how much may be claimed, or in how many seconds."""
    before, after = job.store.keys.hash.split(job.id)
    args = [keys.OPEN, before, after, "rq:queue:", 9, 0, A, queue.name]
    _suspended, [_number, _jobs, found] = job.store.scripts.look(["rq:suspended"], args)
    pending, wait = found[3], found[5]
    return pending, float(wait) if wait and not pending else None


def age(store: MapStore, seconds: float) -> None:
    """Have all that was claimed be claimed so long before."""
    key = store.known.starts
    for place, moment in enumerate(store.connection.lrange(key, 0, -1)):
        store.connection.lset(key, place, f"{float(moment) - seconds:.6f}")


# -- max_running -------------------------------------------------------------------------------------


def test_no_more_is_claimed_than_may_run(any_queue: Queue) -> None:
    job = opened(any_queue, max_running=3)
    assert seen(any_queue, job) == (3, None)
    assert replied(job.store, 2) == (["0:2", "2:2"], 1, None)
    assert replied(job.store, worker=B) == (["4:2"], 0, None)
    assert replied(job.store) == ([], 0, None)
    assert seen(any_queue, job) == (0, None)
    consistent(job.store)


def test_whatever_ends_a_claim_makes_room(any_queue: Queue) -> None:
    store = opened(any_queue, max_running=1).store
    [one] = claim(store)
    assert claim(store, 9, B) == []
    commit(store, one)
    [two] = claim(store, 9)
    give_back(store, two)
    [two] = claim(store, 9)
    assert halve(store, two)
    [half] = claim(store, 9)
    assert store.release_all(A) == 1
    [again] = claim(store, 9, B)
    assert again.range == half.range
    assert store.release_orphans() == 1, "B holds no part in the work on it"
    assert len(claim(store, 9)) == 1
    consistent(store)


def test_a_server_that_is_back_as_it_was_has_no_more_and_no_less_room(any_queue: Queue) -> None:
    store = opened(any_queue, max_running=2).store
    claim(store)
    restore = saved(store)
    [lost] = claim(store)
    restore()
    assert not commit(store, lost).committed
    assert len(claim(store, 9, B)) == 1


def test_a_map_that_is_closed_and_opened_again_has_all_its_room(any_queue: Queue) -> None:
    store = opened(any_queue, max_running=2).store
    assert len(claim(store, 9)) == 2
    store.close("for a while")
    assert store.open(A) is not None
    assert len(claim(store, 9)) == 2


# -- rate --------------------------------------------------------------------------------------------


def test_so_many_items_within_the_time(any_queue: Queue) -> None:
    job = opened(any_queue, rate="3/m", chunksize=None)
    assert replied(job.store, 2) == (["0:1", "1:1"], 1, None)
    age(job.store, 20)
    assert replied(job.store)[:2] == (["2:1"], 0)
    (claimed, left, wait), (pending, later) = replied(job.store), seen(any_queue, job)
    assert (claimed, left, pending) == ([], 0, 0)
    assert wait is not None
    assert later is not None
    assert 0 < later <= wait <= 40
    age(job.store, 40)
    assert seen(any_queue, job) == (2, None)
    assert replied(job.store)[:2] == (["3:1", "4:1"], 0)
    assert job.connection.llen(job.store.known.starts) == 3, "no more is kept than is needed"
    assert 0 < job.connection.ttl(job.store.known.starts) <= 3601


@pytest.mark.parametrize(("rate", "seconds"), [("1/s", 1), ("1/m", 60), ("1/h", 3600)])
def test_the_times(any_queue: Queue, rate: str, seconds: int) -> None:
    store = opened(any_queue, rate=rate).store
    assert replied(store)[1] == 0
    age(store, seconds - 0.5)
    assert replied(store)[0] == []
    age(store, 0.5)
    assert len(replied(store)[0]) == 1


def test_what_was_given_back_has_had_its_place(any_queue: Queue) -> None:
    store = opened(any_queue, rate="2/m").store
    give_back(store, *claim(store, 2))
    assert claim(store, 2, B) == []
    age(store, 61)
    assert len(claim(store, 9)) == 2


def test_a_claim_is_for_one_item(any_queue: Queue) -> None:
    store = opened(any_queue, rate="1000/s", chunksize=5).store
    assert store.read_claims(store.claim(A, 1), A).single
    assert names(claim(opened(any_queue, rate="1000/s", chunksize=None).store)) == ["0:1"]
    other = opened(any_queue, max_running=1).store
    assert not other.read_claims(other.claim(A, 1), A).single


def test_a_clock_that_was_set_back_holds_nothing_up_for_longer(any_queue: Queue) -> None:
    store = opened(any_queue, rate="3/m", chunksize=None).store
    claim(store)
    age(store, 50)
    claim(store, 2)
    age(store, -3600)
    claimed, _left, wait = replied(store)
    assert claimed == []
    assert wait is not None
    assert 9 < wait <= 10.1, "it was fifty seconds before the others"
    age(store, 11)
    assert len(claim(store, 9)) == 1
    age(store, 50)
    assert len(claim(store, 9)) == 2


def test_both(any_queue: Queue) -> None:
    store = opened(any_queue, max_running=2, rate="3/m").store
    first, _second = claim(store, 9)
    commit(store, first)
    assert len(claim(store, 9)) == 1
    assert replied(store) == ([], 0, None), "who ends makes room, and not the time"


# -- changes -----------------------------------------------------------------------------------------


def test_it_is_changed_while_it_runs(any_queue: Queue) -> None:
    job = opened(any_queue)
    store = job.store
    job.limit(max_running=2)
    assert len(claim(store, 9)) == 2
    job.limit(max_running=3)
    assert len(claim(store, 9)) == 1
    job.limit(rate="1/h")
    assert job.store.info().caps == Caps(3, "1/h")
    job.limit(max_running=None)
    assert len(claim(store, 9)) == 1
    job.limit(max_running=1)
    assert claim(store, 9) == []
    job.limit(max_running=None, rate=None)
    assert not store.info().caps
    assert len(claim(store, 9)) == 1


def test_workers_are_told(any_queue: Queue) -> None:
    job = opened(any_queue)
    with any_queue.connection.pubsub() as heard:
        heard.subscribe(keys.NOTES)
        assert heard.get_message(timeout=HANGS)
        job.limit(max_running=1)
        told = {(heard.get_message(timeout=HANGS) or {})["data"] for _ in range(2)}
    assert told == {keys.note(word, job.id).encode() for word in (keys.LOOK, keys.WORK)}


@pytest.mark.parametrize(("before", "after", "tighter"), [
    (Caps(), Caps(1), True), (Caps(2), Caps(1), True), (Caps(1), Caps(2), False), (Caps(1), Caps(), False),
    (Caps(), Caps(0, "1/s"), True), (Caps(0, "1/s"), Caps(0, "2/s"), False),
    (Caps(0, "1/s"), Caps(3, "1/s"), True),
])  # fmt: skip
def test_what_is_too_much_by_the_new_ones(before: Caps, after: Caps, tighter: bool) -> None:
    assert after.is_tighter(before) is tighter


def test_a_map_that_has_ended_is_not_limited(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, [1])
    job.cancel()
    with pytest.raises(MapError, match="has ended"):
        job.limit(max_running=1)


def test_nor_one_that_workers_run_who_do_not_know_it(any_queue: Queue) -> None:
    job = opened(any_queue)
    old = ServiceInfo("old", "h", 1, 1, (any_queue.name,), "3.12", 1.0, schema=schema.SCHEMA - 1)
    renew(Scripts(any_queue.connection), old, 60)
    with pytest.raises(VersionError, match="old is alive"):
        job.limit(max_running=1)
    assert len(claim(job.store, 9)) == 5
    renew(Scripts(any_queue.connection), replace(old, schema=schema.SCHEMA), 60)
    job.limit(max_running=1)


# -- what it can be ----------------------------------------------------------------------------------


NO_COUNTS = [0, -1, True, 1.0, "3", 2**53, float("nan")]
NO_RATES = ["", "5", "0/s", "05/s", "5/d", "5 /s", "-5/s", "1.5/s", "٣/s", "10001/h", 5, True, ("5/s",), b"5/s"]


@pytest.mark.parametrize(
    ("option", "value"), [*(("max_running", one) for one in NO_COUNTS), *(("rate", one) for one in NO_RATES)]
)
def test_what_they_cannot_be(any_queue: Queue, option: str, value: Any) -> None:
    with pytest.raises(OptionError, match=option):
        any_queue.map(jobs.square, [1], **{option: value})
    job = opened(any_queue)
    with pytest.raises(OptionError, match=option):
        job.limit(**{option: value})
    assert len(any_queue.connection.keys("taskq:{*}")) == 1
    assert not job.store.info().caps


def test_who_does_not_know_them_keeps_away(any_queue: Queue) -> None:
    for option in ({"max_running": 1}, {"rate": "5/s"}):
        job = any_queue.map(jobs.square, [1], **option)
        assert any_queue.fetch_job(job.id).schema == schema.TERMS
        assert asdict(job.store.info().caps) == {"max_running": 0, "rate": "", **option}


@pytest.mark.parametrize(("field", "value"), [
    (MapField.RATE, "often"), (MapField.RATE, "5/d"), (MapField.MAX_RUNNING, "many"), (MapField.MAX_RUNNING, "-1"),
])  # fmt: skip
def test_damage_lets_nothing_more_run(any_queue: Queue, field: str, value: str) -> None:
    job = opened(any_queue)
    any_queue.connection.hset(job.store.keys.hash, field, value)
    with pytest.raises(DamagedError):
        job.store.info()
    if value != "many":
        assert claim(job.store, 9) == []
