"""An open map with a memo, and one whose producer has died: who begins again goes on with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskq import DuplicateJobError, MapError, OpenMap, Queue
from taskq.maps import adopted, memo, opening
from taskq.maps.memo import Memo
from taskq.maps.options import MapOptions
from taskq.maps.terms import Terms
from taskq.payload import codec, signing
from taskq.testing import drain
from tests import jobs
from tests.contract.by_hand import claim, commit, everything


def remembering(queue: Queue) -> Memo:
    return memo.opened("grid", queue.connection, "Parallel", "1", "", memo.TTL)


def opened(queue: Queue, held: Memo) -> OpenMap:
    options = MapOptions.read({"job_id": "grid"})
    return opening.open_map(queue, jobs.square, None, Terms(orphan="finish"), options, star=False, memo=held)


def found(held: Memo, *keys: str) -> list[object]:
    return [None if one is None else codec.loads(one) for one in held.find(keys, memo.TTL)]


def test_results_are_in_the_memo_when_they_count(any_queue: Queue) -> None:
    held = remembering(any_queue)
    job = opened(any_queue, held)
    job.feed.put([10, 11, 12], 1, ["a", "b", "c"])
    job.feed.put([13], 1, ["d"])
    first, second, _third, fourth = claim(job.store, 10)
    commit(job.store, first)
    commit(job.store, second, failing=[1])
    commit(job.store, fourth)
    assert found(held, "a", "b", "c", "d") == [0, None, None, 3]
    assert adopted.unfinished(job) == {"c": 2}
    job.give_up()


def test_a_chunk_of_several(any_queue: Queue) -> None:
    held = remembering(any_queue)
    job = opened(any_queue, held)
    job.feed.put([10, 11], 2, ["a", "b"])
    [both] = claim(job.store, 10)
    commit(job.store, both)
    assert found(held, "a", "b") == [0, 1]
    assert not adopted.unfinished(job)
    job.give_up()


def test_keys_that_are_said_again_are_there_once(any_queue: Queue) -> None:
    """The server came back as it was before: what it has lost is put again, keys and all."""
    held = remembering(any_queue)
    job = opened(any_queue, held)
    job.feed.put([10], 1, ["a"])
    job.feed.put([11], 1, ["b"])
    k = job.store.keys
    any_queue.connection.hset(k.hash, "next", 1)
    any_queue.connection.rpop(k.pending)
    any_queue.connection.hdel(k.memo, "1")
    job.feed.put([12], 1, ["c"])
    assert adopted.unfinished(job) == {"a": 0, "b": 1, "c": 2}
    job.give_up()


@pytest.fixture
def signs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param:
        monkeypatch.setenv(signing.VARIABLE, "secret" * 8)
    yield
    signing._in_use.clear()


@pytest.mark.parametrize("signs", [False, True], indirect=True)
@pytest.mark.usefixtures("signs")
def test_who_adopts_it_feeds_it(any_queue: Queue) -> None:
    held = remembering(any_queue)
    dead = opened(any_queue, held)
    dead.feed.put([10, 11], 1, ["a", "b"])
    dead.feed._over.set()
    job = adopted.going_on(any_queue, "grid", held)
    assert job is not None
    assert adopted.adopt(any_queue, job, held)
    assert job.feed.put([12], 1, ["c"]) == range(2, 3)
    with pytest.raises(MapError, match="takes no more items"):
        dead.feed.put([13], 1, ["d"])
    assert adopted.unfinished(job) == {"a": 0, "b": 1, "c": 2}
    job.seal()
    drain(any_queue)
    assert job.get() == [100, 121, 144]
    assert found(held, "a", "b", "c", "d") == [100, 121, 144, None]
    assert adopted.going_on(any_queue, "grid", held) is None


def test_a_sealed_one_gets_nothing_more(any_queue: Queue) -> None:
    held = remembering(any_queue)
    dead = opened(any_queue, held)
    dead.feed.put([10], 1, ["a"])
    dead.seal()
    job = adopted.going_on(any_queue, "grid", held)
    assert job is not None
    before = everything(dead.store)
    assert not adopted.adopt(any_queue, job, held)
    assert everything(dead.store) == before


def test_what_is_none_of_this_memo_is_left_alone(any_queue: Queue) -> None:
    held = remembering(any_queue)
    assert adopted.going_on(any_queue, "grid", held) is None
    other = any_queue.open_map(jobs.square, job_id="grid")
    with pytest.raises(DuplicateJobError, match="use another name, or cancel it"):
        adopted.going_on(any_queue, "grid", held)
    other.give_up()


def test_a_map_that_was_replaced_is_not_adopted(any_queue: Queue) -> None:
    held = remembering(any_queue)
    opened(any_queue, held).feed.put([10], 1, ["a"])
    job = adopted.going_on(any_queue, "grid", held)
    assert job is not None
    k = job.store.known
    reply = job.store.scripts.adopt([k.hash], ["0" * 32, "somebody", 30])
    assert reply == [b"", b""]
    assert any_queue.connection.hget(k.hash, "feeder") != b"somebody"
