"""Jobs that come while a service waits for them: begun by the server itself, each once, whatever is lost."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError
from rq import Callback
from rq.command import send_kill_horse_command, send_stop_job_command
from rq.job import JobStatus
from rq.suspension import resume, suspend

from taskq import Queue
from taskq.redis import keys, services
from taskq.testing import running_worker
from taskq_workers.rq_options import RQOptions
from taskq_workers.service import dispatcher, housekeeping
from taskq_workers.service.core.events import Done, Event, Fetched
from taskq_workers.service.core.inbox import Inbox
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import feeding
from taskq_workers.service.jobs.fetcher import Fetcher
from taskq_workers.service.rq.worker import RQWorker
from taskq_workers.service.upkeep import recovery
from taskq_workers.service.upkeep.membership import Membership
from tests import jobs
from tests.integration.pretence import announce
from tests.integration.test_deaths import runs_of
from tests.integration.test_garbage import put
from tests.waiting import HANGS, LONG, NEVER, wait_until


@pytest.fixture(autouse=True)
def no_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes does not come by a look that is taken each second anyway, or when a lease is renewed."""
    monkeypatch.setattr(housekeeping, "TICK", NEVER)
    monkeypatch.setattr(Membership, "due", math.inf)


def waits(state: State, queue: Queue) -> bool:
    """Whether the worker's fetcher is blocked in the server."""
    return bool(state.tickets) and "blmove" in {client["cmd"] for client in queue.connection.client_list()}


def has_ended(job: Any) -> Callable[[], bool]:
    return lambda: job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED)


