"""The register of live services."""

from __future__ import annotations

import time
from typing import Any

import pytest

from taskq import Queue
from taskq.maps.body import read_header
from taskq.maps.chunk import CHUNKS_PER_CORE
from taskq.redis import keys, services
from taskq.redis.lua import Scripts
from taskq.redis.services import ServiceInfo
from tests import jobs


def info(name: str, **fields: Any) -> ServiceInfo:
    given = {"host": "here", "pid": 1, "processes": 2, "queues": ("default",), "python": "3.12", "started": 1.5}
    return ServiceInfo(name, **{**given, **fields})


def renew(queue: Queue, one: ServiceInfo, lease: float = 60.0) -> Any:
    with queue.connection.pipeline() as pipe:
        services.renew(pipe, one, lease)
        return pipe.execute()[0]


def test_nobody_there(any_queue: Queue) -> None:
    assert services.live(any_queue.connection) == []
    assert services.cores(any_queue.connection, "default") == 0
    assert services.lost(any_queue.connection, time.time()) == []


def test_what_a_service_says_comes_back(any_queue: Queue) -> None:
    one = info("b", queues=("default", "grün"), pids=(7, 8), host="größer")
    renew(any_queue, one)
    renew(any_queue, info("a"))
    assert services.live(any_queue.connection) == [info("a"), one]


def test_a_service_is_listed_once(any_queue: Queue) -> None:
    renew(any_queue, info("a", processes=2))
    renew(any_queue, info("a", processes=3))
    assert services.live(any_queue.connection) == [info("a", processes=3)]


def test_only_those_on_a_queue(any_queue: Queue) -> None:
    renew(any_queue, info("a", queues=("one", "two")))
    renew(any_queue, info("b", queues=("two",)))
    names = {
        queue: [one.name for one in services.live(any_queue.connection, queue)] for queue in ("one", "two", "x")
    }
    assert names == {"one": ["a"], "two": ["a", "b"], "x": []}


def test_cores_are_added_up(any_queue: Queue) -> None:
    renew(any_queue, info("a", processes=2))
    renew(any_queue, info("b", processes=3))
    renew(any_queue, info("c", processes=5, queues=("other",)))
    renew(any_queue, info("d", processes=7), lease=-1)
    assert services.cores(any_queue.connection, "default") == 5


def test_a_lease_that_is_over(any_queue: Queue) -> None:
    renew(any_queue, info("a"), lease=-1)
    renew(any_queue, info("b"))
    assert [one.name for one in services.live(any_queue.connection)] == ["b"]
    assert services.lost(any_queue.connection, time.time()) == ["a"]
    assert services.lost(any_queue.connection, time.time() + 100) == ["a", "b"]


def test_a_lease_is_renewed(any_queue: Queue) -> None:
    renew(any_queue, info("a"), lease=-1)
    renew(any_queue, info("a"))
    assert services.lost(any_queue.connection, time.time()) == []


def test_only_a_lease_that_is_still_over_can_be_taken_away(any_queue: Queue) -> None:
    scripts = Scripts(any_queue.connection)
    renew(any_queue, info("a"), lease=-1)
    now = time.time()
    renew(any_queue, info("a"))  # in the last moment
    assert not services.depose(scripts, "a", now)
    assert not services.depose(scripts, "nobody", now)
    assert services.live(any_queue.connection) == [info("a")]


def test_who_was_given_up_for_dead_hears_of_it(any_queue: Queue) -> None:
    scripts = Scripts(any_queue.connection)
    assert renew(any_queue, info("a"), lease=-1) is None
    assert services.depose(scripts, "a", time.time())
    assert services.depose(scripts, "a", time.time()), "if the first dies, another goes on"
    assert services.lost(any_queue.connection, time.time()) == ["a"]
    assert renew(any_queue, info("a")) == 0
    assert renew(any_queue, info("a"))
    assert services.lost(any_queue.connection, time.time()) == []


def test_remove(any_queue: Queue) -> None:
    renew(any_queue, info("a"))
    with any_queue.connection.pipeline() as pipe:
        services.remove(pipe, "a")
        services.remove(pipe, "never there")
        pipe.execute()
    assert any_queue.connection.keys("*") == []


def test_a_lease_without_a_record_is_not_listed(any_queue: Queue) -> None:
    renew(any_queue, info("a"))
    any_queue.connection.hdel(keys.SERVICES, "a")
    assert services.live(any_queue.connection) == []
    assert services.lost(any_queue.connection, time.time() + 100) == ["a"]


@pytest.mark.parametrize("processes", [1, 5, 25])
def test_live_cores_decide_the_size_of_chunks(any_queue: Queue, processes: int) -> None:
    renew(any_queue, info("a", processes=processes))
    total = 100 * CHUNKS_PER_CORE[0] * processes
    job = any_queue.map(jobs.square, range(total))
    payloads = any_queue.connection.hvals(job.store.keys.bodies)
    assert max(read_header(payload).range.count for payload in payloads) == 100
