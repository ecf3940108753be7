"""``results="discard"``: results are counted, what is stored does not grow, and the proof proves as ever."""

from __future__ import annotations

import random
from typing import Any

import pytest

from taskq import DamagedError, MapFailedError, OptionError, Queue
from taskq.maps.job import MapJob
from taskq.maps.proof import prove
from taskq.maps.runner import run_chunk
from taskq.payload.function import Function
from taskq.payload.outcome import ChunkOutcome
from taskq.redis import schema
from taskq.testing import drain, running_worker
from tests import jobs
from tests.contract.by_hand import claim, commit, put
from tests.waiting import HANGS, wait_until

LONG = 60


def pushed(queue: Queue, count: int = LONG, **options: Any) -> MapJob[Any]:
    return queue.map(jobs.invert, [1] * count, chunksize=1, results="discard", **options)


def run(job: MapJob[Any], order: list[int] | None = None, failing: set[int] | None = None) -> None:
    """Commit all chunks, in this order."""
    job.store.open("worker-a")
    claims = {one.range.start: one for one in claim(job.store, LONG)}
    for start in order or sorted(claims):
        outcome = ChunkOutcome([], [(start, 1)], [], 1.0, 0.1, discarded=True)
        if start in (failing or ()):
            commit(job.store, claims[start], failing=[start])
        else:
            assert put(job.store, claims[start], outcome).committed


def spans(job: MapJob[Any]) -> dict[bytes, bytes]:
    return dict(job.connection.hgetall(job.store.keys.spans))


@pytest.mark.parametrize("mixed", [False, True])
def test_what_is_stored_does_not_grow(any_queue: Queue, mixed: bool) -> None:
    job, order = pushed(any_queue), list(range(LONG))
    if mixed:
        random.Random(1).shuffle(order)
    run(job, order)
    k = job.store.keys
    assert spans(job) == {b"from 0": b"%d" % LONG, b"to %d" % LONG: b"0"}
    assert any_queue.connection.exists(k.results, k.bodies, k.pending, k.claims, k.errors) == 0
    assert job.store.info().done == LONG
    prove(job.store, discards=True)


def test_what_fails_is_a_gap(any_queue: Queue) -> None:
    job = pushed(any_queue, 20)
    run(job, failing={0, 7, 8, 19})
    assert {name: int(end) for name, end in spans(job).items() if name.startswith(b"from")} == {
        b"from 1": 7, b"from 9": 19
    }  # fmt: skip
    prove(job.store, discards=True)


@pytest.mark.parametrize("what", ["gone", "one end", "twice", "a gap", "no number"])
def test_what_was_changed_is_seen(any_queue: Queue, what: str) -> None:
    job = pushed(any_queue, 20)
    run(job, failing={10})
    key, connection = job.store.keys.spans, any_queue.connection
    if what == "gone":
        connection.delete(key)
    elif what == "one end":
        connection.hset(key, "to 10", 1)
    elif what == "twice":
        connection.hset(key, mapping={"from 4": 6, "to 6": 4})
    elif what == "a gap":
        connection.delete(key)
        connection.hset(key, mapping={"from 0": 11, "to 11": 0, "from 12": 20, "to 20": 12})
    else:
        connection.hset(key, "from 0", "x")
    with pytest.raises(DamagedError):
        prove(job.store, discards=True)


def test_values_of_what_keeps_none_are_refused(any_queue: Queue) -> None:
    job = pushed(any_queue, 2)
    job.store.open("worker-a")
    [first] = claim(job.store)
    with pytest.raises(DamagedError):
        put(job.store, first, ChunkOutcome([b"x"], [(0, 1)], [], 1.0, 0.1, discarded=True))
    assert job.store.info().done == 0


def test_a_result_need_not_be_picklable(any_queue: Queue) -> None:
    job = pushed(any_queue, 2)
    job.store.open("worker-a")
    [first] = claim(job.store)
    made = Function.of(jobs.unpicklable)
    kept = run_chunk(made, job.store.keys, False, first.range, first.body, 10**6)
    assert isinstance(kept, ChunkOutcome)
    assert kept.failures
    outcome = run_chunk(made, job.store.keys, False, first.range, first.body, 10**6, discards=True)
    assert isinstance(outcome, ChunkOutcome)
    assert (outcome.values, outcome.spans, outcome.failures) == ([], [(0, 1)], [])


