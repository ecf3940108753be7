"""A short chunk is never put behind something long while another process is free."""

from __future__ import annotations

import pytest

from taskq import Queue
from taskq.testing import running_worker
from tests import jobs
from tests.waiting import wait_until


@pytest.mark.parametrize("kind", ["map", "plain"])
def test_short_chunks_beside_a_long_task(real_queue: Queue, kind: str) -> None:
    with running_worker(real_queue, processes=2):
        long = real_queue.map(jobs.nap, [4]) if kind == "map" else real_queue.enqueue(jobs.nap, 4)
        wait_until(lambda: long.get_status(refresh=True) == "started", "the long one runs")
        for _ in range(5):
            assert real_queue.map(jobs.square, range(8), chunksize=1).get(timeout=20)[-1] == 49
        assert long.get_status(refresh=True) == "started", "a short map has waited for the long task's end"
        if kind == "map":
            long.cancel(kill=True)