def hold_what_comes(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Keep what fetchers bring from the dispatcher; returns what says that it is held, and what sets it free."""
    held, release = threading.Event(), threading.Event()

    class Holding(Fetcher):
        def __init__(self, *arguments: Any) -> None:
            *others, post = arguments

            def hold(event: Fetched) -> None:
                held.set()
                release.wait()
                post(event)

            super().__init__(*others, hold)

    monkeypatch.setattr("taskq_workers.service.service.Fetcher", Holding)
    return held, release


def test_a_job_that_comes_while_another_runs_begins_at_once(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=2) as state:
        wait_until(lambda: waits(state, real_queue))
        first = real_queue.enqueue(jobs.nap, LONG)
        wait_until(lambda: first.get_status() == JobStatus.STARTED)
        second = real_queue.enqueue(jobs.square, 3)
        wait_until(has_ended(second))
        assert first.get_status() == JobStatus.STARTED


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[type, str]]:
    """For each event of a job that was acted on: what it was, and in which thread."""
    seen: list[tuple[type, str]] = []
    note = dispatcher.Dispatcher._note

    def noted(self: dispatcher.Dispatcher, event: Event) -> None:
        if isinstance(event, Fetched | Done):
            seen.append((type(event), threading.current_thread().name))
        note(self, event)

    monkeypatch.setattr(dispatcher.Dispatcher, "_note", noted)
    return seen


def test_who_brings_news_of_a_job_that_comes_by_itself_acts_on_it(
    real_queue: Queue, steps: list[tuple[type, str]]
) -> None:
    with running_worker(real_queue, processes=1) as state:

        def have_both() -> bool:  # unless the dispatcher itself was awake just then
            wait_until(lambda: waits(state, real_queue))
            assert real_queue.enqueue(jobs.square, 3).latest_result(timeout=HANGS)
            return {(Fetched, f"fetcher-{real_queue.name}"), (Done, "lane 0: results")} <= {*steps}

        wait_until(have_both)


def test_who_breaks_in_the_dispatcher_s_place_ends_the_service(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[str] = []
    run = dispatcher.Dispatcher.run

    def noted_run(self: dispatcher.Dispatcher) -> None:
        try:
            run(self)
        except ZeroDivisionError:
            broken.append(threading.current_thread().name)
            self._fetching.stop()
            self.state.lanes.close()

    def top_up(state: State) -> None:
        1 / (0 if state.ready else 1)

    monkeypatch.setattr(dispatcher.Dispatcher, "run", noted_run)
    with running_worker(real_queue, processes=1) as state:
        wait_until(lambda: waits(state, real_queue))
        monkeypatch.setattr(feeding, "top_up", top_up)
        real_queue.enqueue(jobs.square, 3)
        wait_until(lambda: broken)
    assert broken == [state.name]  # not in the fetcher's thread


def test_the_last_job_s_end_says_that_the_worker_is_idle(
    real_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []

    def state_of(worker: State) -> Any:
        return real_queue.connection.hget(worker.worker.key, "state")

    with running_worker(real_queue, processes=2) as worker:
        wait_until(lambda: waits(worker, real_queue))
        monkeypatch.setattr(RQWorker, "set_state", lambda _self, *state, **_options: said.append(state))
        long = real_queue.enqueue(jobs.wait_for, str(tmp_path / "flag"))
        wait_until(lambda: long.get_status() == JobStatus.STARTED)
        assert real_queue.enqueue(jobs.square, 3).latest_result(timeout=HANGS)
        wait_until(lambda: len(worker.taken) == 1)
        assert state_of(worker) == b"busy"
        (tmp_path / "flag").touch()
        assert long.latest_result(timeout=HANGS)
        wait_until(lambda: not worker.taken)
        assert state_of(worker) == b"idle"
        assert said == []


def test_one_whose_beginning_is_not_heard_of_goes_back_and_runs_once(
    real_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, lost = Fetcher._take, []

    def deaf(self: Fetcher, ticket: str) -> Any:
        reply = take(self, ticket)
        if reply and not lost:
            lost.append(reply)
            raise RedisConnectionError("a test")
        return reply

    monkeypatch.setattr(Fetcher, "_take", deaf)
    with running_worker(real_queue) as state:
        wait_until(lambda: waits(state, real_queue))
        job = real_queue.enqueue(jobs.run_once, str(tmp_path / "ledger"), 3, 0)
        wait_until(has_ended(job))
    assert lost
    assert runs_of(tmp_path / "ledger") == [3]
    assert len(job.results()) == 1


def test_one_that_is_on_its_way_is_not_taken_for_lost(
    real_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, release = hold_what_comes(monkeypatch)
    monkeypatch.setattr(housekeeping, "TICK", 0.05)
    try:
        with running_worker(real_queue) as state:
            wait_until(lambda: waits(state, real_queue))
            job = real_queue.enqueue(jobs.run_once, str(tmp_path / "ledger"), 3, 0)
            assert held.wait(HANGS)
            state.unsure = True
            wait_until(lambda: not state.unsure)
            assert job.get_status() == JobStatus.STARTED
            release.set()
            wait_until(has_ended(job))
    finally:
        release.set()
    assert runs_of(tmp_path / "ledger") == [3]


@pytest.mark.parametrize("simple", [True, False])
def test_one_that_the_server_has_only_moved_is_begun_with_the_next_wait(any_queue: Queue, simple: bool) -> None:
    with running_worker(any_queue) as state:
        wait_until(lambda: services.live(any_queue.connection))
        job = any_queue.create_job(jobs.square, (3,), on_success=None if simple else Callback(jobs.remember))
        job.save()
        job.set_status(JobStatus.QUEUED)
        any_queue.connection.rpush(keys.fetched(state.name, any_queue.name), job.id)
        wait_until(has_ended(job))
    assert any_queue.connection.llen(any_queue.intermediate_queue_key) == 0


def test_one_that_was_moved_for_a_service_that_died_goes_back(any_queue: Queue) -> None:
    announce(any_queue, "dead")
    first, second = any_queue.enqueue(jobs.square, 2), any_queue.enqueue(jobs.square, 3)
    key = keys.fetched("dead", any_queue.name)
    for _ in range(2):
        any_queue.connection.lmove(any_queue.key, key)
    any_queue.connection.zadd(f"rq:executions:{first.id}", {"of an earlier run": 1})
    assert recovery.recover(any_queue.connection, "dead") == 2
    assert any_queue.job_ids == [first.id, second.id]
    assert not any_queue.connection.exists(key)


def test_one_for_which_there_is_no_process_goes_back(real_queue: Queue, tmp_path: Path) -> None:
    """Two queues, each with its own fetcher, and one process."""
    other = Queue("other", connection=real_queue.connection)
    names, flag = (real_queue.name, other.name), tmp_path / "flag"
    with running_worker(real_queue, processes=1, queues=names) as state:
        wait_until(lambda: len(state.tickets) == 2)
        with real_queue.connection.pipeline() as pipe:
            queued = [
                one.enqueue_call(jobs.run_until, (str(tmp_path / "ledger"), n, str(flag)), pipeline=pipe)
                for n, one in enumerate((real_queue, other))
            ]
            pipe.execute()
        wait_until(lambda: sorted(job.get_status() for job in queued) == [JobStatus.QUEUED, JobStatus.STARTED])
        flag.touch()
        wait_until(lambda: all(has_ended(job)() for job in queued))
    assert runs_of(tmp_path / "ledger") == [0, 1]


def test_one_that_comes_just_after_the_suspension_goes_back(real_queue: Queue) -> None:
    with running_worker(real_queue) as state:
        wait_until(lambda: waits(state, real_queue))
        suspend(real_queue.connection)
        job = real_queue.enqueue(jobs.square, 3)
        wait_until(lambda: state.suspended)
        assert (real_queue.job_ids, job.get_status()) == ([job.id], JobStatus.QUEUED)
        resume(real_queue.connection)
        state.suspended = False


@pytest.mark.parametrize("kind", ["string", "hash", "zset"])
def test_garbage_in_the_way_is_removed(any_queue: Queue, kind: str) -> None:
    with running_worker(any_queue) as state:
        wait_until(lambda: services.live(any_queue.connection))
        put(any_queue.connection, keys.fetched(state.name, any_queue.name), kind, b"x")
        job = any_queue.enqueue(jobs.square, 3)
        wait_until(has_ended(job))
    assert job.return_value() == 9


def test_who_can_t_wait_asks(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """E.g. as its Redis user may not."""

    def refused(self: Fetcher, ticket: str) -> Any:
        raise NoPermissionError("a test")

    monkeypatch.setattr(Fetcher, "_take", refused)
    with running_worker(real_queue):
        wait_until(lambda: services.live(real_queue.connection))
        for _ in range(3):
            job = real_queue.enqueue(jobs.square, 3)
            wait_until(has_ended(job))


def test_one_that_comes_as_the_service_stops_goes_back(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if nothing is heard of it, and the time to stop is over."""
    take, states = Fetcher._take, []

    def deaf(self: Fetcher, ticket: str) -> Any:
        if take(self, ticket):
            wait_until(lambda: states[0].stopping)
            raise RedisConnectionError("a test")
        return []

    monkeypatch.setattr(Fetcher, "_take", deaf)
    with running_worker(real_queue, grace=0.0) as state:
        states.append(state)
        wait_until(lambda: waits(state, real_queue))
        job = real_queue.enqueue(jobs.square, 3)
        wait_until(lambda: job.get_status() == JobStatus.STARTED)
    assert (real_queue.job_ids, job.get_status()) == ([job.id], JobStatus.QUEUED)


def test_one_that_was_only_moved_as_the_service_stops_goes_back(any_queue: Queue) -> None:
    job = any_queue.create_job(jobs.square, (3,))
    job.save()
    job.set_status(JobStatus.QUEUED)
    with running_worker(any_queue) as state, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fetcher, "_fetch", lambda _self: None)
        wait_until(lambda: services.live(any_queue.connection))
        state.stopping = True  # it takes nothing any more
        any_queue.connection.rpush(keys.fetched(state.name, any_queue.name), job.id)
    assert any_queue.job_ids == [job.id]


