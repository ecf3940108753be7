"""What the page and the report read, and what the page does; on every server."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
import rq
from rq.job import Job

from taskq import Queue
from taskq.errors import ResultsGoneError, UsageError
from taskq.redis import keys, services
from taskq.redis.lua import Scripts
from taskq.testing import drain
from taskq.views import activity
from taskq.views.activity import Activity, ProcessActivity
from taskq.views.timeline import TimelineNote
from taskq_workers import report
from taskq_workers.dashboard import maps, queues
from taskq_workers.dashboard.actions import ActionError, cancel, retry
from taskq_workers.dashboard.errors import groups_of
from taskq_workers.dashboard.results import DownloadRefusedError, check, lines
from taskq_workers.dashboard.snapshot import Reader
from tests import jobs

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class Bomb:
    """Whoever unpickles it is found out."""

    def __reduce__(self) -> Any:
        return explode, ()


def explode() -> None:
    raise AssertionError("unpickled")


def read(queue: Queue) -> dict[str, Any]:
    return Reader(queue.connection).read().sections


def test_an_empty_server(any_queue: Queue) -> None:
    sections = read(any_queue)
    assert sections["maps"] == sections["services"] == sections["errors"] == sections["queues"] == []
    assert sections["cards"]["cores"] == sections["cards"]["pending"] == 0


def test_one_map_is_found_however_old(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(3))
    plain = any_queue.enqueue(jobs.square, 3)
    any_queue.connection.delete(keys.MAPS)
    found = maps.find(any_queue.connection, job.id)
    assert found is not None
    assert (found["id"], found["name"], found["total"], found["status"]) == (job.id, "square", 3, "queued")
    any_queue.connection.hset(
        "rq:job:a b", mapping={"taskq": "map", "status": "queued"}
    )  # no job can have this id
    for other in (plain.id, "nothing", "", "a b", "x" * 20_000):
        assert maps.find(any_queue.connection, other) is None


def test_a_map_that_waits_and_one_that_has_failed(any_queue: Queue) -> None:
    failed = any_queue.map(jobs.invert, [1, 0, 2, 0], chunksize=1)
    drain(any_queue)
    waiting = any_queue.map(jobs.square, range(10), chunksize=2)
    sections = read(any_queue)
    first, second = sections["maps"]
    assert (first["id"], first["status"], first["name"], first["total"]) == (waiting.id, "queued", "square", 10)
    assert (second["id"], second["status"], second["done"], second["failed"]) == (failed.id, "failed", 2, 2)
    cards = sections["cards"]
    assert (cards["pending"], cards["failed"], cards["active"]) == (5, 2, 1)
    [group] = sections["errors"]
    assert (group["type"], group["count"], group["item"], group["map"]) == ("ZeroDivisionError", 2, 1, failed.id)
    assert group["frame"].startswith("jobs.py:")
    assert "1 / n" in group["traceback"]
    assert sections["queues"] == [{"name": "default", "queued": 1, "started": 0, "finished": 0, "failed": 1,
                                   "deferred": 0, "scheduled": 0, "canceled": 0, "waited": 0,
                                   "behind": "no worker serves this queue"}]  # fmt: skip


def test_what_is_new_of_the_timeline(any_queue: Queue) -> None:
    reader = Reader(any_queue.connection)
    any_queue.map(jobs.square, range(6), chunksize=2)
    drain(any_queue)
    snapshot = reader.read()
    assert [entry.items for entry in snapshot.entries] == [2, 2, 2]
    assert snapshot.sections["cards"]["rate"] > 0
    assert reader.read().entries == []
    any_queue.map(jobs.square, range(2))
    drain(any_queue)
    assert sum(entry.items for entry in reader.read().entries) == 2


def test_a_running_map_is_shown_however_old_it_is(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskq_workers.dashboard.snapshot.NEWEST", 2)
    old = any_queue.map(jobs.square, range(4), chunksize=1)
    any_queue.connection.zadd(keys.MAPS, {old.id: 1.0})
    for _ in range(3):
        any_queue.map(jobs.square, [1])
    assert old.id not in {one["id"] for one in read(any_queue)["maps"]}
    any_queue.connection.zadd(any_queue.started_job_registry.key, {f"{old.id}:execution": time.time() + 60})
    plain = any_queue.enqueue(jobs.square, 1)
    any_queue.connection.zadd(any_queue.started_job_registry.key, {f"{plain.id}:execution": time.time() + 60})
    shown = [one["id"] for one in read(any_queue)["maps"]]
    assert old.id in shown
    assert plain.id not in shown


def test_services_and_cores(any_queue: Queue) -> None:
    name = "taskq-host-m-0-77-abcdef"
    info = services.ServiceInfo(name, "host", 77, 2, ("default",), "3.11", 1.0)
    running = ProcessActivity(0, 100, 1.0, 1000, 5.0, 2, "a-map", "7:2", time.time())
    idle = ProcessActivity(1, 101, 1.0, 1000, 0.0)
    services.renew(Scripts(any_queue.connection), info, 3600)
    with any_queue.connection.pipeline() as pipe:
        activity.tell(pipe, Activity(name, "host", 77, time.time(), 5000, 1.0, (running, idle)))
        pipe.execute()
    sections = read(any_queue)
    [service] = sections["services"]
    assert (service["place"], service["memory"], service["queues"]) == ("taskq-host-m-0", 5000, ["default"])
    assert [(one["job"], one["chunk"], one["deaths"]) for one in service["processes"]] == [
        ("a-map", "7:2", 2),
        ("", None, 0),
    ]
    assert (sections["cards"]["busy"], sections["cards"]["cores"]) == (1, 2)


def commands_of(queue: Queue, reader: Reader) -> int:
    """How many commands one update costs."""

    def count() -> int:
        return int(queue.connection.info("stats")["total_commands_processed"])

    before = count()
    reader.read()
    return count() - before - 1


def test_the_cost_of_an_update_does_not_depend_on_the_number_of_jobs(real_queue: Queue) -> None:
    job = real_queue.map(jobs.square, range(4), chunksize=1)
    reader = Reader(real_queue.connection)
    reader.read()
    few = commands_of(real_queue, reader)
    with real_queue.connection.pipeline() as pipe:
        for number in range(5000):
            pipe.zadd(real_queue.finished_job_registry.key, {f"job-{number}": number + 1e10})
            pipe.rpush(job.store.keys.pending, number + 10)
        pipe.execute()
    assert commands_of(real_queue, reader) == few
    assert few < 40


def test_a_map_that_has_ended_costs_one_command(real_queue: Queue) -> None:
    reader = Reader(real_queue.connection)
    base = commands_of(real_queue, reader)
    for _ in range(5):
        real_queue.map(jobs.square, range(3))
    drain(real_queue)
    reader.read()
    assert commands_of(real_queue, reader) - base <= 5 + 8  # a queue is there now, too


def test_a_map_that_is_tried_again_counts_again(any_queue: Queue) -> None:
    job = any_queue.map(jobs.invert, [1, 0], chunksize=1)
    drain(any_queue)
    reader = Reader(any_queue.connection)
    assert reader.read().sections["maps"][0]["status"] == "failed"
    retry(any_queue.connection, job.id)
    reader.read()
    assert reader.read().sections["maps"][0]["status"] == "queued"


@pytest.mark.parametrize("place", queues.PLACES)
def test_pages_of_jobs(any_queue: Queue, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "PAGE", 3)
    made = [any_queue.create_job(jobs.square, (n,), description=f"job {n}") for n in range(5)]
    for number, job in enumerate(made):
        job.save()
        if place == "queued":
            any_queue.push_job_id(job.id)
        else:
            key = queues.REGISTRIES[place].key_template.format("default")
            member = f"{job.id}:e" if place == "started" else job.id
            any_queue.connection.zadd(key, {member: number})
    first, second = (queues.page(any_queue.connection, "default", place, number) for number in (0, 1))
    assert (first["total"], first["pages"], len(first["jobs"]), len(second["jobs"])) == (5, 2, 3, 2)
    assert {job["id"] for page in (first, second) for job in page["jobs"]} == {job.id for job in made}
    assert queues.page(any_queue.connection, "default", place, 9)["jobs"] == []
    assert first["jobs"][0]["created"] == pytest.approx(time.time(), abs=60)


def test_nothing_is_unpickled(any_queue: Queue) -> None:
    any_queue.map(jobs.invert, [0], meta={"bomb": Bomb()})
    any_queue.enqueue(jobs.square, Bomb(), meta={"bomb": Bomb()}, job_id="plain")
    failing = any_queue.map(jobs.invert, [0])
    any_queue.connection.set(failing.store.keys.function, "no pickle")
    read(any_queue)
    queues.page(any_queue.connection, "default", "queued", 0)
    groups_of(any_queue.connection, failing.id)
    report.render(any_queue.connection, failing.id)
    cancel(any_queue.connection, failing.id)
    cancel(any_queue.connection, "plain")
    assert any_queue.connection.hget(Job.key_for("plain"), "status") == b"canceled"


@pytest.mark.parametrize("garbage", [b"\xff\xfe", b"", b"nan", b"[" * 5000, b"-1"])
def test_garbage_in_its_keys_breaks_no_page(any_queue: Queue, garbage: bytes) -> None:
    job = any_queue.map(jobs.square, range(3))
    for field in ("total", "done", "failed", "started", "ended", "name", "reason"):
        any_queue.connection.hset(job.store.keys.hash, field, garbage)
    for field in ("status", "created_at", "number_of_retries", "description", "origin"):
        any_queue.connection.hset(job.key, field, garbage)
    any_queue.connection.xadd(keys.TIMELINE, {"job": garbage})
    any_queue.connection.hset(keys.ACTIVITY, "somebody", garbage)
    any_queue.connection.zadd(keys.MAPS, {"nobody": 1e10})
    sections = read(any_queue)
    json.dumps(sections, allow_nan=False)
    assert [one["id"] for one in sections["maps"]] == [job.id]


# -- actions -----------------------------------------------------------------------------------------


def test_cancel_and_retry(any_queue: Queue) -> None:
    connection = any_queue.connection
    waiting = any_queue.map(jobs.square, range(3))
    cancel(connection, waiting.id)
    assert waiting.get_status() == "canceled"
    with pytest.raises(ActionError, match="ended already"):
        cancel(connection, waiting.id)
    with pytest.raises(ActionError, match="not failed"):
        retry(connection, waiting.id)
    for no_job in ("nobody", "no/../job", "", "a b"):
        with pytest.raises(ActionError, match="no job"):
            cancel(connection, no_job)


def test_a_retried_map_runs_only_what_failed(any_queue: Queue, tmp_path: Any) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    job = any_queue.starmap(jobs.fail_until, [(str(flag), n) for n in range(4)], chunksize=1)
    plain = any_queue.enqueue(jobs.invert, 0)
    drain(any_queue)
    flag.unlink()
    retry(any_queue.connection, job.id)
    retry(any_queue.connection, plain.id)
    drain(any_queue)
    assert job.get() == [0, 1, 2, 3]
    assert plain.get_status() == "failed"


def test_retry_with_a_secret_key(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sealed pickles are written back as they were, signatures and all."""
    monkeypatch.setenv("TASKQ_SECRET_KEY", "k" * 40)
    queue = Queue(connection=any_queue.connection)
    job = queue.map(jobs.invert, [1, 0], chunksize=1, meta={"a": 1})
    plain = queue.enqueue(jobs.invert, 0, meta={"b": 2})
    raw = [queue.connection.hmget(one.key, "data", "meta") for one in (job, plain)]
    for one in (job, plain):
        queue.remove(one)
        queue.failed_job_registry.add(one, ttl=100)
        one.set_status("failed")
        retry(queue.connection, one.id)
    assert [queue.connection.hmget(one.key, "data", "meta") for one in (job, plain)] == raw
    assert queue.fetch_job(job.id).meta == {"a": 1}


