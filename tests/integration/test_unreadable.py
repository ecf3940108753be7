"""Results that can't be unpickled: an error of their item alone, wherever it comes to light."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from taskq import ItemError, PickleError, Queue
from taskq.testing import running_worker
from tests import jobs
from tests.waiting import HANGS


@pytest.fixture
def absent() -> Iterator[None]:
    jobs.Absent.absent = True
    yield
    jobs.Absent.absent = False


def test_nowhere(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1):
        job = fake_queue.map(jobs.sealed_at_3, range(5))
        results = job.get(timeout=HANGS, errors="return")
    assert results[:3] + results[4:] == [0, 1, 2, 4]
    assert isinstance(results[3], PickleError)
    assert "the result of item 3 (dict) can be pickled, but not unpickled: OSError: it can't be" in str(results[3])
    assert list(job.errors) == [3]


def test_not_by_this_producer(fake_queue: Queue, absent: None) -> None:
    with running_worker(fake_queue, processes=1):
        job = fake_queue.map(jobs.absent_at_3, range(5))
        results = job.get(timeout=HANGS, errors="return")
        assert results[:3] + results[4:] == [0, 1, 2, 4]
        assert isinstance(results[3], ItemError)
        with pytest.raises(ItemError, match="the result of item 3 can't be unpickled here: ImportError: no such"):
            job.get()
        with pytest.raises(ItemError, match="the result of item 3"):
            list(job)
    assert job.errors == {}, "it is not the item's fault"


def test_arrays_of_objects_too(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1):
        job = fake_queue.map(np.asarray, [[1, 2], [jobs.Absent()]])
        results = job.get(timeout=HANGS)
    assert results[0].tolist() == [1, 2]
    assert results[1].dtype == object
