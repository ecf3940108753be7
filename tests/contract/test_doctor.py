"""``taskq doctor``: what is wrong is found, and said with what to do about it; and nothing else is."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from rq.suspension import resume, suspend

from taskq import Queue
from taskq.maps.refusal import Refusal
from taskq.redis import keys, refusals, services
from taskq.redis.lua import Scripts
from taskq.redis.services import ServiceInfo
from taskq.redis.urls import url_of
from taskq_workers.cli import diagnosis
from taskq_workers.cli.doctor import doctor
from taskq_workers.settings import HOST
from tests import jobs


def wrong(queue: Queue) -> list[str]:
    """What is wrong, but for what a private server is: it may forget."""
    patient = diagnosis.Patient(queue.connection)
    found = [one for check in diagnosis.CHECKS for one in check(patient)]
    return [one.what for one in found if one.remedy and "forgets all jobs" not in one.what]


def a_service(queue: Queue, name: str = "a", **fields: Any) -> ServiceInfo:
    """One of this process that is alive."""
    told = {
        "host": HOST,
        "pid": os.getpid(),
        "processes": 2,
        "queues": (queue.name,),
        "python": "3",
        "started": 1.0,
    }
    info = ServiceInfo(name, **{**told, **fields})
    services.renew(Scripts(queue.connection), info, 60)
    return info


def test_nothing_is_wrong_where_a_worker_serves_what_there_is(real_queue: Queue) -> None:
    a_service(real_queue)
    real_queue.enqueue(jobs.square, 1)
    real_queue.map(jobs.square, range(3))
    assert wrong(real_queue) == []


def test_work_without_a_worker(real_queue: Queue) -> None:
    real_queue.enqueue(jobs.square, 1)
    found = wrong(real_queue)
    assert found == ["no worker is alive", f"nobody serves the queue {real_queue.name}, where 1 jobs wait"]


def test_a_service_that_is_not_well_or_of_another_version_or_whose_process_is_gone(real_queue: Queue) -> None:
    a_service(real_queue, trouble="its pool processes can't start")
    assert any("its pool processes can't start" in one for one in wrong(real_queue))
    a_service(real_queue, schema=99)
    assert any("is of another version" in one for one in wrong(real_queue))
    a_service(real_queue, pid=2**22 + 7)
    assert any("its process 4194311 is not there" in one for one in wrong(real_queue))


def test_a_map_that_nobody_can_run_and_one_that_some_can(real_queue: Queue) -> None:
    info, job = a_service(real_queue), real_queue.map(jobs.square, range(3))
    job.store.refuse(Refusal(info.name, HOST, "3", "no module named shop"))
    [found] = wrong(real_queue)
    assert found.startswith(f"no worker can run the map {job.id}")
    assert "no module named shop" in found
    a_service(real_queue, "b")
    assert wrong(real_queue) == [], "one of them can"


def test_what_is_paused_or_suspended_or_was_refused(real_queue: Queue) -> None:
    a_service(real_queue)
    job = real_queue.map(jobs.square, range(3))
    job.pause()
    suspend(real_queue.connection)
    refusals.count(real_queue.connection, refusals.SIGNATURE)
    found = wrong(real_queue)
    assert any("is paused" in one for one in found)
    assert any("suspended" in one for one in found)
    assert any("not signed with this key" in one for one in found)
    resume(real_queue.connection)


def test_the_dead_after_whom_nobody_looks_and_garbage_in_their_place(real_queue: Queue) -> None:
    a_service(real_queue)
    real_queue.connection.zadd(keys.LEASES, {"dead": time.time() - 3600})
    assert any("nobody has taken over" in one for one in wrong(real_queue))
    real_queue.connection.delete(keys.LEASES)
    real_queue.connection.set(keys.LEASES, "garbage")
    assert any(f"{keys.LEASES} is not what taskq writes" in one for one in wrong(real_queue))


def test_a_map_whose_keys_are_garbage(real_queue: Queue) -> None:
    a_service(real_queue)
    job = real_queue.map(jobs.square, range(3))
    real_queue.connection.hset(job.store.keys.hash, "total", "many")
    assert any(f"the map {job.id} can't be read" in one for one in wrong(real_queue))


@pytest.mark.parametrize("ahead", [-7200.0, 30.0])
def test_a_clock_that_is_off(real_queue: Queue, monkeypatch: pytest.MonkeyPatch, ahead: float) -> None:
    a_service(real_queue)
    monkeypatch.setattr(diagnosis, "time", SimpleNamespace(time=lambda: time.time() + ahead))
    [found] = wrong(real_queue)
    assert "clock" in found
    assert f"{abs(ahead):.0f}." in found


def test_a_server_that_is_full_or_has_evicted_keys(real_queue: Queue) -> None:
    patient = diagnosis.Patient(real_queue.connection)
    patient.info = {"used_memory": 95, "maxmemory": 100, "evicted_keys": 3, "aof_enabled": 1}
    found = [one.what for one in diagnosis.server(patient) if one.remedy]
    assert [one.partition(":")[0] for one in found] == [
        "the server's memory is nearly full", "the server has evicted 3 keys",
    ]  # fmt: skip


def test_the_command_says_it_and_ends_with_1(real_queue: Queue) -> None:
    ended = CliRunner().invoke(doctor, ["--url", url_of(real_queue.connection)])
    assert ended.exit_code == 1
    assert "!!  no worker is alive\n    -> start one: taskq worker" in ended.stdout
    ended = CliRunner().invoke(doctor, ["--url", url_of(real_queue.connection), "--json"])
    found = json.loads(ended.stdout)
    assert not found["well"]
    assert {"what": "no worker is alive", "remedy": "start one: taskq worker"} in found["findings"]
