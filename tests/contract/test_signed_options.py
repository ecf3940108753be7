"""With a secret key: how a map is to be run, how many items it has, and what has run, are nobody's to change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from taskq import DamagedError, Queue, Retry, SignatureError
from taskq.maps import adopted, memo, orphans
from taskq.maps.caps import Caps
from taskq.maps.claim import Claim
from taskq.maps.job import MapJob
from taskq.maps.proof import prove
from taskq.maps.store import MapStore
from taskq.payload import signing
from taskq.redis import schema
from taskq.redis.keys import MapField
from taskq.testing import drain
from tests import jobs
from tests.contract.by_hand import A, claim, commit, outcome, put
from tests.contract.test_adopted import opened as opened_with_memo
from tests.secret import KEY
from tests.waiting import HANGS

pytestmark = pytest.mark.usefixtures("secret_key")
OTHER = "another horse another battery and so on"
REFUSED = (DamagedError, SignatureError)


@pytest.fixture
def queue(signed_queue: Queue) -> Queue:
    return signed_queue


def forge(job: MapJob[Any], **told: object) -> None:
    """Change fields of a map's hash; None: delete it."""
    for name, value in told.items():
        if value is None:
            job.connection.hdel(job.store.keys.hash, name)
        else:
            job.connection.hset(job.store.keys.hash, name, str(value))


# -- weight, max_running, rate ---------------------------------------------------------------------------


@pytest.mark.parametrize("pushed", [{}, {"weight": 3, "max_running": 2, "rate": "100/s"}], ids=["none", "all"])
@pytest.mark.parametrize(("name", "value"), [
    (MapField.WEIGHT, 1000), (MapField.MAX_RUNNING, 1), (MapField.RATE, "99/s"),
    (MapField.PUSHED_CAPS, "7 "), (MapField.PUSHED_CAPS, "x"),
])  # fmt: skip
@pytest.mark.parametrize("before", [True, False])
def test_how_it_is_to_be_run_is_signed(queue: Queue, pushed: Any, name: str, value: object, before: bool) -> None:
    job = queue.map(jobs.square, range(4), **pushed)
    if not before:
        drain(queue)
        assert job.get() == [0, 1, 4, 9]
    forge(job, **{name: value})
    drain(queue)
    with pytest.raises(REFUSED):
        job.get()


@pytest.mark.parametrize("name", [MapField.WEIGHT, MapField.MAX_RUNNING, MapField.RATE])
def test_nor_can_it_be_taken_away(queue: Queue, name: str) -> None:
    job = queue.map(jobs.square, range(4), weight=3, max_running=2, rate="100/s")
    forge(job, **{name: None})
    with pytest.raises(DamagedError, match="was changed since it was pushed"):
        job.store.info()


@pytest.mark.parametrize(("options", "name", "value"), [
    ({}, MapField.RETRIES, 1), ({}, MapField.SPECULATE, 1), ({"speculate": True}, MapField.SPECULATE, None),
    ({"item_retry": Retry(2)}, MapField.RETRIES, None),
])  # fmt: skip
def test_what_scripts_go_by_is_what_is_signed(queue: Queue, options: Any, name: str, value: object) -> None:
    job = queue.map(jobs.square, range(4), **options)
    job.store.info()
    forge(job, **{name: value})
    with pytest.raises(DamagedError, match="are not what its terms say"):
        job.store.info()


def test_who_limits_it_signs_anew(queue: Queue) -> None:
    job = queue.map(jobs.square, range(4), rate="100/s")
    job.limit(max_running=2)
    job.limit(rate="50/s")
    assert job.store.info().caps == Caps(2, "50/s")
    assert job.store.info().pushed_caps == Caps(0, "100/s")
    limited = job.connection.hgetall(job.store.keys.hash)
    for forged in (
        {"max_running": 3}, {"rate": "51/s"}, {"max_running": None}, {"rate": None}, {"caps_seal": None},
        {"pushed_caps": None}, {"pushed_caps": "2 50/s"}, {"max_running": None, "rate": None, "caps_seal": None},
    ):  # fmt: skip
        forge(job, **forged)
        with pytest.raises(REFUSED):
            job.store.info()
        job.connection.hset(job.store.keys.hash, mapping=limited)
    job.limit(max_running=None, rate=None)
    assert not job.store.info().caps
    drain(queue)
    assert job.get(timeout=HANGS) == [0, 1, 4, 9]


