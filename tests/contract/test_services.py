"""The register of live services."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from taskq import Queue
from taskq.maps.body import read_header
from taskq.maps.chunk import CHUNKS_PER_CORE
from taskq.redis import keys, services
from taskq.redis.lua import Scripts
from taskq.redis.services import ServiceInfo
from taskq_workers.manager import health
from taskq_workers.settings import HOST
from tests import jobs
from tests.waiting import HANGS, wait_until


def info(name: str, **fields: Any) -> ServiceInfo:
    given = {"host": "here", "pid": 1, "processes": 2, "queues": ("default",), "python": "3.12", "started": 1.5}
    return ServiceInfo(name, **{**given, **fields})


def renew(queue: Queue, one: ServiceInfo, lease: float = 60.0) -> bool:
    return services.renew(Scripts(queue.connection), one, lease).alive


def lost(queue: Queue) -> list[str] | None:
    return services.lost(queue.connection, Scripts(queue.connection), 60.0)


def test_nobody_there(any_queue: Queue) -> None:
    assert services.live(any_queue.connection) == []
    assert services.cores(any_queue.connection, "default") == 0
    assert lost(any_queue) == []


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
    assert lost(any_queue) == ["a"]


def test_a_lease_is_renewed(any_queue: Queue) -> None:
    renew(any_queue, info("a"), lease=-1)
    renew(any_queue, info("a"))
    assert lost(any_queue) == []


def test_only_a_lease_that_is_still_over_can_be_taken_away(any_queue: Queue) -> None:
    scripts = Scripts(any_queue.connection)
    renew(any_queue, info("a"), lease=-1)
    assert lost(any_queue) == ["a"]
    renew(any_queue, info("a"))  # in the last moment
    assert not services.depose(scripts, "a")
    assert not services.depose(scripts, "nobody")
    assert services.live(any_queue.connection) == [info("a")]


def test_who_was_given_up_for_dead_hears_of_it(any_queue: Queue) -> None:
    scripts = Scripts(any_queue.connection)
    assert not renew(any_queue, info("a"), lease=-1)
    assert services.depose(scripts, "a")
    assert services.depose(scripts, "a"), "if the first dies, another goes on"
    assert lost(any_queue) == ["a"]
    assert not renew(any_queue, info("a"))
    assert renew(any_queue, info("a"))
    assert lost(any_queue) == []


def test_remove(any_queue: Queue) -> None:
    renew(any_queue, info("a"))
    with any_queue.connection.pipeline() as pipe:
        services.remove(pipe, "a", "here")
        services.remove(pipe, "never there", "here")
        pipe.execute()
    assert any_queue.connection.keys("*") == []


def test_a_lease_without_a_record_is_not_listed(any_queue: Queue) -> None:
    renew(any_queue, info("a"), lease=-1)
    any_queue.connection.hdel(keys.SERVICES, "a")
    assert services.live(any_queue.connection) == []
    assert lost(any_queue) == ["a"]


def test_a_service_without_a_lease_gets_one_and_is_lost_later(any_queue: Queue) -> None:
    for name in "abc":
        renew(any_queue, info(name))
    any_queue.connection.delete(keys.LEASES)
    renew(any_queue, info("b"))
    assert lost(any_queue) == []
    assert [one.name for one in services.live(any_queue.connection)] == ["a", "b", "c"]
    any_queue.connection.zrem(keys.LEASES, "a", "c")
    assert services.lost(any_queue.connection, Scripts(any_queue.connection), -1.0) == ["a", "c"]


def test_who_asks_after_a_silence_of_the_server_hears_of_nobody(any_queue: Queue) -> None:
    """It had renewed its lease just before; what the others have said since is still to be heard."""
    scripts, connection = Scripts(any_queue.connection), any_queue.connection
    for name in ("asks", "other"):
        renew(any_queue, info(name, lease=30.0), 30.0)

    def hears(silence: float) -> list[str] | None:
        for name in (b"asks", b"other"):
            connection.zincrby(keys.LEASES, -silence, name)
        found = services.lost(connection, scripts, 30.0, "asks")
        for name in (b"asks", b"other"):
            connection.zincrby(keys.LEASES, silence, name)
        return found

    assert hears(19) == []
    assert hears(21) is None
    assert hears(31) is None
    connection.zrem(keys.LEASES, "asks")
    assert services.lost(connection, scripts, 30.0, "asks") is None, "it is no member any more"
    assert services.lost(connection, scripts, 30.0) == []


@pytest.mark.parametrize("hours", [-1, 1])
def test_leases_go_by_the_server_s_clock(real_queue: Queue, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """A host whose clock is wrong takes nobody for dead, and is taken for dead by nobody."""
    clock, shift = time.time, 3600.0 * hours
    renew(real_queue, info("right"))
    monkeypatch.setattr(time, "time", lambda: clock() + shift)
    renew(real_queue, info("wrong"))
    for _ in range(2):
        assert [one.name for one in services.live(real_queue.connection)] == ["right", "wrong"]
        assert lost(real_queue) == []
        assert not services.depose(Scripts(real_queue.connection), "right")
        assert not services.depose(Scripts(real_queue.connection), "wrong")
        monkeypatch.setattr(time, "time", clock)


@pytest.mark.parametrize("processes", [1, 5, 25])
def test_live_cores_decide_the_size_of_chunks(any_queue: Queue, processes: int) -> None:
    renew(any_queue, info("a", processes=processes))
    total = 100 * CHUNKS_PER_CORE[0] * processes
    job = any_queue.map(jobs.square, range(total))
    payloads = any_queue.connection.hvals(job.store.keys.bodies)
    assert max(read_header(payload).range.count for payload in payloads) == 100


def test_a_lease_that_ends_later_than_it_can_is_cut(any_queue: Queue) -> None:
    """As when the server's clock was set back by an hour, while its service was dying."""
    scripts, connection = Scripts(any_queue.connection), any_queue.connection
    for name, lease in (("dead", 20.0), ("long", 7200.0), ("odd", 0.0)):
        services.renew(scripts, info(name, lease=lease), 3600.0)
    before = dict(connection.zrange(keys.LEASES, 0, -1, withscores=True))
    assert services.lost(connection, scripts, 30.0) == []
    after = dict(connection.zrange(keys.LEASES, 0, -1, withscores=True))
    assert before[b"dead"] - after.pop(b"dead") == pytest.approx(3580, abs=5)
    assert after == {name: ends for name, ends in before.items() if name != b"dead"}