def test_one_that_was_moved_is_not_left_where_nobody_looks(real_queue: Queue) -> None:
    """The only process is busy for long: others are to have it."""
    with running_worker(real_queue, processes=1) as state:
        wait_until(lambda: waits(state, real_queue))
        first = real_queue.enqueue(jobs.nap, LONG)
        wait_until(lambda: first.get_status() == JobStatus.STARTED)
        wait_until(lambda: not state.tickets)
        other = Queue("other", connection=real_queue.connection)
        with running_worker(real_queue, processes=1, queues=(other.name, real_queue.name)) as idle:
            wait_until(lambda: len(idle.tickets) == 2)
            real_queue.connection.script_flush()
            job = real_queue.enqueue(jobs.square, 3)
            wait_until(has_ended(job))


@pytest.mark.parametrize("simple", [True, False])
def test_of_several_queues_no_more_is_begun_than_there_may_be(real_queue: Queue, simple: bool) -> None:
    other = Queue("other", connection=real_queue.connection)
    done = None if simple else Callback(jobs.remember)
    options = RQOptions(max_jobs=1)
    with running_worker(real_queue, processes=2, queues=(real_queue.name, other.name), rq=options) as state:
        wait_until(lambda: len(state.tickets) == 2)
        with real_queue.connection.pipeline() as pipe:
            queued = [
                one.enqueue_call(jobs.square, (3,), on_success=done, pipeline=pipe) for one in (real_queue, other)
            ]
            pipe.execute()
        wait_until(lambda: state.finished)
    assert sorted(job.get_status() for job in queued) == [JobStatus.FINISHED, JobStatus.QUEUED]
    assert state.begun == 1


