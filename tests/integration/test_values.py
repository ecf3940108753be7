"""A map's results one after the other, from real pool processes, while it runs."""

from __future__ import annotations

import tracemalloc

from taskq import Queue
from taskq.testing import running_worker
from tests import jobs

MEBIBYTE = 1 << 20


def test_each_comes_while_items_are_put(real_queue: Queue) -> None:
    with running_worker(real_queue):
        with real_queue.open_map(jobs.square) as job:
            values, pairs = job.in_order(), job.results_by_index()
            for n in range(3):
                job.put(n)
                assert next(values) == n * n
                assert next(pairs) == (n, n * n)
            job.put_many(range(3, 1000))
        assert list(values) == [n * n for n in range(3, 1000)]
        assert sorted(pairs) == [(n, n * n) for n in range(3, 1000)]


def test_what_is_held_does_not_grow_with_the_results(real_queue: Queue) -> None:
    with running_worker(real_queue):
        job = real_queue.map(jobs.large, range(60), chunksize=4)
        job.wait()
    tracemalloc.start()
    try:
        for how in (job.in_order, job.as_completed):
            assert sum(len(value) for value in how()) == 60 * MEBIBYTE
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < MEBIBYTE
    assert most < 30 * MEBIBYTE
