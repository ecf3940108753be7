"""The sweep's short form. How long something took says nothing on a busy machine: what ran meanwhile does."""

from __future__ import annotations

import pytest

from taskq import Queue
from tests.acceptance.conftest import workers  # noqa: F401 - a fixture
from tests.acceptance.worker import Workers
from tests.sweep.measure import measure
from tests.sweep.mixes import Mix, mixes

pytestmark = pytest.mark.acceptance

PROCESSES = 2


def test_newcomers_get_the_next_process(workers: Workers, real_queue: Queue) -> None:  # noqa: F811 - as above
    workers.ready(PROCESSES, "high", "low")
    for mix in (Mix(0.2, 4, before=False, chunksize=1), Mix(0.02, 16, before=True, chunksize=None)):
        seen = measure(real_queue.connection, mix, PROCESSES)
        assert seen.between <= 10 * PROCESSES * max(1.0, 0.15 / mix.seconds), mix


def test_it_sweeps_over_all() -> None:
    assert len({*mixes()}) == 8 * 4 * 2 * 2