def test_a_job_can_be_stopped_as_soon_as_it_is_seen_to_have_begun(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, release = hold_what_comes(monkeypatch)
    monkeypatch.setattr(dispatcher, "HEARD", LONG)
    heard: list[dispatcher.Dispatcher] = []
    obey = dispatcher.Dispatcher._obey

    def noted(self: dispatcher.Dispatcher) -> None:
        if self._commands:
            heard.append(self)
        obey(self)

    monkeypatch.setattr(dispatcher.Dispatcher, "_obey", noted)
    try:
        with running_worker(real_queue) as state:
            wait_until(lambda: waits(state, real_queue))
            job = real_queue.enqueue(jobs.nap, LONG)
            assert held.wait(HANGS)
            send_stop_job_command(real_queue.connection, job.id)
            wait_until(lambda: heard)
            [(_due, command)] = heard[0]._commands  # it waits until what the server has said before is here, too
            release.set()
            wait_until(lambda: state.taken)
            heard[0]._commands[0] = (0.0, command)
            heard[0]._inbox.ring()
            wait_until(lambda: job.get_status() == JobStatus.STOPPED)
    finally:
        release.set()


def test_kill_horse_costs_also_what_the_process_had_not_come_to(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1) as state:
        wait_until(lambda: waits(state, real_queue))
        [lane] = state.lanes
        wait_until(lambda: not lane.stillborn)
        os.kill(lane.pid, signal.SIGSTOP)
        job = real_queue.enqueue(jobs.nap, LONG)
        wait_until(lambda: not lane.idle)
        send_kill_horse_command(real_queue.connection, state.name)
        wait_until(lambda: job.get_status() == JobStatus.FAILED)


def test_what_waits_is_begun_in_the_order_of_the_queues(real_queue: Queue, tmp_path: Path) -> None:
    """But for the first of each, which two fetchers bring at the same moment."""
    low = Queue("low", connection=real_queue.connection)
    with running_worker(real_queue, processes=1, queues=(real_queue.name, low.name)) as state:
        for turn in range(10):
            wait_until(lambda: len(state.tickets) == 2)
            ledger = tmp_path / str(turn)
            with real_queue.connection.pipeline() as pipe:
                queued = [
                    one.enqueue_call(jobs.run_once, (str(ledger), n, 0), pipeline=pipe)
                    for n, one in enumerate([low] * 4 + [real_queue] * 4)
                ]
                pipe.execute()
            wait_until(lambda queued=queued: all(has_ended(job)() for job in queued))
            [written] = tmp_path.glob(f"{turn}.*")
            ran = [int(line) for line in written.read_text().split()]
            assert [n for n in ran if n not in (0, 4)] == [5, 6, 7, 1, 2, 3]


def test_a_fetcher_that_has_ended_is_missed_by_nobody(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fetcher, "run", lambda _self: None)
    monkeypatch.setattr(housekeeping, "TICK", 0.1)
    with running_worker(real_queue):
        for _ in range(3):
            job = real_queue.enqueue(jobs.square, 3)
            wait_until(has_ended(job))


def test_ids_of_jobs_that_are_gone_are_passed_over_at_once(any_queue: Queue) -> None:
    """However many there are: nobody waits until it is time to look again."""
    gone = [any_queue.enqueue(jobs.square, n) for n in range(50)]
    any_queue.connection.delete(*(job.key for job in gone))
    job = any_queue.enqueue(jobs.square, 3)
    with running_worker(any_queue, processes=1):
        wait_until(has_ended(job))
    assert any_queue.job_ids == []


def test_a_job_that_comes_by_itself_does_not_wake_the_dispatcher_s_thread(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever brings it does all; another turn, of a thread that must be woken, would be half of what it costs."""
    rung: list[float] = []
    ring = Inbox.ring
    monkeypatch.setattr(Inbox, "ring", lambda inbox: (rung.append(0.0), ring(inbox)))
    with running_worker(real_queue) as state:
        wait_until(lambda: waits(state, real_queue))
        rung.clear()
        for n in range(30):
            assert real_queue.enqueue(jobs.square, n).latest_result(timeout=HANGS)
        assert len(rung) < 20
