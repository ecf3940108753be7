"""Whatever stands in Redis: the job concerned ends with a clear error; service and other jobs go on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rq.command import PUBSUB_CHANNEL_TEMPLATE
from rq.results import Result

from taskq import MapJob, OpenMap, Queue, TaskqError
from taskq.maps import feed, orphans
from taskq.redis import keys, services
from taskq.testing import running_worker
from tests import jobs
from tests.waiting import HANGS, wait_until

# Nothing is shrunk: if something hangs, each try takes minutes.
FEW = settings(
    max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)

NASTY = [
    b"", b"\xff\xfe", b"0", b"-1", b"9" * 30, b"nan", b"inf", b"1 2 3", b"0 2 \n", b"0 99999999999 \n\x80", b"x:y",
    b"0:1", b"[]", b"{}", b"null", b"open", b"closed", b"3 somebody", b"map", b"helper x", b"\0tq1",
]  # fmt: skip
data = st.sampled_from(NASTY) | st.binary(max_size=40)


def put(connection: Any, key: str, kind: str, value: bytes) -> None:
    """Have a key be of this type, and hold this."""
    connection.delete(key)
    write: dict[str, Callable[[], Any]] = {
        "string": lambda: connection.set(key, value),
        "list": lambda: connection.rpush(key, value, value),
        "set": lambda: connection.sadd(key, value),
        "hash": lambda: connection.hset(key, value, value),
        "zset": lambda: connection.zadd(key, {value: 1}),
        "stream": lambda: connection.xadd(key, {value: value}),
        "nothing": lambda: None,
    }
    write[kind]()


KINDS = ("string", "list", "set", "hash", "zset", "stream", "nothing")


def change(connection: Any, key: str, position: int, value: bytes) -> None:
    """Change one of the things that a key holds."""
    kind = connection.type(key)
    if kind == b"hash":
        fields = [*sorted(connection.hkeys(key)), value]
        connection.hset(key, fields[position % len(fields)], value)
    elif kind == b"list":
        connection.lset(key, position % connection.llen(key), value)
        connection.rpush(key, value)
    else:
        put(connection, key, "list", value)


def parked(queue: Queue) -> tuple[Queue, MapJob]:
    """A map in a queue on which nobody listens."""
    park = Queue("park", connection=queue.connection)
    once = os.urandom(4).hex()
    options: dict[str, Any] = {"memo": "garbage", "key": lambda n: f"{once}-{n}", "meta": {"a": 1}}
    return park, park.map(jobs.square, range(4), chunksize=2, **options)


def opened(queue: Queue) -> tuple[Queue, OpenMap]:
    """An open map, there."""
    park = Queue("park", connection=queue.connection)
    job = park.open_map(jobs.square, buffersize=100)
    job.put_many(range(4))
    return park, job


def keys_of(job: MapJob) -> tuple[str, ...]:
    return (*job.store.keys.all, job.key)


def release(queue: Queue, park: Queue, job_id: str) -> None:
    queue.connection.lrem(park.key, 0, job_id)
    queue.push_job_id(job_id)


def ended(job: Any) -> bool:
    """Whether it is over for the service; a job's hash may be anything by now."""
    try:
        return job.connection.hget(job.key, "status") not in (b"queued", b"started")
    except Exception:  # noqa: BLE001 - WRONGTYPE
        return True


def serves(queue: Queue, state: Any) -> None:
    """The service is alive and runs other jobs."""
    assert any(thread.name == state.name for thread in threading.enumerate()), "the service has crashed"
    assert queue.map(jobs.square, [3]).get(timeout=HANGS) == [9]


def read_all(job: MapJob) -> None:
    """What a producer may ask: an answer, or an error of ours."""
    reads: list[Callable[[], Any]] = [
        lambda: job.get(timeout=0, errors="return"), lambda: job.get(timeout=0), lambda: job.errors,
        lambda: job.progress, lambda: list(job.result_list), lambda: repr(job), job.ready,
        job.successful, lambda: job.wait(timeout=0),
    ]  # fmt: skip
    for read in reads:
        with suppress(TaskqError, ZeroDivisionError):  # which is what an item of ``test_after_the_end`` raises
            read()