def test_a_running_plain_job_can_only_be_killed(any_queue: Queue) -> None:
    job = any_queue.enqueue(jobs.square, 1)
    job.set_status("started")
    with pytest.raises(ActionError, match="only be killed"):
        cancel(any_queue.connection, job.id)


# -- results and report ------------------------------------------------------------------------------


def test_results_as_lines(any_queue: Queue) -> None:
    job = any_queue.map(jobs.invert, [4, 0, 2], chunksize=1)
    drain(any_queue)
    told = [json.loads(line) for line in lines(job.store)]
    assert told[:2] == [{"item": 0, "value": 0.25}, {"item": 2, "value": 0.5}]
    assert told[2]["error"]["type"] == "ZeroDivisionError"


def test_results_of_another_machine_are_not_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    far = rq.Queue(connection=Queue(url="redis://192.0.2.1").connection).connection
    with pytest.raises(DownloadRefusedError, match="TASKQ_SECRET_KEY"):
        check(far, "a")
    monkeypatch.setenv("TASKQ_SECRET_KEY", "k" * 40)
    check(far, "a")


def test_results_of_a_private_server_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_PRIVATE_REDIS", "1")
    check(rq.Queue(connection=Queue(url="redis://192.0.2.1").connection).connection, "a")


def test_a_report(any_queue: Queue) -> None:
    job = any_queue.map(jobs.invert, [1, 0, 2, 4], chunksize=1, description=HOSTILE)
    drain(any_queue)
    text = report.render(any_queue.connection, job.id)
    assert "<script" not in text
    assert "ZeroDivisionError" in text
    assert job.id in text
    assert text.count("<title>chunk ") == 4
    assert not re.search(r'(src|href)="', text)  # nothing to load


