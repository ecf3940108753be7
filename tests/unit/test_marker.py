"""What a lane and its process tell each other in a few numbers."""

from __future__ import annotations

import pytest

from taskq_workers.link import marker
from taskq_workers.link.marker import Marker


@pytest.fixture
def both() -> tuple[Marker, Marker]:
    """The process's view, and the service's."""
    numbers = marker.fresh()
    process = Marker(numbers)
    process.begin(0)
    return process, Marker(numbers)


def test_all_that_was_taken_back_is_not_begun(both: tuple[Marker, Marker]) -> None:
    """However long the first one runs: one after the other was put behind it, and taken back."""
    process, service = both
    process.begin(7)
    for number in (9, 12, 13, 20):
        service.recall(number)
    assert not process.stops(7)
    for number in (9, 12, 13, 20):
        process.begin(number)
        assert process.stops(number)
    process.begin(21)
    assert not process.stops(21)


def test_what_comes_after_that_is(both: tuple[Marker, Marker]) -> None:
    process, service = both
    process.begin(7)
    service.recall(9)
    process.begin(9)
    process.begin(11)
    assert not process.stops(11)
    service.recall(14)
    assert not process.stops(11)
    assert not process.stops(12)
    assert process.stops(14)


def test_the_first_that_is_taken_back_is_not_the_one_before(both: tuple[Marker, Marker]) -> None:
    process, service = both
    service.recall(2)
    assert not process.stops(1)
    assert process.stops(2)


def test_who_is_asked_to_stop_is_asked_beside_them(both: tuple[Marker, Marker]) -> None:
    process, service = both
    process.begin(3)
    service.recall(5)
    service.stop(3)
    assert process.stops(3)
    assert process.stops(5)
    service.stop_all()
    assert process.stops(99)


def test_whether_a_task_is_read_that_has_not_begun(both: tuple[Marker, Marker]) -> None:
    process, service = both
    assert not service.reading
    for now in (False, True):
        process.reads(now)
        assert service.reading is now
    process.begin(3)
    assert not service.reading