@pytest.mark.parametrize("runs", ["service", "stock"])
def test_it_is_counted(fake_queue: Queue, runs: str) -> None:
    job = fake_queue.map(jobs.invert, range(1, 200), results="discard")
    if runs == "stock":
        drain(fake_queue)
        assert job.count(timeout=HANGS) == 199
    else:
        with running_worker(fake_queue):
            assert job.count(timeout=HANGS) == 199
            wait_until(job.successful)
    assert list(job.result_list) == []
    assert job.return_value()["done"] == 199


def test_there_is_no_list(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.invert, [1, 2], results="discard")
    with pytest.raises(OptionError, match=r"job\.count\(\)"):
        job.get(timeout=0)
    with pytest.raises(OptionError, match=r"job\.count\(\)"):
        job[0]
    drain(fake_queue)
    with pytest.raises(OptionError, match=r"job\.count\(\)"):
        job.store.spans(0, 1)


def test_count_raises_as_get_does(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.invert, [1, 0, 2], results="discard")
    drain(fake_queue)
    with pytest.raises(ZeroDivisionError):
        job.count(timeout=HANGS)
    early = fake_queue.map(jobs.invert, [1, 0, 0, 0], results="discard", chunksize=1, max_failures=0)
    drain(fake_queue)
    with pytest.raises(ZeroDivisionError):
        early.count()
    job.requeue()
    assert job.get_status() == "queued"


def test_count_of_a_map_that_keeps_its_results(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.invert, [1, 2, 4])
    drain(fake_queue)
    assert job.count() == 3
    assert job.get() == [1, 0.5, 0.25]
    failed = fake_queue.map("nothing.here", [1])
    drain(fake_queue)
    with pytest.raises(MapFailedError):
        failed.count()


@pytest.mark.parametrize("results", ["keep", "discard"])
@pytest.mark.parametrize("change", [{"done": 30}, {"done": 3, "failed": 2}, {"done": 1, "failed": 4}])
def test_what_the_hash_has_counted_is_not_what_is_told(
    fake_queue: Queue, results: Any, change: dict[str, int]
) -> None:
    job = fake_queue.map(jobs.invert, [1] * 5, results=results)
    drain(fake_queue)
    fake_queue.connection.hset(job.store.keys.hash, mapping=change)
    if results == "keep":
        assert job.count() == 5
    else:
        with pytest.raises(DamagedError):
            job.count()


@pytest.mark.parametrize("results", ["keep", "discard"])
@pytest.mark.parametrize("change", [{}, {"done": 5, "failed": 0}])
def test_a_failure_of_which_the_hash_does_not_tell_is_no_success(
    fake_queue: Queue, results: Any, change: dict[str, int]
) -> None:
    job = fake_queue.map(jobs.invert, [1, 1, 0, 1, 1], results=results)
    drain(fake_queue)
    fake_queue.connection.hdel(job.store.keys.hash, "first")
    if change:
        fake_queue.connection.hset(job.store.keys.hash, mapping=change)
    with pytest.raises(DamagedError):
        job.count()


@pytest.mark.parametrize("value", ["", "drop", None, True])
def test_what_it_cannot_be(fake_queue: Queue, value: Any) -> None:
    with pytest.raises(OptionError, match="results"):
        fake_queue.map(jobs.invert, [1], results=value)
    with pytest.raises(OptionError, match="results"):
        next(fake_queue.imap(jobs.invert, [1], results="discard"))  # type: ignore[call-arg]


def test_who_does_not_know_it_keeps_away(fake_queue: Queue) -> None:
    assert fake_queue.map(jobs.invert, [1], results="discard").schema == schema.TERMS
    assert fake_queue.map(jobs.invert, [1], results="keep").schema == schema.SCHEMA


def test_a_memo_keeps_what_is_kept(fake_queue: Queue) -> None:
    with pytest.raises(OptionError, match="memo"):
        fake_queue.map(jobs.invert, [1], results="discard", memo="m")
