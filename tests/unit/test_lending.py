"""Whether a process waits for other work: what it says, and what the service sees."""

from __future__ import annotations

import multiprocessing
import threading

import fakeredis

from taskq.maps import nested
from taskq.redis.urls import url_of
from taskq_workers.link import marker
from taskq_workers.link.lending import Lending


def test_it_is_lent_as_long_as_one_waits() -> None:
    told: list[bool] = []
    numbers = marker.allot(multiprocessing)
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
    numbers = marker.allot(multiprocessing)
    service, process = Lending(numbers), Lending(numbers)
    left_behind = process.lend()
    process.reset()
    assert not service.lent
    own = process.lend()
    process.take_back(left_behind)
    assert service.lent
    process.take_back(own)
    assert not service.lent


def test_a_wait_that_goes_on_for_another_task_lends_again_if_it_is_told() -> None:
    numbers, connection = marker.allot(multiprocessing), fakeredis.FakeRedis()
    service, process = Lending(numbers), Lending(numbers)
    with nested.used(process, url_of(connection), "", thread=threading.get_ident()):
        wait = nested.Lending(connection, "a map")
        wait.begin()
        process.reset()
        wait.begin()
        assert not service.lent, "it is nobody's"
        for _ in range(2):
            wait.renew()
            wait.begin()
            assert service.lent
        wait.end()
        assert not service.lent
