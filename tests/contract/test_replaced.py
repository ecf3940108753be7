"""A map whose id was pushed again: whoever reads the one before hears so, and gets nothing of the new one (I8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from taskq import MapJob, Queue, ReplacedError
from taskq.maps.store import MapStore
from taskq.testing import drain
from tests import jobs

READS: dict[str, Callable[[MapStore], Any]] = {
    "spans": lambda store: store.spans(),
    "results": lambda store: store.results.batch(0),
    "errors by index": lambda store: store.failures_at([0]),
    "all errors": lambda store: store.failures(),
    "groups": lambda store: store.groups(),
    "function": lambda store: store.function(),
    "hash": lambda store: store.info(),
}


@pytest.fixture
def replaced(any_queue: Queue) -> MapJob:
    """The job of a map which has ended, and whose id has another one since."""
    job = any_queue.map(jobs.square, range(4), job_id="same")
    drain(any_queue)
    any_queue.map(jobs.invert, range(6), job_id="same")
    drain(any_queue)
    return job


@pytest.mark.parametrize("what", READS)
def test_nothing_of_the_new_one_is_read_as_the_old_ones(replaced: MapJob, what: str) -> None:
    with pytest.raises(ReplacedError, match="pushed again"):
        READS[what](replaced.store)


def test_who_iterates_hears_of_it_in_the_middle(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(4), chunksize=1, job_id="same")
    drain(any_queue)
    values = iter(job[position] for position in range(99))
    next(values)
    job._completed._batch.clear()  # as if no more had come yet
    any_queue.map(jobs.square, range(10, 16), chunksize=1, job_id="same")
    drain(any_queue)
    with pytest.raises(ReplacedError):
        next(values)