def test_a_count_of_many_serves_all_who_ask_within_a_moment(any_queue: Queue) -> None:
    scripts, connection = Scripts(any_queue.connection), any_queue.connection
    for number in range(services.FEW):
        renew(any_queue, info(f"a{number}", queues=("default", 'x", "default')))
    assert services.count(scripts) == (services.FEW, 2 * services.FEW)
    assert services.cores(connection, "other") == 0, "how few there are, it is known at once who comes"
    for number in range(200):
        renew(any_queue, info(f"b{number}", queues=("other",), processes=10**6))
    assert services.cores(connection, "other") == 200 * 10_000, "as many as a service can have"
    renew(any_queue, info("late"))
    assert services.count(scripts)[0] == services.FEW + 200, "it is not counted again"
    connection.hset(keys.FLEET, "until", "9e99")  # by whose clock?
    assert services.count(scripts)[0] == services.FEW + 201
    assert services.cores(connection, "default") == 2 * services.FEW + 2


def test_of_many_dead_each_looks_at_some(any_queue: Queue) -> None:
    seen: set[str] = set()
    with any_queue.connection.pipeline() as pipe:
        pipe.zadd(keys.LEASES, {f"dead{number}": 1.0 + number for number in range(300)})
        pipe.execute()

    def look() -> bool:
        some = lost(any_queue)
        assert len(some) == len({*some}) <= services._LOST
        seen.update(some)
        return len(seen) == 300

    wait_until(look)


def test_the_services_of_a_host_are_found_without_the_others(any_queue: Queue) -> None:
    for number in range(3):
        renew(any_queue, info(f"other{number}", host="there"))
    assert services.of_host(any_queue.connection, "here") == []
    renew(any_queue, info("b"))
    renew(any_queue, info("a"), lease=-1)
    assert [one.name for one in services.of_host(any_queue.connection, "here")] == ["a", "b"]
    with any_queue.connection.pipeline() as pipe:
        services.remove(pipe, "a", "here")
        pipe.execute()
    assert [one.name for one in services.of_host(any_queue.connection, "here")] == ["b"]
    any_queue.connection.delete(keys.HOST + "here")  # as a version that keeps no such list
    assert [one.name for one in services.of_host(any_queue.connection, "here")] == ["b"]


def test_a_probe_does_not_read_what_other_hosts_say(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    renew(any_queue, info("a", host=HOST, pid=os.getpid()))
    renew(any_queue, info("b", host="there"))

    def read_all(_connection: Any) -> Any:
        raise AssertionError("a thousand hosts with a probe each would read a thousand times a thousand")

    monkeypatch.setattr(services, "registered", read_all)
    monkeypatch.setattr(services, "live", read_all)
    for _ in range(2):  # the first notes which schemas are in use
        assert health.look(any_queue.connection, 1).healthy


def test_that_somebody_is_idle_is_said_once_in_a_moment(real_queue: Queue) -> None:
    connection = real_queue.connection
    scripts, heard = Scripts(connection), connection.pubsub(ignore_subscribe_messages=True)
    heard.subscribe("all")
    heard.get_message(timeout=HANGS)
    assert [scripts.idle([keys.CALLED], ["all", f"note {n}", 60_000]) for n in range(3)] == [1, 0, 0]
    message = heard.get_message(timeout=HANGS)
    assert message is not None
    assert message["data"] == b"note 0"
    assert connection.pttl(keys.CALLED) > 0, "it goes by itself"
    heard.close()
