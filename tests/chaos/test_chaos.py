"""A short run of chaos; ``make chaos SECONDS=600`` makes a long one."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from tests.chaos import schedule
from tests.chaos.run import run
from tests.chaos.site import QUEUES

SEED = 7
SECONDS = 11.0


def test_the_schedule_is_a_function_of_the_seed() -> None:
    assert schedule.deeds(1, 60.0, 2.0) == schedule.deeds(1, 60.0, 2.0) != schedule.deeds(2, 60.0, 2.0)
    first, again, other = (list(islice(schedule.orders(seed, QUEUES), 100)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("seed", range(5))
def test_a_short_run_does_every_deed(seed: int) -> None:
    deeds = schedule.deeds(seed, SECONDS, 1.5)
    assert {deed.kind for deed in deeds} == set(schedule.WEIGHTS)
    assert max(deed.at for deed in deeds) < SECONDS


@pytest.mark.acceptance
def test_chaos(tmp_path: Path) -> None:
    report = run(SEED, SECONDS, tmp_path, print, least=501)
    assert report.problems == [], f"\n{report}"
    assert report.deeds.total() >= len(schedule.WEIGHTS) - 2, "the monkey did what it was to do"
    assert report.items > 500
