"""Bodies are stored once: split, cut, failed, tried again, what there is of them is as much as is left to do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from taskq import Queue
from taskq.maps.body import read_header
from taskq.maps.claim import Claim
from taskq.maps.deaths import SERVICE
from taskq.maps.runner import run_chunk
from taskq.maps.store import MapStore
from taskq.payload import codec
from taskq.payload.function import Function
from taskq.payload.outcome import ChunkOutcome, ItemFailure, Part
from taskq.payload.ranges import Range
from taskq.testing import make_fake_queue
from tests import jobs
from tests.contract.by_hand import (
    A,
    B,
    bodies,
    claim,
    commit,
    consistent,
    entries,
    everything,
    give_back,
    halve,
    held,
    items_of,
    names,
    outcome,
    pending,
    placed,
    put,
    results,
    uses,
)
from tests.waiting import LONG


def opened(queue: Queue, items: Any, chunksize: int) -> MapStore:
    store = queue.map(jobs.square, items, chunksize=chunksize).store
    assert store.open(A) is not None
    return store


@pytest.fixture
def store(any_queue: Queue) -> MapStore:
    """An open map of ten items in chunks of 3, 3, 3, 1."""
    return opened(any_queue, range(10), 3)


def again(store: MapStore) -> None:
    """Close the map and open it again, as a retry does."""
    store.close()
    store.open(A)
    consistent(store)


# -- failed ----------------------------------------------------------------------------------------


def test_failed_items_with_gaps_come_back_as_one_chunk(any_queue: Queue) -> None:
    store = opened(any_queue, list("abcdefghij"), 10)
    commit(store, claim(store)[0], failing=[1, 2, 7])
    assert entries(store, store.keys.failed) == ["1:7 0"]
    assert {name: data.partition(b"\n")[0] for name, data in bodies(store).items()} == {"1:7": b"p 1 7 0,1,6"}
    again(store)
    [claimed] = claim(store, 9)
    assert list(claimed.to_do) == [1, 2, 7]
    assert items_of(store, claimed) == list("bch")
    assert commit(store, claimed, failing=[2]).failed == 1
    again(store)
    [claimed] = claim(store, 9)
    assert (str(claimed.range), items_of(store, claimed)) == ("2:1", ["c"])
    assert commit(store, claimed).complete
    assert bodies(store) == uses(store) == {}
    consistent(store)


def test_all_of_a_chunk_fail_again_and_again(store: MapStore) -> None:
    """The body of what is left has the very name of the one which it takes the place of."""
    before = bodies(store)
    for _ in range(3):
        for claimed in claim(store, 9):
            commit(store, claimed, failing=range(10))
        consistent(store)
        assert bodies(store) == before
        again(store)


def test_bodies_may_hold_anything(any_queue: Queue) -> None:
    items = [bytes(range(256)) * 10, b"\n" * 100, b"p 0 3 \n"]
    store = opened(any_queue, items, 3)
    commit(store, claim(store)[0], failing=[0, 2])
    again(store)
    assert items_of(store, claim(store)[0]) == [items[0], items[2]]


# -- cut -------------------------------------------------------------------------------------------


def test_what_did_not_run_comes_first(store: MapStore) -> None:
    (claimed,) = claim(store)
    assert commit(store, claimed, stop=1).done == 1
    assert pending(store) == ["1:2 0", "3:3", "6:3", "9:1"]
    assert sorted(bodies(store)) == ["1:2", "3:3", "6:3", "9:1"]
    consistent(store)


def test_what_did_not_run_keeps_its_deaths(store: MapStore) -> None:
    give_back(store, *claim(store), deaths=2)
    commit(store, claim(store)[0], failing=[0], stop=1)
    assert claim(store)[0].deaths == 2
    again(store)
    assert {str(one.range): one.deaths for one in claim(store, 9)}["0:1"] == 0, (
        "what has run to its end killed nobody"
    )


@pytest.mark.parametrize(("noted", "of_item"), [(1, 1), (2, 1), (SERVICE + 1, SERVICE), (2 * SERVICE, SERVICE)])
def test_one_item_that_did_not_run_takes_one_death_of_its_chunk_along(
    store: MapStore, noted: int, of_item: int
) -> None:
    """Else it would be given up the first time that it dies, for deaths of those which have ended well."""
    give_back(store, *claim(store), deaths=noted)
    commit(store, claim(store)[0], stop=2)
    (alone,) = claim(store)
    assert (str(alone.range), alone.deaths) == ("2:1", of_item)


def test_an_item_that_was_stopped_before_it_began_keeps_its_deaths(store: MapStore) -> None:
    claims = claim(store, 4)
    give_back(store, claims[-1], deaths=2)
    (alone,) = claim(store)
    commit(store, alone, stop=9)
    assert [(str(one.range), one.deaths) for one in claim(store)] == [("9:1", 2)]


def test_many_parts_come_in_order(any_queue: Queue) -> None:
    store = opened(any_queue, list(range(20)), 20)
    (claimed,) = claim(store)
    parts = [Part(Range(start, 3), codec.dumps(start)) for start in range(2, 20, 3)]
    what = ChunkOutcome(
        [codec.dumps(0)], [(0, 1)], [ItemFailure(1, "E", "")], 1.0, 0.5, parts, [Part(Range(1, 1), b"x")]
    )
    put(store, claimed, what)
    assert [entry.split()[0] for entry in pending(store)] == [str(part.range) for part in parts]
    assert bodies(store) == {str(part.range): part.body for part in (*parts, *what.left)}
    assert uses(store) == {}


# -- split -----------------------------------------------------------------------------------------


def test_split(store: MapStore) -> None:
    (claimed,) = claim(store)
    before = bodies(store)
    one, two = claimed.halves()
    assert store.divide(claimed, [(one, 1), (two, 2)]) == 1
    assert pending(store)[:2] == ["0:1 1 0:3", "1:2 2 0:3"]
    assert bodies(store) == before, "nothing is copied"
    consistent(store)
    halves = claim(store, 2)
    assert [items_of(store, half) for half in halves] == [[0], [1, 2]]
    assert [half.deaths for half in halves] == [1, 2]
    assert not commit(store, claimed).committed
    assert commit(store, halves[1]).committed
    assert (uses(store), "0:3" in bodies(store)) == ({"0:3": 1}, True)
    consistent(store)
    assert commit(store, halves[0]).committed
    assert (uses(store), "0:3" in bodies(store)) == ({}, False), "the body goes with the last who needs it"
    assert results(store) == [1, 2, 0]
    consistent(store)


def test_split_down_to_one_item(store: MapStore) -> None:
    (claimed,) = claim(store)
    halve(store, claimed, 3)
    _single, double = claim(store, 2)
    halve(store, double, 3)
    singles = claim(store, 2)
    assert names(singles) == ["1:1", "2:1"]
    assert {one.body for one in singles} == {claimed.body}
    consistent(store)


def test_halves_that_are_released_refer_to_the_same_body(store: MapStore) -> None:
    (claimed,) = claim(store)
    halve(store, claimed, 2)
    give_back(store, *claim(store, 2), deaths=5)
    again(store)
    claim(store, 2)
    again(store)
    assert {str(one.range): (str(one.within), one.deaths) for one in claim(store, 2)} == {
        "0:1": ("0:3", 5),
        "1:2": ("0:3", 5),
    }
    consistent(store)


def test_what_fails_of_a_half_has_a_body_of_its_own(store: MapStore) -> None:
    (claimed,) = claim(store)
    halve(store, claimed, 2)
    one, two = claim(store, 2)
    commit(store, two, failing=[1, 2])
    assert (uses(store), sorted(bodies(store))) == ({"0:3": 1}, ["0:3", "1:2", "3:3", "6:3", "9:1"])
    consistent(store)
    commit(store, one, failing=[0])
    assert (uses(store), sorted(bodies(store))) == ({}, ["0:1", "1:2", "3:3", "6:3", "9:1"])
    consistent(store)
    again(store)


def test_an_item_that_is_given_up_needs_its_body_for_a_retry(store: MapStore) -> None:
    """The service gives it up, which has no bodies to write: the item stays in that of its chunk."""
    (claimed,) = claim(store)
    halve(store, claimed, 3)
    one, two = claim(store, 2)
    given_up = ChunkOutcome([], [], [ItemFailure.lost(0, "SIGKILL", 3)], 1.0, 0.5, left=[Part(one.range)])
    assert put(store, one, given_up).failed == 1
    assert entries(store, store.keys.failed) == ["0:1 0 0:3"]
    consistent(store)
    commit(store, two)
    assert uses(store) == {"0:3": 1}
    consistent(store)
    again(store)
    claimed = claim(store, 9)[-1]
    assert (str(claimed.range), str(claimed.within), items_of(store, claimed)) == ("0:1", "0:3", [0])
    commit(store, claimed)
    assert "0:3" not in bodies(store)
    assert uses(store) == {}
    consistent(store)


def test_an_outcome_from_before_a_retry_is_not_taken_for_the_retrys(store: MapStore) -> None:
    """Its worker holds what is left of the chunk again when the old commit comes again."""
    (claimed,) = claim(store)
    what = outcome(store, claimed, failing=[0, 2])
    assert put(store, claimed, what).committed
    again(store)
    assert "0:3" in names(claim(store, 4)), "under the same name"
    before = everything(store)
    assert not put(store, claimed, what).committed
    assert everything(store) == before


def test_split_without_the_claim_does_nothing(store: MapStore) -> None:
    (claimed,) = claim(store)
    give_back(store, claimed)
    (theirs,) = claim(store, 1, B)
    before = everything(store)
    assert halve(store, claimed, 1) == 0
    assert everything(store) == before
    assert halve(store, theirs, 1) == 1
    assert halve(store, theirs, 1) == 0, "said again"
    consistent(store)


# -- the time of an item is over ---------------------------------------------------------------------


def timed_out(claimed: Claim, index: int) -> ChunkOutcome:
    """What a service makes of a process that it has killed in this item: parts without bodies of their own."""
    start, end = claimed.range.start, claimed.range.end
    beside = (Range(start, index - start), Range(index + 1, end - index - 1))
    rest = [Part(one) for one in beside if one.count and claimed.header.within(one)]
    return ChunkOutcome([], [], [ItemFailure.timeout(index, 1.0)], 1.0, 0.5, rest, [Part(Range(index, 1))])


@pytest.mark.parametrize("index", range(3))
def test_those_beside_an_item_whose_time_is_over_run_again(store: MapStore, index: int) -> None:
    (claimed,) = claim(store)
    before = bodies(store)
    assert put(store, claimed, timed_out(claimed, index)).failed == 1
    assert bodies(store) == before, "all of it is still needed"
    consistent(store)
    while claims := claim(store, 1):
        commit(store, claims[0])
        consistent(store)
    assert sorted(placed(store)) == [n for n in range(10) if n != index]
    assert uses(store) == {"0:3": 1}
    again(store)
    commit(store, claim(store)[0])
    assert bodies(store) == uses(store) == {}
    assert store.info().complete


def test_times_that_are_over_in_what_is_left_of_a_retry(any_queue: Queue) -> None:
    """Of a body with gaps, a range may hold items that are done: they are not done again."""
    store = opened(any_queue, list(range(10)), 10)
    commit(store, claim(store)[0], failing=[0, 1, 5, 9])
    again(store)
    (claimed,) = claim(store)
    assert (str(claimed.range), list(claimed.to_do)) == ("0:10", [0, 1, 5, 9])
    put(store, claimed, timed_out(claimed, 5))
    assert pending(store) == ["0:5 0 0:10", "6:4 0 0:10"]
    consistent(store)
    first, second = claim(store, 2)
    assert (list(first.to_do), list(second.to_do)) == ([0, 1], [9])
    put(store, first, timed_out(first, 0))
    consistent(store)
    commit(store, second, failing=[9])
    consistent(store)
    commit(store, claim(store)[0])
    assert uses(store) == {"0:10": 2}
    again(store)
    for claimed in claim(store, 9):
        commit(store, claimed)
    assert bodies(store) == uses(store) == {}
    assert sorted(results(store)) == list(range(10))


# -- what runs, runs -----------------------------------------------------------------------------------


def settle(store: MapStore, claimed: Claim, bad: int, adapt: bool = True) -> None:
    """Run the range as a pool process does, and commit: of the items some fail."""

    def call(item: Any) -> Any:
        if bad >> codec.loads(codec.dumps(item))[1] % 8 & 1:
            raise ValueError
        return item[1]

    what = run_chunk(Function.of(call), store.keys, False, claimed.range, claimed.body, 10_000, adapt=adapt)
    assert isinstance(what, ChunkOutcome)
    assert put(store, claimed, what).committed


SHARED = ["x" * 100] * 100
KINDS: dict[str, Any] = {
    "plain": lambda n: (os.urandom(300), n),
    "framed": lambda n: (frozenset([complex(n)]), n),
    "shared": lambda n: (SHARED, n),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, phases=[Phase.generate])
@given(data=st.data())
def test_whatever_happens_bodies_are_no_more_than_was_pushed(kind: str, data: st.DataObject) -> None:
    """Run, split, timed out, released, closed and opened again: each item once, and no body without need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taskq.maps.runner.SLICE", LONG)  # what is drawn must not depend on how busy the machine is
        _whatever_happens(kind, data)