def test_limits_of_another_map(queue: Queue) -> None:
    one, other = (queue.map(jobs.square, range(4)) for _ in range(2))
    other.limit(max_running=1)
    theirs = other.connection.hgetall(other.store.keys.hash)
    forge(one, max_running=1, pushed_caps="0 ")
    one.connection.hset(one.store.keys.hash, "caps_seal", theirs[b"caps_seal"])
    with pytest.raises(SignatureError):
        one.store.info()


def test_who_has_no_key_limits_nothing(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    job = queue.map(jobs.square, range(4))
    before = job.connection.hgetall(job.store.keys.hash)
    with monkeypatch.context() as without:
        without.delenv(signing.VARIABLE)
        with pytest.raises(SignatureError, match="TASKQ_SECRET_KEY is not set here"):
            job.limit(max_running=1)
    assert job.connection.hgetall(job.store.keys.hash) == before


def test_two_who_limit_it_at_once(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    job = queue.map(jobs.square, range(4))
    stale = [job.store.info()]
    job.limit(max_running=3)
    now = MapStore.info
    monkeypatch.setattr(MapStore, "info", lambda store: stale.pop() if stale else now(store))
    assert job.store.limit(None, "5/s")
    assert job.store.info().caps == Caps(3, "5/s")


def test_without_a_key_nothing_more_is_written(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(signing.VARIABLE)
    queue = Queue(connection=any_queue.connection)
    opened = queue.open_map(jobs.square)
    opened.put(1)
    one = queue.map(jobs.square, range(3), weight=2)
    pushed = [opened, queue.map(jobs.square, range(3), results="discard", max_running=3), one]
    for job in pushed:
        job.limit(max_running=2)
    opened.seal()
    drain(queue)
    for job in pushed:
        there = set(job.connection.hgetall(job.store.keys.hash))
        assert not there & {b"caps_seal", b"pushed_caps", b"put_seal", b"ran"}
    assert queue.fetch_job(one.id).schema == schema.SCHEMA


def test_who_does_not_know_that_a_weight_is_signed_keeps_away(queue: Queue) -> None:
    assert queue.fetch_job(queue.map(jobs.square, [1], weight=2).id).schema == schema.TERMS


# -- open maps whose producer is gone ------------------------------------------------------------------------


@pytest.mark.parametrize("fewer", [0, 1, 2])
def test_it_can_not_be_shortened(queue: Queue, fewer: int) -> None:
    """A worker that seals it would sign whatever number stands there."""
    job = queue.open_map(jobs.square)
    for n in range(3):
        job.put(n)
    job.give_up()
    forge(job, next=fewer, lease=1)
    job.connection.ltrim(job.store.keys.pending, 0, fewer - 1) if fewer else job.connection.delete(
        job.store.keys.pending
    )
    with pytest.raises(DamagedError, match=f"has {fewer} items, and its producer has put another number"):
        orphans.seal(job.store, job.store.info())
    assert not job.store.info().sealed
    forge(job, put_seal=None)
    with pytest.raises(SignatureError):
        orphans.seal(job.store, job.store.info())


@pytest.mark.parametrize("items", [0, 3])
def test_who_has_sealed_it_is_signed(queue: Queue, items: int) -> None:
    job = queue.open_map(jobs.square)
    job.put_many(range(items))
    job.give_up()
    forge(job, lease=1)
    assert orphans.seal(job.store, job.store.info())
    drain(queue)
    found = queue.fetch_job(job.id)
    assert found.get(timeout=HANGS) == [n * n for n in range(items)]
    assert found.store.info().orphaned
    forge(job, orphaned=None)
    with pytest.raises(DamagedError, match="was changed since"):
        found.get(timeout=HANGS)


def test_a_seal_without_the_key(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    job = queue.open_map(jobs.square)
    job.put(1)
    job.give_up()
    forge(job, lease=1)
    info = job.store.info()
    with monkeypatch.context() as without:
        without.delenv(signing.VARIABLE)
        with pytest.raises(SignatureError, match="TASKQ_SECRET_KEY is not set here"):
            orphans.seal(job.store, info)
    assert not job.store.info().sealed


def test_one_that_has_enough_is_no_orphan(queue: Queue) -> None:
    job = queue.open_map(jobs.square, first=1)
    job.put(1)
    job.put(2)
    assert job.store.open(A) is not None
    [one] = claim(job.store, 1)
    commit(job.store, one)
    assert orphans.seal(job.store, job.store.info())
    info = job.store.info()
    assert (info.sealed, info.orphaned) == (True, False)


def test_nor_does_who_feeds_it_on_take_another_number(queue: Queue) -> None:
    held = memo.opened("grid", queue.connection, "Parallel", "1", "", memo.TTL)
    job = opened_with_memo(queue, held)
    job.feed.put([10, 11], 1, ["a", "b"])
    job.give_up()
    found = adopted.going_on(queue, "grid", held)
    assert found is not None
    forge(found, next=1)
    with pytest.raises(DamagedError, match="has put another number"):
        adopted.adopt(queue, found, held)
    forge(found, next=2)
    assert adopted.adopt(queue, found, held)
    found.give_up()


# -- results that are not kept --------------------------------------------------------------------------------


def discarding(queue: Queue, items: Any = range(8), **options: Any) -> MapJob[Any]:
    return queue.map(jobs.invert, items, **{"results": "discard", "chunksize": 2, **options})


def run_by_hand(store: MapStore, one: Claim) -> None:
    """What a worker does with a range of which results are only counted."""
    assert put(store, one, replace(outcome(store, one), values=[], discarded=True)).committed


def test_what_has_run_is_proved(queue: Queue) -> None:
    job = discarding(queue, range(1, 9))
    drain(queue)
    assert job.count(timeout=HANGS) == 8
    assert job.store.info().ran not in ("", "0" * 32)
    forge(job, ran="0" * 32)
    with pytest.raises(DamagedError, match="sum of what has run"):
        job.count()


def test_what_has_not_run_is_not(queue: Queue) -> None:
    job = discarding(queue, range(1, 9))
    k = job.store.keys
    assert job.store.open(A) is not None
    [_one, two, _three, _four] = claim(job.store, 4)
    run_by_hand(job.store, two)
    job.connection.hset(k.spans, mapping={"from 0": 8, "to 8": 0})
    job.connection.hdel(k.spans, "from 2", "to 4")
    job.connection.delete(k.claims, k.pending)
    forge(job, done=8)
    drain(queue)
    with pytest.raises(Exception, match="sum of what has run"):
        job.count(timeout=HANGS)


def test_in_any_order_with_failures_and_again(queue: Queue) -> None:
    job = discarding(queue, [0, 1, 2, 0, 4, 5, 0, 7], chunksize=3)
    drain(queue)
    with pytest.raises(ZeroDivisionError):
        job.count(timeout=HANGS)
    queue.fetch_job(job.id).requeue()
    drain(queue)
    assert job.store.info().failed == 3
    prove(job.store, discards=True)


def test_keys_that_change_while_it_runs(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """All who run it sign with the key that its producer had, if they have it."""
    job = discarding(queue, range(1, 9))
    assert job.store.open(A) is not None
    run_by_hand(job.store, *claim(job.store, 1))
    monkeypatch.setenv(signing.VARIABLE, f"{OTHER},{KEY}")
    for one in claim(job.store, 3):
        run_by_hand(job.store, one)
    prove(job.store, discards=True)
    monkeypatch.setenv(signing.VARIABLE, OTHER)
    with pytest.raises(SignatureError):
        prove(job.store, discards=True)
