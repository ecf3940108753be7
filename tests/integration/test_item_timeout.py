"""``item_timeout``: an item that takes too long fails alone, wherever it hangs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from taskq import ItemTimeoutError, OptionError, Queue
from taskq.redis import keys
from taskq.testing import drain, running_worker
from tests import jobs
from tests.waiting import HANGS, LONG

LIMIT = 2.0  # seconds; nothing else here takes as long, even if its process does not get on for a moment


def outcomes(queue: Queue) -> list[str]:
    return [entry[b"outcome"].decode() for _id, entry in queue.connection.xrange(keys.TIMELINE)]


@pytest.mark.parametrize("fn", [jobs.sleep_at, jobs.sleep_in_c_at])
@pytest.mark.parametrize("chunksize", [None, 1, 10])
def test_the_item_fails_and_its_neighbours_run_on(fake_queue: Queue, fn: object, chunksize: int | None) -> None:
    with running_worker(fake_queue, processes=2):
        job = fake_queue.map(partial(fn, 4, LONG), range(10), chunksize=chunksize, item_timeout=LIMIT)  # type: ignore[arg-type]
        results = job.get(timeout=HANGS, errors="return")
    assert [value for n, value in enumerate(results) if n != 4] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert isinstance(results[4], ItemTimeoutError)
    assert isinstance(results[4], TimeoutError)
    assert "item 4 ran longer than item_timeout, 2 s" in str(results[4])
    assert list(job.errors) == [4]
    assert len(job.result_list) == 9
    if fn is jobs.sleep_in_c_at:
        assert outcomes(fake_queue).count("timeout") == 1
    else:
        [group] = job.store.groups()
        assert (Path(group.frame.file).name, group.frame.function) == ("jobs.py", "sleep_at"), "where it was"
        assert set(outcomes(fake_queue)) == {"ok"}, "the process lives on"


def test_an_item_cant_catch_it_by_the_way(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1):
        results = fake_queue.map(jobs.swallow, [LONG, 0], item_timeout=LIMIT).get(timeout=HANGS, errors="return")
    assert isinstance(results[0], ItemTimeoutError)
    assert results[1] == "slept"


def test_quick_items_have_no_alarm_left(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1):
        assert fake_queue.map(jobs.square, range(100), item_timeout=LIMIT).get(timeout=HANGS) == [
            n * n for n in range(100)
        ]
        assert fake_queue.map(jobs.nap, [LIMIT + 0.5]).get(timeout=HANGS) == [LIMIT + 0.5]


def test_a_stock_worker_keeps_to_it(fake_queue: Queue) -> None:
    job = fake_queue.map(partial(jobs.sleep_at, 1, LONG), range(3), item_timeout=LIMIT, job_timeout=HANGS)
    drain(fake_queue)
    assert job.get(errors="return")[::2] == [0, 2]
    assert list(job.errors) == [1]


@pytest.mark.parametrize("bad", [0, -1, "soon", float("inf"), float("nan")])
def test_bad_limits(fake_queue: Queue, bad: object) -> None:
    with pytest.raises(OptionError, match=r"item_timeout|could not convert"):
        fake_queue.map(jobs.square, [1], item_timeout=bad)
    assert fake_queue.connection.keys("*") == []
