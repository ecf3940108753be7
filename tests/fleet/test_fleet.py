"""What grows with the number of services, and what must not; the model agrees with itself."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import pytest

from taskq_workers.service.core.fleet import CHUNK
from tests.fleet import traffic
from tests.fleet.costs import Costs
from tests.fleet.model import Case, run
from tests.fleet.traffic import Traffic, Work
from tests.simulation.many import processes

COSTS = Costs(140, CHUNK * 1e6, 0.8, 28, 9, 200, 60, 40, 2.5, 0.2, 0.2)


def test_one_server_feeds_ten_thousand_cores_in_half_its_time() -> None:
    case = Case(10_000, 1.0, 25)
    came = run(case, COSTS)
    assert came.load < 0.7
    assert came.busy < 0.6, "with the chunks of the end, which are of one item"
    assert came.took < 1.1


def test_few_cores_get_chunks_as_ever() -> None:
    assert run(Case(200, 1.0, 20), COSTS) == run(Case(200, 1.0, 20, crowd=False), COSTS)


def test_long_items_wait_for_nobody() -> None:
    came = run(Case(10_000, 3600.0, 2), COSTS)
    assert came.busy < 0.001
    assert came.took < 1.25


@pytest.fixture(scope="module")
def found() -> list[Traffic]:
    """Few and more services of which half are idle while the others run the last chunks of a map."""
    with processes(1) as pool:
        return [_counted(pool, services) for services in (6, 24)]


def _counted(pool: ProcessPoolExecutor, services: int) -> Traffic:
    return pool.submit(traffic.count, services, 1, Work(services // 2, 60.0), 2.0, 3.0, 2.0).result()


def test_what_a_service_says_and_hears_does_not_grow_with_their_number(found: list[Traffic]) -> None:
    few, many = found
    assert many.bytes_each < 1.2 * few.bytes_each
    assert few.notes, "somebody is idle, and says so"
    assert many.notes_each < 2.5 * few.notes_each, "each hears each"
