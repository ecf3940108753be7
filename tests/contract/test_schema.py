"""Which versions of taskq work side by side on one server; what the others are told."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import pytest
from rq.job import Job, JobStatus

from taskq import MapJob, Queue, VersionError
from taskq.maps import draft, strangers
from taskq.redis import admission, keys, kinds, schema, services
from taskq.redis.keys import MapKeys
from taskq.redis.lua import Scripts
from taskq.redis.services import ServiceInfo
from tests import jobs
from tests.contract.test_sweep import pushed, sweep


def alive(queue: Queue, name: str, number: int | None, lease: float = 3600.0) -> None:
    """A service of that schema; None: one that knows of no schemas."""
    said = asdict(ServiceInfo(name, "there", 1, 2, ("default",), "3.12", 1.5))
    del said["schema"], said["build"], said["trouble"]
    if number is not None:
        said["schema"] = number
    queue.connection.hset(keys.SERVICES, name, json.dumps(said))
    queue.connection.zadd(keys.LEASES, {name: time.time() + lease})


def be(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this code has that schema."""
    for module in (schema, admission, strangers, draft):
        monkeypatch.setattr(module, "SCHEMA", number)


def worker(queue: Queue) -> None:
    admission.admit_worker(Scripts(queue.connection), queue.connection, check_maps=lambda: None)


def push(queue: Queue) -> MapJob:
    return queue.map(jobs.square, range(3))


START = pytest.mark.parametrize("start", [worker, push])


@START
@pytest.mark.parametrize(("there", "own"), [(5, 5), (5, 4), (4, 5), (2, 2)])
def test_side_by_side(any_queue: Queue, monkeypatch: pytest.MonkeyPatch, start: Any, there: int, own: int) -> None:
    be(own, monkeypatch)
    alive(any_queue, "other", there)
    start(any_queue)


@START
@pytest.mark.parametrize(
    ("there", "own", "remedy"), [(3, 5, "stop all workers"), (6, 4, "Install the version"), (None, 2, "stop all")]
)
def test_not_side_by_side(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, start: Any, there: int | None, own: int, remedy: str
) -> None:
    be(own, monkeypatch)
    alive(any_queue, "other", there)
    before = set(any_queue.connection.keys())
    with pytest.raises(VersionError, match=f"schema {own}.*other .schema {there or 1}.*{remedy}.*Upgrading"):
        start(any_queue)
    assert set(any_queue.connection.keys()) == before, "nothing was written"


@START
def test_nobody_who_reads_deaths_otherwise_is_beside_this_one(any_queue: Queue, start: Any) -> None:
    """Schema 2 would give a range up at its next death: one service that has died of it counts as a thousand."""
    alive(any_queue, "other", 2)
    with pytest.raises(VersionError, match="schema 2"):
        start(any_queue)


@START
def test_the_dead_do_not_count(any_queue: Queue, start: Any) -> None:
    alive(any_queue, "other", None, lease=-1.0)
    start(any_queue)


@START
def test_garbage_does_not_count(any_queue: Queue, start: Any) -> None:
    for name, said in {"a": b"\xff", "b": b"[]", "c": b"{}", "d": b"17"}.items():
        any_queue.connection.hset(keys.SERVICES, name, said)
        any_queue.connection.zadd(keys.LEASES, {name: time.time() + 60})
    start(any_queue)
    for key in (keys.SCHEMA, keys.SERVICES, keys.LEASES):
        any_queue.connection.delete(key)
        any_queue.connection.rpush(key, "x")
    start(any_queue)


