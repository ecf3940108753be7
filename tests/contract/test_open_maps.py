"""The register of open maps, and what a look says of a queue."""

from __future__ import annotations

from typing import Any

import pytest

from taskq import MapJob, Queue
from taskq.redis import keys
from taskq.redis.keys import MapField
from taskq.redis.lua import Scripts
from tests import jobs
from tests.contract.by_hand import A, B, claim, commit


def pushed(queue: Queue, **options: Any) -> MapJob:
    return queue.map(jobs.square, range(10), chunksize=3, **options)


def look(queue: Queue, *names: str, most: int = 10, start: int = 0) -> Any:
    args = [keys.OPEN, "taskq:{", "}", "rq:queue:", most, start, A, *(names or (queue.name,))]
    suspended, *found = Scripts(queue.connection).look(["rq:suspended"], args)
    assert suspended == queue.connection.exists("rq:suspended")
    return found


def test_a_map_is_in_the_register_while_it_is_open(any_queue: Queue) -> None:
    job = pushed(any_queue)
    assert look(any_queue) == [[0, 1]], "one job waits, and nothing is open"
    any_queue.connection.delete(any_queue.key)
    job.store.open(A)
    said = [job.id.encode(), job.incarnation.encode(), b"", 4, 0, b"", b""]
    assert look(any_queue) == [[0, 0, said]]
    job.store.close()
    assert look(any_queue) == []
    assert not any_queue.connection.exists(keys.OPEN + any_queue.name)
    job.store.open(B)
    assert look(any_queue) == [[0, 0, said]], "opened again"


def test_a_look_says_whether_anything_may_be_begun(any_queue: Queue) -> None:
    pushed(any_queue)
    any_queue.connection.set("rq:suspended", 1)
    assert look(any_queue) == [[0, 1]]


def test_a_look_says_how_much_is_pending_and_claimed(any_queue: Queue) -> None:
    job = pushed(any_queue, weight=2.5)
    any_queue.connection.delete(any_queue.key)
    job.store.open(A)
    first, _second = claim(job.store, 2)
    commit(job.store, first)
    said = [job.id.encode(), job.incarnation.encode(), b"2.5", 2, 1, b"", b""]
    assert look(any_queue, "other", any_queue.name) == [[1, 0, said]]


@pytest.mark.parametrize("left", ["deleted", "closed", "being written", "something else"])
def test_what_is_not_open_is_taken_off(any_queue: Queue, left: str) -> None:
    job = pushed(any_queue)
    any_queue.connection.delete(any_queue.key)
    job.store.open(A)
    key = job.store.keys.hash
    if left == "deleted":
        any_queue.connection.delete(key)
    elif left == "something else":
        any_queue.connection.delete(key)
        any_queue.connection.rpush(key, "x")
    else:
        any_queue.connection.hset(key, MapField.STATE, "closed" if left == "closed" else "writing")
    assert look(any_queue) == []
    assert not any_queue.connection.exists(keys.OPEN + any_queue.name)


def test_garbage_in_a_register_is_no_map(any_queue: Queue) -> None:
    any_queue.connection.set(keys.OPEN + any_queue.name, "x")
    any_queue.connection.hset(any_queue.key, "x", "y")
    assert look(any_queue) == []
    job = pushed(Queue("other", connection=any_queue.connection))
    any_queue.connection.delete("rq:queue:other")
    job.store.open(A)
    any_queue.connection.delete(job.store.keys.pending)
    any_queue.connection.set(job.store.keys.pending, "x")
    assert look(any_queue, "other") == [[0, 0, [job.id.encode(), job.incarnation.encode(), b"", 0, 0, b"", b""]]]


def test_of_very_many_each_look_sees_others(any_queue: Queue) -> None:
    maps = [pushed(any_queue) for _ in range(5)]
    any_queue.connection.delete(any_queue.key)
    for job in maps:
        job.store.open(A)
    seen = [one[0].decode() for start in (0, 2, 4) for one in look(any_queue, most=2, start=start)[0][2:]]
    assert seen == [job.id for job in maps]
