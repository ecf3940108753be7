"""What a service notes of its processes, and what becomes of claims and jobs when it dies."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rq import Callback
from rq.job import JobStatus

import taskq
from taskq import Queue
from taskq.maps.deaths import SERVICE, services
from taskq.redis import clock
from taskq.testing import running_worker
from taskq.views import activity, timeline
from taskq.views.activity import Activity, ProcessActivity
from taskq.views.timeline import TimelineEntry
from taskq_workers.lanes.lanes import Lanes
from taskq_workers.link import flight
from taskq_workers.link.flight import CHUNK, JOB, Flight, Flown
from taskq_workers.service.upkeep import recovery, suspect
from taskq_workers.service.upkeep.evidence import Evidence, read_trace
from taskq_workers.settings import MAX_DEATHS, MAX_SPARED
from tests import jobs, rq_jobs
from tests.integration.pretence import announce, claim
from tests.integration.test_suspects import begin, die
from tests.waiting import HANGS, wait_until


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the service of this test has its record."""
    path = tmp_path / "flight-0"
    made = Lanes.__init__

    def recorded(self: Lanes, settings: Any, title: str, **options: Any) -> None:
        made(self, settings, title, **{**options, "record": Flight(path, settings.processes)})

    monkeypatch.setattr(Lanes, "__init__", recorded)
    return path


def read(path: Path, copy: Path) -> list[Flown]:
    copy.write_bytes(path.read_bytes())
    return flight.take(copy) or []


