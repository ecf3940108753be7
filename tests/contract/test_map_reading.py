"""What can be learnt of a map while it runs: results by batches, the first error, kinds of errors."""

from __future__ import annotations

import pytest

from taskq import DamagedError, Queue
from taskq.maps.store import MapStore
from taskq.payload import codec
from taskq.payload.outcome import ChunkOutcome, ItemFailure
from tests import jobs
from tests.contract.by_hand import A, claim, commit, put, results


@pytest.fixture
def store(any_queue: Queue) -> MapStore:
    """An open map of ten items in chunks of 3, 3, 3, 1."""
    store = any_queue.map(jobs.square, range(10), chunksize=3).store
    assert store.open(A) is not None
    return store


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


def test_the_first_failure_is_the_one_with_the_lowest_index(store: MapStore) -> None:
    assert store.first_failure(store.info()) is None
    firsts = []
    for claimed in reversed(claim(store, 4)):
        commit(store, claimed, failing=[2, 4, 5, 8])
        first = store.first_failure(store.info())
        firsts.append(first and first.index)
    assert firsts == [None, 8, 4, 2]
    store.connection.hdel(store.keys.errors, "2")
    with pytest.raises(DamagedError, match="record of item 2 is gone"):
        store.first_failure(store.info())


def test_errors_are_counted_by_kind(store: MapStore) -> None:
    for claimed, kind in zip(reversed(claim(store, 4)), "ABAB", strict=True):
        indexes = claimed.to_do
        put(store, claimed, ChunkOutcome([], [], [ItemFailure(index, kind, "") for index in indexes], 1.0, 0.5))
    groups = [(group.type, group.count, group.sample.index) for group in store.groups()]
    assert groups == [("B", 6, 0), ("A", 4, 3)]


def test_kinds_of_errors_are_bounded(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million items that each fail in a way of their own must not fill the server."""
    monkeypatch.setattr("taskq.maps.store.KINDS", 3)
    store = any_queue.map(abs, range(10), chunksize=5).store
    store.open(A)
    for claimed in claim(store, 2):
        indexes = claimed.to_do
        failures = [ItemFailure(index, f"Error{index}", "") for index in indexes]
        put(store, claimed, ChunkOutcome([], [], failures, 1.0, 0.5))
    counts = sorted(group.count for group in store.groups())
    assert counts == [1, 1, 1, 7], "those that are one too many are counted together"
    assert store.connection.hlen(store.keys.groups) == 4
