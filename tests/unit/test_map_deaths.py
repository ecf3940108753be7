"""How deaths with a range are counted."""

from __future__ import annotations

import pytest

from taskq.maps.deaths import GIVEN, SERVICE, TRIED, after_service, given, of_part, services, settled, total


@pytest.mark.parametrize(("number", "of_services", "of_all"), [(0, 0, 0), (2, 0, 2), (1001, 1, 2), (2000, 2, 2)])
def test_counts(number: int, of_services: int, of_all: int) -> None:
    assert (services(number), total(number)) == (of_services, of_all)
    assert (services(given(number)), total(given(number)), settled(given(number))) == (of_services, of_all, number)


@pytest.mark.parametrize(
    ("number", "ran", "after"),
    [
        (0, True, SERVICE),
        (0, False, 0),
        (0, None, SERVICE),  # it may have run
        (1, None, SERVICE + 1),
        (SERVICE, None, SERVICE),  # it was only claimed
        (SERVICE + GIVEN, None, 2 * SERVICE),
        (SERVICE + GIVEN, False, SERVICE),
        (2 * SERVICE + GIVEN, True, 3 * SERVICE),
    ],
)
def test_after_the_death_of_a_service(number: int, ran: bool | None, after: int) -> None:
    assert after_service(number, ran) == after


@pytest.mark.parametrize(("processes", "of_services"), [(2, 0), (1, 1), (0, 2)])
def test_one_that_is_spared_keeps_its_last_chance_and_runs_alone(processes: int, of_services: int) -> None:
    number = given(processes + SERVICE * of_services)
    after = after_service(number, True, spared=True)
    assert total(after) == 2
    assert services(after) == max(1, of_services)


@pytest.mark.parametrize(
    ("number", "of_item"),
    [(0, 0), (1, 1), (2, 1), (SERVICE, SERVICE), (SERVICE + 1, SERVICE), (2 * SERVICE + GIVEN, SERVICE)],
)
@pytest.mark.parametrize("before", [0, TRIED])
def test_an_item_that_is_cut_off_takes_one_death_of_the_whole_along(
    number: int, of_item: int, before: int
) -> None:
    assert of_part(before + number, alone=True) == before + of_item
    assert of_part(before + number, alone=False) == before + settled(number)
