"""The sweep's short form. How long something took says nothing on a busy machine: what ran meanwhile does."""

from __future__ import annotations

import pytest

from taskq import Queue
from tests.acceptance.conftest import workers  # noqa: F401 - a fixture
from tests.acceptance.worker import Workers
from tests.sweep.measure import Seen, faults, measure
from tests.sweep.mixes import Mix, mixes
from tests.sweep.summary import table, waits

pytestmark = pytest.mark.acceptance

PROCESSES = 2


def test_newcomers_get_the_next_process(workers: Workers, real_queue: Queue) -> None:  # noqa: F811 - as above
    workers.ready(PROCESSES, "high", "low")
    for mix in (Mix(0.2, 4, before=False, chunksize=1), Mix(0.02, 16, before=True, chunksize=None)):
        seen = measure(real_queue.connection, mix, PROCESSES)
        assert seen.between <= 10 * PROCESSES * max(1.0, 0.15 / mix.seconds), mix


def test_it_sweeps_over_all() -> None:
    assert len({*mixes()}) == 8 * 4 * 2 * 2


def test_its_rows_are_put_together() -> None:
    first = "1 x 2 | 4 x 5 s | 1 | in the same queue | 3.00 s | 8.02 s | 2 | 0, 2 | the small map waited"
    rows = [first, first.replace("3.00", "4.5").replace("8.02 s", "4.5 s").replace("the small map waited", "ok")]
    before, after = waits("\n".join(["a line of a log", *rows])), waits(rows[1])
    assert [*table([before, after])][2] == "| 4 x 5 s | 4.50, 8.02 (1 of 2) | 4.50, 4.50 |"


@pytest.mark.parametrize(
    ("processes", "least", "most", "wrong"),
    [(2, 15.0, 16.8, True), (2, 15.3, 16.8, False), (32, 14.7, 16.8, False), (32, 14.1, 16.8, True)],
)
def test_equal_maps_may_differ_by_a_tenth_or_a_round(
    processes: int, least: float, most: float, wrong: bool
) -> None:
    mix = Mix(0.3, 4, before=False, chunksize=1)
    assert bool(faults(mix, 1, processes, Seen(0.1, 0.1, 4, 50, least, most))) is wrong
