"""Whether a process waits for other work: what it says, and what the service sees."""

from __future__ import annotations

import multiprocessing

from taskq_workers.link import lending
from taskq_workers.link.lending import Lending


def test_it_is_lent_as_long_as_one_waits() -> None:
    told: list[bool] = []
    numbers = lending.allot(multiprocessing)
    service = Lending(numbers)
    process = Lending(numbers, lambda: told.append(service.lent))
    one, other = process.lend(), process.lend()
    process.take_back(one)
    assert service.lent
    process.take_back(other)
    assert not service.lent
    assert told == [True, False]


def test_a_wait_of_a_task_that_has_ended_takes_nothing_from_the_next() -> None:
    """A thread that was left behind ends to wait only then."""
    numbers = lending.allot(multiprocessing)
    service, process = Lending(numbers), Lending(numbers)
    left_behind = process.lend()
    process.reset()
    assert not service.lent
    own = process.lend()
    process.take_back(left_behind)
    assert service.lent
    process.take_back(own)
    assert not service.lent