def test_keys_of_a_map(fake_queue: Queue) -> None:
    with running_worker(fake_queue, 1, lease=1.0) as state:

        @FEW
        @given(st.integers(0, 15), st.sampled_from(KINDS), data)
        def types(which: int, kind: str, value: bytes) -> None:
            park, job = parked(fake_queue)
            put(fake_queue.connection, keys_of(job)[which], kind, value)
            release(fake_queue, park, job.id)
            wait_until(lambda: ended(job), f"{keys_of(job)[which]} is a {kind} of {value!r}")
            read_all(job)

        @FEW
        @given(st.integers(0, 15), st.integers(0, 20), data)
        def values(which: int, position: int, value: bytes) -> None:
            park, job = parked(fake_queue)
            change(fake_queue.connection, keys_of(job)[which], position, value)
            release(fake_queue, park, job.id)
            wait_until(lambda: ended(job), f"{value!r} in {keys_of(job)[which]}")
            read_all(job)

        types()
        serves(fake_queue, state)
        values()
        serves(fake_queue, state)


def test_keys_of_an_open_map(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LEASE", 0.5)
    monkeypatch.setattr(orphans, "GRACE", 0.1)
    with running_worker(fake_queue, 1, lease=1.0) as state:

        @FEW
        @given(st.integers(0, 30), data, st.booleans())
        def values(position: int, value: bytes, begun: bool) -> None:
            park, job = opened(fake_queue)
            if begun:
                release(fake_queue, park, job.id)
            with suppress(redis.exceptions.ResponseError):  # it has ended already
                change(fake_queue.connection, job.store.keys.hash, position, value)
            with suppress(TaskqError):
                job.put(7)
            with suppress(TaskqError):
                job.seal()
            if not begun:
                release(fake_queue, park, job.id)
            wait_until(lambda: ended(job), f"{value!r} at {position} of {job.store.keys.hash}")
            assert job._feed is not None
            job._feed.give_up()
            read_all(job)

        values()
        serves(fake_queue, state)


def test_keys_of_a_plain_job(fake_queue: Queue) -> None:
    park = Queue("park", connection=fake_queue.connection)
    with running_worker(fake_queue, 1, lease=1.0) as state:

        @FEW
        @given(st.booleans(), st.sampled_from([*KINDS, "field"]), st.integers(0, 20), data)
        def garbled(results: bool, kind: str, position: int, value: bytes) -> None:
            job = park.enqueue(jobs.square, 3, meta={"a": 1})
            key = Result.get_key(job.id) if results else job.key
            if kind == "field":
                change(fake_queue.connection, key, position, value)
            else:
                put(fake_queue.connection, key, kind, value)
            release(fake_queue, park, job.id)
            wait_until(lambda: ended(job), f"{key}: {kind} {value!r}")

        garbled()
        serves(fake_queue, state)


def test_after_the_end(fake_queue: Queue) -> None:
    """A producer reads what somebody has written over its results."""
    with running_worker(fake_queue, 1):

        @FEW
        @given(st.integers(0, 15), st.sampled_from([*KINDS, "field"]), st.integers(0, 20), data)
        def garbled(which: int, kind: str, position: int, value: bytes) -> None:
            job = fake_queue.map(jobs.invert, [0, 1, 2], chunksize=2)
            assert job.wait(timeout=HANGS)
            key = keys_of(job)[which]
            if kind == "field":
                change(fake_queue.connection, key, position, value)
            else:
                put(fake_queue.connection, key, kind, value)
            read_all(job)

        garbled()


def test_a_map_whose_chunks_are_gone_fails(fake_queue: Queue) -> None:
    park, job = parked(fake_queue)
    fake_queue.connection.hdel(job.store.keys.bodies, "2:2")
    with running_worker(fake_queue, 1):
        release(fake_queue, park, job.id)
        wait_until(lambda: ended(job))
    with pytest.raises(TaskqError, match="the items 2 to 3 are gone"):
        job.get()


def test_a_map_ends_though_nothing_says_any_more_who_runs_it(fake_queue: Queue) -> None:
    job, plain = fake_queue.map(jobs.nap, [0.05] * 20, chunksize=2), fake_queue.enqueue(jobs.nap, 0.3)
    with running_worker(fake_queue, 2) as state:
        wait_until(lambda: job.progress.done and plain.get_status() == "started")
        fake_queue.connection.delete(keys.held(state.name))
        assert len(job.get(timeout=HANGS)) == 20
        wait_until(lambda: plain.get_status() == "finished")
    assert job.get_status() == "finished"


def test_a_map_that_is_said_to_have_enough_fails(fake_queue: Queue) -> None:
    park, job = parked(fake_queue)
    fake_queue.connection.hset(job.store.keys.hash, "enough", "1")
    with running_worker(fake_queue, 1):
        release(fake_queue, park, job.id)
        wait_until(lambda: ended(job))
    with pytest.raises(TaskqError, match="has enough results, and it has 0"):
        job.get()


OURS = {
    keys.LEASES: b"zset", keys.SERVICES: b"hash", keys.MAPS: b"zset", keys.TIMELINE: b"stream",
    keys.REFUSED: b"hash", keys.ACTIVITY: b"hash", keys.METRICS: b"hash", f"{keys.OPEN}default": b"zset",
}  # fmt: skip
SETS = ["rq:workers", "rq:queues"]
ZSETS = ["rq:wip:default", "rq:finished:default", "rq:failed:default"]


def test_keys_that_all_share(fake_queue: Queue) -> None:
    """Those of taskq are made anew; at RQ's, what can go on goes on."""
    connection = fake_queue.connection
    with running_worker(fake_queue, 1, lease=1.0) as state:
        own = [keys.held(state.name), keys.fetched(state.name, "default")]

        @settings(FEW, max_examples=60)
        @given(st.sampled_from([*OURS, *own]), st.sampled_from([*KINDS, "field"]), st.integers(0, 3), data)
        def ours(key: str, kind: str, position: int, value: bytes) -> None:
            if kind == "field":
                if connection.type(key) == b"hash":
                    change(connection, key, position, value)
                else:
                    connection.delete(key)
                    connection.zadd(key, {value: position})
            else:
                put(connection, key, kind, value)
            services.live(connection)

        ours()
        wait_until(lambda: all(connection.type(key) in (b"none", kind) for key, kind in OURS.items()))
        wait_until(lambda: [info.name for info in services.live(connection)] == [state.name])
        serves(fake_queue, state)
        for value in NASTY:
            connection.rpush(fake_queue.intermediate_queue_key, value)
            for key in SETS:
                connection.sadd(key, value)
            for key in ZSETS:
                connection.zadd(key, {value: 1})
        serves(fake_queue, state)
        for value in NASTY:
            connection.rpush(fake_queue.key, value)
        serves(fake_queue, state)
        wait_until(lambda: not connection.llen(fake_queue.key))


def test_messages(fake_queue: Queue) -> None:
    with running_worker(fake_queue, 1) as state:
        channel = PUBSUB_CHANNEL_TEMPLATE.format(state.name)
        commands = [b'{"command": 3}', b'{"command": "taskq-look", "map": []}', b'{"command": "stop-job"}', b'"x"']
        for value in (*NASTY, *commands):
            fake_queue.connection.publish(channel, value)
            fake_queue.connection.publish(keys.MapKeys("x").events, value)
            fake_queue.connection.publish(keys.MapKeys("x").end, value)
        serves(fake_queue, state)
        assert any("pubsub" in thread.name.lower() or "PubSub" in type(thread).__name__
                   for thread in threading.enumerate()), "RQ's thread for commands has ended"  # fmt: skip