def test_a_report_is_escaped(any_queue: Queue) -> None:
    def fail(_n: int) -> None:
        raise ValueError(HOSTILE)

    fail.__qualname__ = fail.__name__ = HOSTILE
    job = any_queue.map(fail, [1])
    drain(any_queue)
    for field in ("name", "reason"):
        any_queue.connection.hset(job.store.keys.hash, field, HOSTILE)
    note = TimelineNote(HOSTILE, HOSTILE, 1, 0, HOSTILE)
    any_queue.connection.xadd(
        keys.TIMELINE, {"job": job.id, "chunk": 1, "start": time.time(), "end": time.time(), "host": note.host,
                        "worker": note.worker, "lane": 0, "pid": 1, "items": 0, "failed": 0, "deaths": 0,
                        "outcome": note.outcome})  # fmt: skip
    text = report.render(any_queue.connection, job.id)
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "<img" not in text


def test_a_report_of_a_map_that_has_not_begun(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(3))
    assert "no worker has begun" in report.render(any_queue.connection, job.id)


def test_no_report(any_queue: Queue) -> None:
    with pytest.raises(ResultsGoneError):
        report.render(any_queue.connection, "nobody")
    with pytest.raises(UsageError, match="plain job"):
        report.render(any_queue.connection, any_queue.enqueue(jobs.square, 1).id)
