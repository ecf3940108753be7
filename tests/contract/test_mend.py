"""Keys that all services share are deleted only if the server itself finds that nobody can work with them."""

from __future__ import annotations

import time
from typing import Any

import fakeredis
import pytest
import redis

from taskq import Queue
from taskq.redis import keys
from taskq.redis.lua import Scripts
from taskq.testing import running_worker
from taskq_workers.service.core import damage
from tests import jobs
from tests.waiting import HANGS


@pytest.fixture
def used(any_queue: Queue) -> Any:
    """A connection to a server on which a service has worked."""
    with running_worker(any_queue, 1):
        any_queue.map(jobs.square, range(3)).get(timeout=HANGS)
        held = {key: any_queue.connection.dump(key) for key in (keys.LEASES, keys.SERVICES, keys.TIMELINE)}
    for key, value in held.items():
        any_queue.connection.delete(key)
        any_queue.connection.restore(key, 0, value)
    return any_queue.connection


def shared(connection: Any) -> set[str]:
    return {key for key in (keys.LEASES, keys.SERVICES, keys.TIMELINE) if connection.exists(key)}


def test_what_is_sound_stays(used: Any) -> None:
    assert not damage.mend(Scripts(used))
    assert shared(used) == {keys.LEASES, keys.SERVICES, keys.TIMELINE}


def test_whatever_a_client_takes_it_for(real_queue: Queue, used: Any) -> None:
    """To a client that decodes, TYPE is a text, and no key of the type that it is to be."""
    options = {**real_queue.connection.connection_pool.connection_kwargs, "decode_responses": True}
    pool = redis.ConnectionPool(real_queue.connection.connection_pool.connection_class, **options)
    damage.mend(Scripts(redis.Redis(connection_pool=pool)))
    assert shared(used) == {keys.LEASES, keys.SERVICES, keys.TIMELINE}


def test_whatever_time_this_host_has(used: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose clock is years behind takes every timeline for one of a time to come."""
    if isinstance(used, fakeredis.FakeRedis):
        return  # a server in this process has this host's time
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert not damage.mend(Scripts(used))


def test_what_is_of_another_type_goes_alone(used: Any) -> None:
    used.delete(keys.LEASES)
    used.set(keys.LEASES, "x")
    assert damage.mend(Scripts(used))
    assert shared(used) == {keys.SERVICES, keys.TIMELINE}


def test_a_timeline_of_a_time_to_come_goes(used: Any) -> None:
    used.xadd(keys.TIMELINE, {"a": "b"}, id=f"{int((time.time() + 10 * 86400) * 1000)}-0")
    assert damage.mend(Scripts(used))
    assert shared(used) == {keys.LEASES, keys.SERVICES}