def test_workers_that_start_at_the_same_moment(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    be(4, monkeypatch)
    worker(any_queue)
    worker(any_queue)
    be(6, monkeypatch)
    with pytest.raises(VersionError, match="schema 4 is just starting"):
        worker(any_queue)
    with pytest.raises(VersionError, match="schema 4 is just starting"):
        push(any_queue)
    be(5, monkeypatch)
    worker(any_queue)
    any_queue.connection.hset(keys.SCHEMA, "until", int(time.time()) - 1)  # its services did not register in time
    be(6, monkeypatch)
    worker(any_queue)


def test_maps_are_looked_at_by_the_first_of_a_schema(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        looks.append(schema.SCHEMA)
        raise VersionError("one is open")

    looks: list[int] = []
    be(4, monkeypatch)
    scripts = Scripts(any_queue.connection)
    for _ in range(2):  # to be refused reserves nothing
        with pytest.raises(VersionError, match="one is open"):
            admission.admit_worker(scripts, any_queue.connection, check_maps=refuse)
    worker(any_queue)
    admission.admit_worker(scripts, any_queue.connection, check_maps=refuse)
    be(5, monkeypatch)
    with pytest.raises(VersionError, match="one is open"):
        admission.admit_worker(scripts, any_queue.connection, check_maps=refuse)
    assert looks == [4, 4, 5]


def test_what_is_in_use_is_said(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    be(4, monkeypatch)
    alive(any_queue, "other", 5)
    worker(any_queue)
    assert any_queue.connection.hmget(keys.SCHEMA, "least", "greatest") == [b"4", b"5"]


def test_a_map_costs_no_further_round_trip(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = admission.admit_producer
    monkeypatch.setattr(admission, "admit_producer", lambda *given: (asked.append("producer"), real(*given)))
    push(any_queue)
    assert asked == [], "nobody is there"
    alive(any_queue, "other", schema.SCHEMA)
    push(any_queue)
    push(any_queue)
    assert asked == ["producer"]
    any_queue.connection.hset(keys.SCHEMA, "fresh", int(time.time()) - 1)
    push(any_queue)
    assert asked == ["producer"] * 2


def test_a_producer_that_was_admitted_before(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    be(2, monkeypatch)
    alive(any_queue, "other", 2)
    push(any_queue)
    any_queue.connection.delete(keys.SERVICES, keys.LEASES, keys.SCHEMA)  # others have come
    be(4, monkeypatch)
    worker(any_queue)
    be(2, monkeypatch)
    with pytest.raises(VersionError):
        push(any_queue)


def test_what_a_later_version_says_besides_is_passed_over(any_queue: Queue) -> None:
    said = {**asdict(ServiceInfo("other", "there", 1, 2, ("default",), "3.12", 1.5)), "news": [1]}
    any_queue.connection.hset(keys.SERVICES, "other", json.dumps(said))
    any_queue.connection.zadd(keys.LEASES, {"other": time.time() + 60})
    assert [one.name for one in services.live(any_queue.connection)] == ["other"]


# -- maps --------------------------------------------------------------------------------------------------


def of_the_first(queue: Queue) -> MapJob:
    """A map as schema 1 wrote it."""
    job = pushed(queue)
    queue.connection.hdel(MapKeys(job.id).hash, "incarnation")
    queue.connection.hset(job.key, keys.JOB_KIND, "map")
    queue.connection.hset(job.store.keys.chunks, "0", "items")
    return job


def test_the_mark_says_the_schema(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    job = push(any_queue)
    assert kinds.schema_of(any_queue.connection.hgetall(job.key)) == schema.SCHEMA
    again = any_queue.fetch_job(job.id)
    again.schema = 7
    with any_queue.connection.pipeline() as pipe:
        again.save(pipe)  # as its producer does
        pipe.execute()
    assert any_queue.fetch_job(job.id).schema == 7
    for mark, number in {b"map": 1, b"map abc": 2, b"map abc 9": 9, b"map abc x": 2}.items():
        assert kinds.schema_of({keys.JOB_KIND.encode(): mark}) == number


def test_open_maps_of_another_version(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    strangers.check_open(any_queue.connection)
    push(any_queue)
    strangers.check_open(any_queue.connection)
    ended = of_the_first(any_queue)
    any_queue.connection.hset(ended.key, "status", JobStatus.FINISHED.value)
    strangers.check_open(any_queue.connection)
    names = sorted(of_the_first(any_queue).id for _ in range(7))
    with pytest.raises(VersionError, match=f"7 maps .*{', '.join(names[:5])} and 2 more.*taskq cancel"):
        strangers.check_open(any_queue.connection)
    for name in names:
        any_queue.fetch_job(name).cancel()
    strangers.check_open(any_queue.connection)
    be(schema.SCHEMA + 2, monkeypatch)
    monkeypatch.setattr(strangers, "is_adjacent", schema.is_adjacent)
    with pytest.raises(VersionError, match="1 maps"):
        strangers.check_open(any_queue.connection)


@pytest.mark.parametrize("end", [MapJob.cancel, Job.delete])
def test_nothing_is_left_of_them(any_queue: Queue, end: Any) -> None:
    job = of_the_first(any_queue)
    end(any_queue.fetch_job(job.id))
    sweep(any_queue)
    left = {key: any_queue.connection.ttl(key) for key in any_queue.connection.keys(f"{job.store.keys.hash}*")}
    assert all(ttl > 0 for ttl in left.values()), left
    assert bool(left) is (end is MapJob.cancel)