def _whatever_happens(kind: str, data: st.DataObject) -> None:
    store = opened(make_fake_queue(), [KINDS[kind](n) for n in range(30)], data.draw(st.integers(1, 30)))
    pushed = sum(map(len, bodies(store).values()))
    for _ in range(12):
        act = data.draw(st.sampled_from(["run", "run", "split", "time", "release", "again"]))
        claims = claim(store) if act != "again" else []
        if act == "again":
            again(store)
        elif claims and act == "run":
            settle(store, claims[0], data.draw(st.integers(0, 255)))
        elif claims and act == "split" and len(claims[0].to_do) > 1:
            halve(store, claims[0], 3)
        elif claims and act == "time":
            put(store, claims[0], timed_out(claims[0], data.draw(st.sampled_from(list(claims[0].to_do)))))
        elif claims:
            give_back(store, *claims, deaths=1)
        there = bodies(store)
        small = sum(256 + 32 * len(read_header(data).indexes) for data in there.values())
        assert sum(map(len, there.values())) <= pushed + small
        consistent(store)
    again(store)
    for claimed in _all(store):
        settle(store, claimed, 0)
    assert bodies(store) == uses(store) == {}
    assert sorted(placed(store)) == list(range(30))


def _all(store: MapStore) -> Iterator[Claim]:
    while claims := claim(store):
        yield from claims


def test_the_retry_of_slow_items_that_fail_stores_no_more_than_was_pushed(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that refuses at once, and hangs when it is asked again: chunks are cut, and each part fails."""
    monkeypatch.setattr("taskq.maps.runner.SLICE", 0.002)
    store = any_queue.map(jobs.square, [os.urandom(3000) for _ in range(150)]).store
    pushed = sum(map(len, bodies(store).values()))
    most, seconds = 0, 0.0

    def call(_item: bytes) -> None:
        time.sleep(seconds)
        raise ConnectionError

    for _ in range(3):
        store.open(A)
        for claimed in _all(store):
            what = run_chunk(Function.of(call), store.keys, False, claimed.range, claimed.body, 10**4, adapt=True)
            assert isinstance(what, ChunkOutcome)
            put(store, claimed, what)
            there = bodies(store)
            most = max(most, sum(map(len, there.values())) - 100 * len(there))
        assert (store.info().failed, held(store, A)) == (150, {})
        store.close()
        seconds = 0.002
    assert len(bodies(store)) > 50, "it was cut into small parts"
    assert most <= pushed
