"""``job.errors``: a mapping of which no more is read than is asked for."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from redis.exceptions import ConnectionError as AwayError

from taskq import MapJob, Queue, ServerError
from taskq.maps import failures
from taskq.maps.reader import MapReader
from taskq.testing import drain
from tests import jobs
from tests.contract.by_hand import claim, commit


@pytest.fixture
def job(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> MapJob:
    monkeypatch.setattr(failures, "_BATCH", 3)
    made = any_queue.map(jobs.fail_odd, range(30), chunksize=4)
    drain(any_queue)
    return made


def test_it_is_a_mapping_by_index(job: MapJob) -> None:
    errors = job.errors
    odd = list(range(1, 30, 2))
    assert (list(errors), len(errors)) == (odd, 15)
    assert [index for index, failure in errors.items() if failure.index == index] == odd
    assert [failure.index for failure in errors.values()] == odd
    assert (3 in errors, 4 in errors, 30 in errors, "3" in errors) == (True, False, False, False)
    assert errors == {index: errors[index] for index in odd}
    assert repr(errors).endswith("... 15 in all}")
    with pytest.raises(KeyError):
        errors[2]


def test_one_costs_one_look(job: MapJob, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = []
    read = MapReader._read

    def note(self: MapReader, ask: Any) -> Any:
        looks.append(ask)
        return read(self, ask)

    monkeypatch.setattr(MapReader, "_read", note)
    assert job.errors[7].type == "ValueError"
    assert len(looks) == 1


def test_it_is_read_in_few_looks_however_the_failures_lie(job: MapJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other item has failed: each is a gap of its own between the results."""
    asked: list[int] = []
    failures_at = MapReader.failures_at
    monkeypatch.setattr(
        MapReader, "failures_at", lambda self, some: (asked.append(len(some)), failures_at(self, some))[1]
    )
    assert len(list(job.errors)) == 15
    assert asked == [3, 3, 3, 3, 3]


def test_nothing_failed(any_queue: Queue) -> None:
    made = any_queue.map(jobs.square, range(3))
    assert (dict(made.errors), len(made.errors), repr(made.errors)) == ({}, 0, "{}")


def test_an_exception_of_half_a_mebibyte_is_what_was_raised(any_queue: Queue) -> None:
    job = any_queue.map(jobs.raise_with, [500_000])
    drain(any_queue)
    with pytest.raises(LookupError) as caught:
        job.get()
    assert len(caught.value.args[0]) == 500_000


def test_of_a_map_that_keeps_no_results(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_BATCH", 3)
    made = any_queue.map(jobs.fail_odd, range(30), chunksize=4, results="discard")
    drain(any_queue)
    odd = list(range(1, 30, 2))
    assert list(made.errors) == odd
    assert [failure.index for failure in made.errors.values()] == odd
    assert repr(made.errors).endswith("... 15 in all}")


def test_of_an_open_map_nothing_is_looked_for_behind_what_was_put(any_queue: Queue) -> None:
    made = any_queue.open_map(jobs.fail_odd)
    made.put_many(range(3))
    for one in claim(made.store, 9):
        commit(made.store, one, failing=[index for index in one.to_do if index == 1])
    seen = islice(made.errors._batches(), 9)  # type: ignore[attr-defined]
    assert sum(map(len, seen)) == 1
    assert list(made.errors) == [1]
    made.cancel()


def test_a_server_that_is_away_is_a_clear_error(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise AwayError("no route")

    made = any_queue.map(jobs.fail_odd, range(3))
    monkeypatch.setattr(MapReader, "failed", away)
    with pytest.raises(ServerError, match="no route"):
        len(made.errors)
    with pytest.raises(ServerError, match="no route"):
        list(made.errors)