def test_what_runs_is_in_the_record(fake_queue: Queue, path: Path, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with running_worker(fake_queue, 2) as state:
        plain = fake_queue.enqueue(jobs.wait_for, str(flag))
        job = fake_queue.map(jobs.wait_for, [str(flag)] * 10, chunksize=1)
        wait_until(lambda: len(read(path, tmp_path / "copy")) == 2)
        ran = {one.kind: one for one in read(path, tmp_path / "copy")}
        assert ran[JOB].id == plain.id
        assert (ran[CHUNK].id, ran[CHUNK].run) == (job.id, job.store.keys.incarnation)
        assert ran[CHUNK].range in {str(one.range) for one in job.store.held_by(state.name)}
        flag.touch()
        job.get(timeout=HANGS)
        wait_until(lambda: not read(path, tmp_path / "copy"), "nothing runs")


def test_processes_come_and_go(fake_queue: Queue, path: Path) -> None:
    """More than there are slots in the file."""
    with running_worker(fake_queue, 1) as state:
        for n in range(12):
            before = state.lanes.pids
            os.kill(before[0], signal.SIGKILL)
            wait_until(lambda before=before: state.lanes.pids and state.lanes.pids != before)
            assert fake_queue.map(jobs.square, [n]).get(timeout=HANGS) == [n * n]
        assert path.exists()


def ran(job: Any, name: str, item: int | None = None, *, incarnation: str = "") -> Evidence:
    flown = Flown(CHUNK, job.id, incarnation or job.store.keys.incarnation, name, item, lane=3, seconds=7.0)
    return Evidence("SIGKILL (out of memory)", "a host", (flown,))


def die_running(queue: Queue, name: str, job: Any, evidence: Evidence) -> None:
    """Let a service die that had this map, and a claim on it."""
    announce(queue, name)
    begin(queue, name, run=False)
    job.store.open(name)
    claim(job, name)
    recovery.recover(queue.connection, name, evidence)


def test_of_the_claims_of_a_dead_service_only_what_ran_is_suspect(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(30), chunksize=10)
    announce(any_queue, "dead")
    begin(any_queue, "dead", run=False)
    job.store.open("dead")
    claim(job, "dead", 3)
    recovery.recover(any_queue.connection, "dead", ran(job, "10:10", 13))
    reply = job.store.read_claims(job.store.claim("other", 3), "other")
    assert {str(one.range): one.deaths for one in reply.claims} == {"0:10": 0, "10:10": SERVICE, "20:10": 0}
    [(span, trace)] = any_queue.connection.hgetall(job.store.keys.deaths).items()
    assert span == b"10:10"
    assert b"out of memory" in trace
    assert b"13" in trace


def test_what_ran_of_a_map_that_was_replaced_is_no_evidence_against_the_new_one(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(10), chunksize=10)
    die_running(any_queue, "dead", job, ran(job, "0:10", incarnation="0" * 32))
    [again] = job.store.read_claims(job.store.claim("other", 1), "other").claims
    assert services(again.deaths) == 0


def test_without_evidence_all_of_it_is_once_and_then_what_was_given_to_a_process(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(20), chunksize=10)
    for name in ("one", "two"):
        announce(any_queue, name)
        begin(any_queue, name, run=False)
        job.store.open(name)
        first, _second = job.store.read_claims(job.store.claim(name, 2), name).claims
        if name == "two":
            assert job.store.give(first)
            assert job.store.give(first) is None, "it stands there otherwise by now"
        recovery.recover(any_queue.connection, name)
    reply = job.store.read_claims(job.store.claim("other", 2), "other")
    assert sorted(services(one.deaths) for one in reply.claims) == [1, 2]


def test_the_item_that_ran_is_set_apart_and_given_up_with_the_evidence(any_queue: Queue) -> None:
    """Third death: the service that gets the range gives up the item, and does the others."""
    job = any_queue.map(jobs.square, range(10), chunksize=10)
    for name in ("one", "two", "three"):
        die_running(any_queue, name, job, ran(job, "0:10", 4))
    with running_worker(any_queue, 2):
        found = job.get(timeout=HANGS, errors="return")
    assert [found[n] for n in range(10) if n != 4] == [n * n for n in range(10) if n != 4]
    assert isinstance(found[4], taskq.WorkerLostError)
    assert "the service that ran it died 3 times, last by SIGKILL (out of memory) on a host" in str(found[4])


def beside(evidence: Evidence, *, waited: bool) -> Evidence:
    """The same, with another job that ran, or waited for other work."""
    assert evidence.ran is not None
    return replace(evidence, ran=(*evidence.ran, Flown(JOB, "another", "execution", "", None, waited=waited)))


@pytest.mark.parametrize("waited", [False, True])
def test_the_last_chance_of_a_range_is_not_ended_beside_others_that_ran(any_queue: Queue, waited: bool) -> None:
    job = any_queue.map(jobs.square, range(10), chunksize=10)
    for name in ("one", "two", "three"):
        die_running(any_queue, name, job, beside(ran(job, "0:10", 4), waited=waited))
    [again] = job.store.read_claims(job.store.claim("other", 1), "other").claims
    assert services(again.deaths) == (3 if waited else 2)
    assert read_trace(any_queue.connection.hget(job.store.keys.deaths, "0:10")).seconds == 7.0


@pytest.mark.parametrize("waited", [False, True])
def test_the_last_chance_of_a_job_is_not_ended_beside_others_that_ran(any_queue: Queue, waited: bool) -> None:
    job = any_queue.enqueue(jobs.square, 3)
    for n in range(3):
        begin(any_queue, f"dead-{n}")
        [held] = any_queue.connection.hkeys(f"taskq:held:dead-{n}")
        flown = Flown(JOB, job.id, held.decode().partition(":")[2], "", None, seconds=5.0)
        evidence = beside(Evidence("SIGKILL", "a host", (flown,)), waited=waited)
        recovery.recover(any_queue.connection, f"dead-{n}", evidence)
    fields = any_queue.connection.hgetall(job.key)
    assert (suspect.deaths_of(fields), suspect.seconds_of(fields)) == (3 if waited else 2, 5.0)


def test_who_kills_beside_others_again_and_again_is_given_up_all_the_same(any_queue: Queue) -> None:
    job, plain = any_queue.map(jobs.square, range(10), chunksize=10), any_queue.enqueue(jobs.square, 3)
    of_chunk, of_job = [], []
    for n in range(MAX_DEATHS + MAX_SPARED):
        name = f"dead-{n}"
        announce(any_queue, name)
        for _ in range(2):
            begin(any_queue, name)
        held = [key.decode().partition(":") for key in any_queue.connection.hkeys(f"taskq:held:{name}")]
        execution = next(execution for job_id, _, execution in held if job_id == plain.id)
        job.store.open(name)
        claim(job, name)
        evidence = ran(job, "0:10", 4)
        flown = Flown(JOB, plain.id, execution, "", None)
        recovery.recover(any_queue.connection, name, replace(evidence, ran=(*(evidence.ran or ()), flown)))
        [again] = job.store.read_claims(job.store.claim("other", 1), "other").claims
        job.store.release([(again, again.deaths)])
        of_chunk.append(services(again.deaths))
        of_job.append(suspect.deaths_of(any_queue.connection.hgetall(plain.key)))
    assert of_chunk == of_job == [1] + [2] * (MAX_SPARED + 1) + [3]


def test_of_the_jobs_of_a_dead_service_only_what_ran_is_suspect(any_queue: Queue) -> None:
    guilty, innocent = (any_queue.enqueue(jobs.square, n) for n in range(2))
    begin(any_queue, "dead")
    [held] = any_queue.connection.hkeys("taskq:held:dead")
    begin(any_queue, "dead")
    execution = held.decode().partition(":")[2]
    evidence = Evidence("SIGKILL", "a host", (Flown(JOB, guilty.id, execution, "", None),))
    recovery.recover(any_queue.connection, "dead", evidence)
    fields = [any_queue.connection.hgetall(job.key) for job in (guilty, innocent)]
    assert [suspect.deaths_of(one) for one in fields] == [1, 0]
    assert suspect.cause_of(fields[0]) == "SIGKILL on a host"


def test_callbacks_are_in_the_record_as_what_they_are_called_for(
    real_queue: Queue, path: Path, tmp_path: Path
) -> None:
    """Of an abandoned job, and of a map: else a worker that dies of one would not count, again and again."""
    plain = real_queue.enqueue(jobs.square, 1, on_failure=Callback(rq_jobs.wait_as_failed, timeout=HANGS))
    die(real_queue, MAX_DEATHS)
    called = Callback(rq_jobs.wait_to_be_told, timeout=HANGS)
    with running_worker(real_queue, 1):
        job = real_queue.map(jobs.square, [1], on_success=called)
        for one in (plain, job):
            wait_until(lambda one=one: real_queue.connection.exists(f"test:called:{one.id}"))
            [held] = [key for key in executions(real_queue) if key.startswith(one.id)]
            assert read(path, tmp_path / "copy") == [Flown(JOB, one.id, held.partition(":")[2], "", None)]
            real_queue.connection.rpush(f"test:go:{one.id}", "go")
        wait_until(lambda: job.get_status() == JobStatus.FINISHED)


def executions(queue: Queue) -> list[str]:
    [held] = queue.connection.keys("taskq:held:*")
    return [key.decode() for key in queue.connection.hkeys(held)]


def tell(queue: Queue, name: str, at: float, *processes: ProcessActivity) -> None:
    """Let it seem that the service has said so, last."""
    activity.tell(queue.connection, Activity(name, "its host", 1, at, 0, 0.0, processes))


def lost_runs(queue: Queue, evidence: Evidence) -> tuple[float, list[TimelineEntry]]:
    """Now, and the entries of a dead service which held three ranges, and had said that one process runs one."""
    job, now = queue.map(jobs.square, range(30), chunksize=10), clock.ask(queue.connection)
    announce(queue, "dead")
    begin(queue, "dead", run=False)
    job.store.open("dead")
    claim(job, "dead", 3)
    running = ProcessActivity(1, 77, now - 60, 0, 0.0, job=job.id, chunk="0:10", since=now - 30)
    ended = ProcessActivity(0, 76, now - 60, 0, 0.0, job=job.id, chunk="30:10", since=now - 30)
    tell(queue, "dead", now - 20, ended, running)
    recovery.recover(queue.connection, "dead", replace(evidence, ran=evidence.ran and ran(job, "10:10", 13).ran))
    return now, list(timeline.of_map(queue.connection, job.id, 0, now))


def test_what_a_dead_service_ran_is_in_the_timeline(any_queue: Queue) -> None:
    now, entries = lost_runs(any_queue, Evidence("SIGKILL", "a host", (Flown(CHUNK, "", "", "", None),)))
    told, recorded = sorted(entries, key=lambda entry: entry.start)
    assert (told.chunk, told.lane, told.pid, told.host, told.outcome) == ("0:10", 1, 77, "a host", "service")
    assert told.start == pytest.approx(now - 30)
    assert told.end >= now, "its manager saw it die"
    assert (recorded.chunk, recorded.lane, recorded.start, recorded.outcome) == (
        "10:10",
        3,
        recorded.end,
        "service",
    )


def test_of_a_service_lost_with_its_host_the_last_word_is_what_is_known(any_queue: Queue) -> None:
    now, [entry] = lost_runs(any_queue, recovery.LOST)
    assert (entry.chunk, entry.lane, entry.host, entry.outcome) == ("0:10", 1, "its host", "service")
    assert (entry.start, entry.end) == (pytest.approx(now - 30), pytest.approx(now - 20))
