"""Whatever somebody writes into a register: nobody who looks at it is blind for all the rest."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pytest
from rich.console import Console

from taskq import Queue
from taskq.errors import TaskqError
from taskq.redis import checked, keys, refusals, services
from taskq.redis.lua import Scripts
from taskq.redis.services import ServiceInfo
from taskq.testing import running_worker
from taskq.views import activity, backlog, listed, metrics, timeline
from taskq.views.activity import Activity, ProcessActivity
from taskq_workers import report
from taskq_workers.cli import job_view
from taskq_workers.cli.status import _document, maps_table, queues_table, services_table
from taskq_workers.cli.top import frame, look
from taskq_workers.dashboard import queues
from taskq_workers.dashboard.feed import Feed
from taskq_workers.dashboard.snapshot import Reader
from taskq_workers.json_lines import to_json
from taskq_workers.manager import health
from taskq_workers.settings import HOST
from tests import jobs
from tests.integration.test_garbage import KINDS, NASTY, put, serves
from tests.integration.test_hostile_jobs import LAST_ID
from tests.waiting import wait_until

NAME = "taskq-true-1-0-1-abc"
HUGE = 10**400


def process(**fields: Any) -> dict[str, Any]:
    return {**asdict(ProcessActivity(0, 1, 1.0, 1, 1.0)), **fields}


def told(**fields: Any) -> dict[str, Any]:
    return {**asdict(Activity("x", "host", 1, 1.0, 1, 1.0, ())), "processes": [process()], **fields}


def service(**fields: Any) -> dict[str, Any]:
    return {**asdict(ServiceInfo("x", "host", 1, 1, ("default",), "3", 1.0)), **fields}


BAD = [float("nan"), float("inf"), -1, HUGE, 1e300, None, "x", [], {}, True, "\ud800", "a" * 100_000, [[1]]]
RECORDS = [
    *(service(**{name: value}) for name in service() for value in BAD),
    *(told(**{name: value}) for name in told() for value in BAD),
    *(told(processes=[process(**{name: value})]) for name in process() for value in BAD),
    service(queues=["\ud800"]), service(queues=["q"] * 100_000), service(pids=[2**40]), service(processes=99_999),
    told(processes=[process()] * 100_000), 3, None, "x", [], [service()],
]  # fmt: skip


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.fixture
def true_service(any_queue: Queue) -> Queue:
    """A queue with a map, a job, and a service that says what is so."""
    any_queue.map(jobs.square, range(4), chunksize=2, job_id="a-map")
    any_queue.enqueue(jobs.square, 1)
    now = time.time()
    services.renew(Scripts(any_queue.connection), ServiceInfo(NAME, HOST, 1, 1, ("default",), "3.11", now), 3600)
    with any_queue.connection.pipeline() as pipe:
        activity.tell(pipe, Activity(NAME, HOST, 1, now, 1000, 1.0, (ProcessActivity(0, 1, now, 1000, 1.0),)))
        pipe.hset(keys.METRICS, mapping={"taskq_items|done": 5})
        pipe.xadd(keys.TIMELINE, entry())
        pipe.execute()
    return any_queue


def entry(**fields: Any) -> dict[str, Any]:
    now = time.time()
    return {"job": "a-map", "chunk": "0:2", "start": now - 1, "end": now, "host": HOST, "worker": NAME, "lane": 0,
            "pid": 1, "items": 2, "failed": 0, "deaths": 0, "outcome": "ok", **fields}  # fmt: skip


def test_processes_are_counted_where_they_are_told_of(true_service: Queue) -> None:
    scripts, now = Scripts(true_service.connection), time.time()
    assert activity.cores_on(scripts, "a-map") == (0, 1)
    runs = [
        ProcessActivity(lane, 1, now, 1000, 1.0, job=job) for lane, job in enumerate(["a-map", "a-map", "a-map-2"])
    ]
    with true_service.connection.pipeline() as pipe:
        for name in ("other", "dead"):
            activity.tell(pipe, Activity(name, '"job": "a-map"', 1, now, 1000, 1.0, tuple(runs)))
        pipe.execute()
    for name, lease in (("other", 3600), ("dead", -60)):
        services.renew(scripts, ServiceInfo(name, HOST, 1, 3, ("default",), "3.11", now), lease)
    assert activity.cores_on(scripts, "a-map") == (2, 4)
    assert activity.cores_on(scripts, "a-map-2") == (1, 4)
    for key in (keys.ACTIVITY, keys.LEASES):
        put(true_service.connection, key, "string", b"x")
        assert activity.cores_on(scripts, "a-map") == (0, 0)


def look_everywhere(queue: Queue) -> dict[str, Any]:
    """All that looks at registers; none of it fails."""
    connection = queue.connection
    snapshot = Reader(connection).read()
    feed = Feed.__new__(Feed)
    Feed.__init__(feed, Reader(connection), {})
    feed._take(snapshot)
    json.loads(feed._since(0), parse_constant=pytest.fail)
    json.loads(to_json(_document(*read(connection))))
    for view in job_view.newest(connection, listed.STATUSES, None, 10):
        json.loads(to_json(view.to_dict()))
    for place in queues.PLACES:
        json.dumps(queues.page(connection, "default", place, 0), allow_nan=False).encode()
    assert look(connection)
    assert metrics.exposition(connection)
    assert refusals.counted(connection) is not None
    str(health.look(connection, 1))
    with suppress(TaskqError):  # of the map's own keys
        report.render(connection, "a-map").encode()
    return snapshot.sections


def read(connection: Any) -> tuple[Any, list[ServiceInfo], dict[str, Activity]]:
    return (
        backlog.read_queues(connection), services.live(connection),
        {one.name: one for one in activity.live(connection)},
    )  # fmt: skip


def print_everything(queue: Queue) -> None:
    """What stands on a terminal; it takes as long as all the rest."""
    lines, infos, doing = read(queue.connection)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - it is no path
        console = Console(width=200, file=nowhere)
        for shown in (queues_table(lines), services_table(infos, doing, time.time()), maps_table(lines),
                      frame(look(queue.connection))):  # fmt: skip
            console.print(shown)


def sees_what_is_true(queue: Queue) -> None:
    sections = look_everywhere(queue)
    print_everything(queue)
    assert [one["name"] for one in sections["services"] if one["name"] == NAME] == [NAME]
    assert [one["id"] for one in sections["maps"] if one["id"] == "a-map"] == ["a-map"]
    assert [info.name for info in services.live(queue.connection) if info.name == NAME] == [NAME]
    assert [one.name for one in activity.live(queue.connection) if one.name == NAME] == [NAME]
    [line] = [one for one in backlog.read_queues(queue.connection) if one.name == "default"]
    assert "a-map" in [one.id for one in line.maps]
    assert b'taskq_items_total{outcome="done"} 5.0' in metrics.exposition(queue.connection)


def test_records(true_service: Queue) -> None:
    connection = true_service.connection
    lapse = time.time() + 3600
    connection.zadd(keys.LEASES, dict.fromkeys(("other", "x"), lapse))
    for value in RECORDS:
        for key in (keys.SERVICES, keys.ACTIVITY):
            connection.hset(key, mapping=dict.fromkeys(("other", "x"), as_json(value)))
        found = {info.name for info in services.live(connection)} | {one.name for one in activity.live(connection)}
        assert found <= {NAME, "x"}, "a record of another name counts"
    connection.zadd(keys.LEASES, dict.fromkeys(map(str, range(len(RECORDS))), lapse))
    for key in (keys.SERVICES, keys.ACTIVITY):
        connection.hset(key, mapping={str(number): as_json(value) for number, value in enumerate(RECORDS)})
    sees_what_is_true(true_service)


@pytest.mark.parametrize("value", RECORDS[:13])
def test_each_alone(true_service: Queue, value: Any) -> None:
    true_service.connection.hset(keys.SERVICES, "x", as_json(value))
    sees_what_is_true(true_service)


def test_bytes(true_service: Queue) -> None:
    connection = true_service.connection
    for value in (*NASTY, b"[" * 100_000, b'"\xff"', b"{" + b" " * (checked.RECORD + 1) + b"}"):
        for key in (keys.SERVICES, keys.ACTIVITY, keys.REFUSED, keys.METRICS):
            connection.hset(key, value, value)
        connection.hset(keys.REFUSED, "signature", value)
        connection.hset(keys.METRICS, "taskq_items|" + value.decode("latin-1"), value)
        connection.zadd(keys.LEASES, {value: "+inf"})
        connection.zadd(keys.MAPS, {value: "+inf"})
        connection.xadd(keys.TIMELINE, {value: value})
        connection.sadd("rq:queues", value, b"rq:queue:" + value)
        connection.sadd("rq:workers", value)
        connection.rpush("rq:queue:default", value)
        for registry in ("wip", "finished", "failed", "deferred", "scheduled", "canceled"):
            connection.zadd(f"rq:{registry}:default", {value: time.time() + 60})
        connection.hset("rq:job:a-map", "created_at", value)
        connection.hset("rq:job:a-map", "description", value)
    sees_what_is_true(true_service)


@pytest.mark.parametrize("field", list(entry()))
def test_the_timeline(true_service: Queue, field: str) -> None:
    for value in ("nan", "inf", "-1", "1e300", "9" * 5000, "", "x", "1e400", "-0", b"\xff", "a" * 100_000):
        true_service.connection.xadd(keys.TIMELINE, entry(**{field: value}))
        for one in timeline.read(timeline.newest(true_service.connection, 100)):
            assert 0 < one.start <= one.end <= checked.LATEST
            assert all(0 <= number < 10**10 for number in (one.lane, one.pid, one.items, one.failed, one.deaths))
    sees_what_is_true(true_service)


@pytest.mark.parametrize("field", ["total", "done", "failed", "started", "ended"])
def test_a_map_s_numbers(true_service: Queue, field: str) -> None:
    connection = true_service.connection
    other = true_service.map(jobs.square, range(4))
    for value in ("nan", "inf", "-1", "1e300", "9" * 5000, "x", b"\xff"):
        connection.hset(other.store.keys.hash, field, value)
        sees_what_is_true(true_service)


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_another_type(true_service: Queue, kind: str) -> None:
    """Each costs what it holds, and nothing else."""
    connection = true_service.connection
    other = true_service.map(jobs.invert, [0, 1])
    true = {key: connection.dump(key) for key in SHARED} if kind != "nothing" else {}
    for key in (*SHARED, *other.store.keys.all, other.key):
        put(connection, key, kind, b"x")
        look_everywhere(true_service)
        connection.delete(key)
        if true.get(key):
            connection.restore(key, 0, true[key])


SHARED = [
    keys.SERVICES, keys.ACTIVITY, keys.LEASES, keys.METRICS, keys.REFUSED, keys.TIMELINE, keys.MAPS, "rq:queues",
    keys.SCHEMA, keys.FLEET, keys.BUSY, keys.HOST + HOST, "rq:workers", "rq:queue:default",
    *(f"rq:{name}:default" for name in ("wip", "finished", "failed", "deferred", "scheduled", "canceled")),
]  # fmt: skip


def test_errors_of_one_map(true_service: Queue) -> None:
    """They are read by the page for all maps at once."""
    connection = true_service.connection
    bad = true_service.map(jobs.invert, [0, 0], job_id="bad")
    connection.hset(bad.store.keys.hash, "failed", 2)
    connection.hset(bad.store.keys.errors, "0", b"no record")
    for value, kind in ((b"1 0", "DamagedError"), (b"9" * 5000 + b" 0", "ValueError")):
        connection.hset(bad.store.keys.groups, "x", value)
        [group] = look_everywhere(true_service)["errors"]
        assert (group["map"], group["type"]) == ("bad", kind)
    sees_what_is_true(true_service)


def test_very_many(true_service: Queue) -> None:
    connection = true_service.connection
    with connection.pipeline(transaction=False) as pipe:
        for number in range(3000):
            pipe.sadd("rq:queues", f"rq:queue:!{number}")
            pipe.hset(keys.METRICS, f"taskq_jobs|map|{number}", 1)
            pipe.hset(keys.SERVICES, f"s{number}", as_json(service(name=f"s{number}")))
            pipe.zadd(keys.LEASES, {f"s{number}": time.time() + 60})
            pipe.zadd("rq:wip:default", {f"j{number}:1": 1})
        pipe.execute()
    assert len(backlog.read_queues(connection)) == backlog.MOST
    sections = look_everywhere(true_service)
    assert len(sections["services"]) <= 500
    assert "default" in [one["name"] for one in sections["queues"]], "those that are listened on come first"


def test_what_a_service_counts_and_tells_comes_back(any_queue: Queue) -> None:
    connection = any_queue.connection
    with running_worker(any_queue, 1, lease=1.0) as state:
        connection.hset(keys.METRICS, mapping={"taskq_chunks": "inf", "taskq_items|done": "x"})
        serves(any_queue, state)
        wait_until(lambda: float(connection.hget(keys.METRICS, "taskq_chunks") or "inf") < 100)
        for key in (keys.ACTIVITY, keys.METRICS):
            put(connection, key, "list", b"x")
            serves(any_queue, state)
            wait_until(lambda key=key: connection.type(key) == b"hash")  # type: ignore[misc]
        connection.delete(keys.TIMELINE)
        connection.xadd(keys.TIMELINE, {"a": "b"}, id=LAST_ID)
        wait_until(lambda: not connection.exists(keys.TIMELINE))
        serves(any_queue, state)
        assert timeline.read(timeline.newest(connection, 10))


def test_health_of_a_process_that_can_not_be(any_queue: Queue) -> None:
    info = ServiceInfo("x", HOST, 2**31, 1, ("default",), "3", 1.0)
    services.renew(Scripts(any_queue.connection), info, 3600)
    assert not health.look(any_queue.connection, 1).healthy


CHECKS: list[tuple[Callable[[Any], Any], Any, Any]] = [
    (checked.text, None, ""), (checked.text, b"\xff", "\ufffd"),
    (checked.text, b"a" * 9999, "a" * checked.LONGEST),
    (checked.count, b"7", 7), (checked.count, b"-7", 0), (checked.count, b"9" * 5000, 0), (checked.count, None, 0),
    (checked.seconds, b"1.5", 1.5), (checked.seconds, b"nan", 0.0), (checked.seconds, b"inf", 0.0),
    (checked.seconds, b"1e99", 0.0), (checked.seconds, b"-1", 0.0), (checked.record, b"[]", {}),
    (checked.record, b'{"a": 1}', {"a": 1}), (checked.record, b"[" * 99_999, {}), (checked.record, None, {}),
    (checked.is_text, "\ud800", False), (checked.is_text, "a", True), (checked.is_count, True, False),
    (checked.is_seconds, float("nan"), False), (checked.clean, "a\ud800", "a?"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "value", "wanted"), CHECKS)
def test_checks(check: Callable[[Any], Any], value: Any, wanted: Any) -> None:
    assert check(value) == wanted


def test_no_json_of_ours_holds_what_is_none() -> None:
    with pytest.raises(ValueError, match="JSON"):
        checked.dumps({"a": float("nan")})
