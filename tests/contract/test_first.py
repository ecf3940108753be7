"""``first``: a map has finished with so many results; no more are stored, whoever else has some."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, cast

import pytest
from rq.job import JobStatus

from taskq import DamagedError, EnoughError, MapJob, OptionError, Queue
from taskq.maps import orphans, surplus
from taskq.maps.proof import prove
from taskq.payload.outcome import ChunkOutcome
from taskq.redis import schema
from taskq.testing import drain, running_worker
from taskq_workers.service.jobs import rounds
from tests import jobs
from tests.contract.by_hand import A, B, claim, commit, outcome, pending, placed, put
from tests.waiting import HANGS, wait_until


def begun(queue: Queue, count: int, first: int, **options: Any) -> MapJob[Any]:
    job = queue.map(jobs.square, range(count), first=first, **options)
    job.store.open(A)
    return job


def test_what_comes_later_is_not_stored(any_queue: Queue) -> None:
    job = begun(any_queue, 10, 2, chunksize=1)
    store, held = job.store, claim(job.store, 3)
    late = claim(job.store, 1, B)
    commit(store, held[0])
    assert not store.info().enough
    assert commit(store, held[2]).complete
    assert store.info().enough
    assert store.info().complete
    assert not commit(store, held[1]).committed
    assert not commit(store, late[0], failing=late[0].to_do).committed
    assert claim(store, 5) == [], "nothing new starts"
    assert job.cancel_item(9) is False
    assert (placed(store), store.info().done, store.info().failed) == ([0, 2], 2, 0)
    prove(store)


@pytest.mark.parametrize("failing", [[], [1], [0, 5], [0, 1, 2]])
def test_of_a_chunk_with_too_many_as_many_are_stored_as_are_wanted(any_queue: Queue, failing: list[int]) -> None:
    job = begun(any_queue, 12, 3, chunksize=6)
    store = job.store
    first, second = claim(store, 2)
    commit(store, second, failing=[6, 7, 8, 9, 10])  # one result
    what = outcome(store, first, failing)
    totals = put(store, first, what)
    wanted = 6 - len(failing) > 2
    assert (totals.committed, totals.room) == (not wanted, 2 if wanted else 0)
    if wanted:
        assert store.info().done == 1, "nothing was changed"
        assert put(store, first, surplus.without(what, first, totals.room)).complete
    info = store.info()
    assert info.done == 3
    assert info.failed == 5 + len(failing)
    there = sorted([*placed(store), *failing, 6, 7, 8, 9, 10])
    again = [one for entry in pending(store) for one in _items(entry)]
    assert sorted(there + again) == list(range(12)), "each item is in one place"
    prove(store)


def _items(entry: str) -> range:
    start, count = map(int, entry.partition(" ")[0].split(":"))
    return range(start, start + count)


def test_a_map_that_is_opened_once_more_has_what_it_wants(any_queue: Queue) -> None:
    """A service dies between the end of it and the record of that."""
    job = begun(any_queue, 4, 1, chunksize=1)
    bad, good = claim(job.store, 2)
    commit(job.store, bad, failing=[0])
    commit(job.store, good)
    job.store.close(whole=True)
    assert job.store.info().state == "closed"
    info = job.store.open(B)
    assert info is not None
    assert (info.enough, info.state, info.failed) == (True, "open", 1)
    assert claim(job.store) == []
    prove(job.store)


@pytest.mark.parametrize("key", ["spans", "results"])
def test_what_was_changed_is_seen(any_queue: Queue, key: str) -> None:
    job = begun(any_queue, 4, 2, chunksize=1)
    for one in claim(job.store, 2):
        commit(job.store, one)
    any_queue.connection.lpop(getattr(job.store.keys, key))
    with pytest.raises(DamagedError):
        prove(job.store)


def test_services_see_it_without_being_told(any_queue: Queue) -> None:
    job = begun(any_queue, 4, 2, chunksize=1)
    run = cast("Any", type("Run", (), {"store": job.store, "info": job.store.info()}))
    incarnation = job.incarnation.encode()
    reply = [incarnation, b"open", b"4", b"1", b"1", None, None, None, None, None]
    assert rounds._goes_on(run, reply)
    assert not rounds._goes_on(run, [incarnation, b"open", b"4", b"2", b"1", None, None, None, None, None])


@pytest.mark.parametrize("runs", ["service", "stock"])
@pytest.mark.parametrize("chunksize", [None, 1])
def test_it_has_finished_with_so_many(fake_queue: Queue, runs: str, chunksize: int | None) -> None:
    job = fake_queue.map(jobs.fail_odd, range(1000), first=5, chunksize=chunksize)
    if runs == "stock":
        drain(fake_queue)
    else:
        with running_worker(fake_queue, 2) as state:
            wait_until(job.ready)
            wait_until(lambda: not state.maps)
    assert job.get_status() == JobStatus.FINISHED
    results = job.get(timeout=HANGS)
    assert len(results) == 5
    assert results == sorted(results), "in the order of the items"
    assert job.get(errors="return") == results
    assert sorted(job) == results
    assert job.count() == 5
    assert job.successful()
    assert job.return_value()["done"] == 5
    if runs == "stock":
        assert results == [0, 2, 4, 6, 8]
        assert job.store.info().failed == 4, "a chunk ends with what is wanted"


def test_it_fails_as_any_if_there_are_too_few(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.fail_odd, range(6), first=4)
    drain(fake_queue)
    assert job.get_status() == JobStatus.FAILED
    with pytest.raises(ValueError, match="odd"):
        job.get(timeout=HANGS)
    assert len(job.get(errors="return")) == 6


def test_more_than_there_are(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, range(3), first=10)
    drain(fake_queue)
    assert job.get() == [0, 1, 4]


def test_with_results_that_are_not_kept(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, range(100), first=7, results="discard", chunksize=10)
    drain(fake_queue)
    assert job.count() == 7


def test_of_what_is_over_only_its_first_results_stay() -> None:
    what = ChunkOutcome([b"a", b"b", b"c", b"d"], [(0, 1), (2, 3)], [], 1.0, 0.5)
    cut = surplus.without(what, cast("Any", None), 2)
    assert (cut.values, cut.spans) == ([b"a", b"b"], [(0, 1), (2, 1)])
    assert [str(part.range) for part in cut.rest] == ["3:2"]


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "3", 2**53])
def test_what_it_cannot_be(fake_queue: Queue, value: Any) -> None:
    with pytest.raises(OptionError, match="first"):
        fake_queue.map(jobs.square, [1], first=value)


def test_where_it_has_no_sense(fake_queue: Queue) -> None:
    with pytest.raises(OptionError, match="first"):
        next(fake_queue.imap(jobs.square, [1], first=1))  # type: ignore[call-arg]
    with pytest.raises(OptionError, match="first"):
        fake_queue.map(jobs.square, [1], first=1, memo="m")
    assert fake_queue.map(jobs.square, [1, 2], first=1).schema == schema.TERMS


# -- of open maps --------------------------------------------------------------------------------------


def test_an_open_map_that_has_enough_takes_no_more(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square, first=2)
    assert job.store.open(A) is not None
    assert [job.put(n) for n in range(4)] == [0, 1, 2, 3]
    first, second, late, _ = claim(job.store, 4)
    assert not put(job.store, first, outcome(job.store, first)).complete
    assert put(job.store, second, outcome(job.store, second)).complete
    assert not put(job.store, late, outcome(job.store, late)).committed
    for _ in range(2):
        with pytest.raises(EnoughError, match="has the 2 results that it wants"):
            job.put(4)
    assert job.put_many(itertools.count()) == range(4, 4)
    assert job.accepted == 4
    info = job.store.info()
    assert (info.items, info.sealed, info.complete) == (4, False, True)
    assert orphans.seal(job.store, info)
    info = job.store.info()
    assert (info.total, info.sealed, info.orphaned) == (4, True, False)
    prove(job.store)
    job.seal()


def test_it_is_sealed_by_nobody_else_before(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square, first=2)
    assert job.store.open(A) is not None
    job.put_many(range(2))
    assert not orphans.seal(job.store, replace(job.store.info(), done=2))
    assert not job.store.info().sealed


def test_its_block_ends_well(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square, first=2)
    assert job.store.open(A) is not None

    def feed() -> None:
        with job:
            for n in itertools.count():
                job.put(n)
                [one] = claim(job.store)
                put(job.store, one, outcome(job.store, one))

    with pytest.raises(EnoughError):
        feed()
    assert (job.store.info().done, job.store.info().state, job.accepted) == (2, "open", 2)
    assert job.get_status() != "canceled"


def test_an_endless_one_is_run_by_a_worker(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        with fake_queue.open_map(jobs.fail_odd, first=5, buffersize=20) as job:
            added = job.put_many(itertools.count())
        assert len(job.get(timeout=HANGS)) == 5
        assert len(job) == len(added) == job.store.info().total
        wait_until(lambda: job.get_status(refresh=True) == "finished")


def test_a_stock_worker_seals_it(fake_queue: Queue) -> None:
    job = fake_queue.open_map(jobs.square, first=2)
    job.put_many(range(10))
    drain(fake_queue)
    assert (job.get(timeout=HANGS), len(job)) == ([0, 1], 10)
