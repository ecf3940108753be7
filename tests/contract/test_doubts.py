"""Who waits for a map on which nobody works is told so, and why: once, on stderr."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import rq
from rq import Retry
from rq.job import JobStatus
from rq.scheduler import RQScheduler
from rq.suspension import suspend

from taskq import MapCanceledError, MapJob, NestedWaitError, OpenMap, Queue, WaitTimeoutError
from taskq.maps import doubts, own_feed
from taskq.redis import services
from taskq.redis.lua import Scripts
from taskq.redis.services import ServiceInfo
from taskq.testing import drain, running_worker
from tests import jobs
from tests.contract.by_hand import claim, commit
from tests.waiting import BRIEF, HANGS, LONG

Make = Callable[[Queue], MapJob]


def queued(queue: Queue) -> MapJob:
    return queue.map(jobs.square, range(3))


def served(trouble: str = "", *queues: str) -> Make:
    def make(queue: Queue) -> MapJob:
        info = ServiceInfo("one", "host", 1, 1, queues or (queue.name,), "3.11.7", 0.0, trouble=trouble)
        services.renew(Scripts(queue.connection), info, LONG)
        return queued(queue)

    return make


def scheduled(queue: Queue) -> MapJob:
    job = queue.map(jobs.invert, [0], retry=Retry(max=1, interval=LONG))
    drain(queue)
    assert job.get_status() == JobStatus.SCHEDULED
    return job


def with_scheduler(queue: Queue) -> MapJob:
    queue.connection.set(RQScheduler.get_locking_key(queue.name), "somebody")
    return scheduled(queue)


def deferred(queue: Queue) -> MapJob:
    first = queue.enqueue(jobs.invert, 0, job_id="first")
    job = queue.map(jobs.square, [1], depends_on=first)
    drain(queue)
    return job


def still_deferred(queue: Queue) -> MapJob:
    return queue.map(jobs.square, [1], depends_on=queue.enqueue(jobs.square, 0))


def suspended(queue: Queue) -> MapJob:
    suspend(queue.connection)
    return served()(queue)


def stock(queue: Queue) -> MapJob:
    rq.SimpleWorker([queue.name], connection=queue.connection).register_birth()
    return queued(queue)


def ended(queue: Queue) -> MapJob:
    job = queued(queue)
    drain(queue)
    return job


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (queued, "no worker listens on the queue 'default' at {url}; start one: taskq worker default --url {url}"),
        (served("", "other"), "no worker listens on the queue 'default'"),
        (
            served("takes nothing: it is ill"),
            "no service of the queue 'default' is well; one: takes nothing: it is ill",
        ),
        (
            scheduled,
            "no scheduler runs for the queue 'default' at {url}; start one: taskq worker default",
        ),
        (deferred, "it depends on the job first, which has ended as failed"),
        (suspended, "RQ is suspended: `rq resume`"),
    ],
)
def test_why_nobody_works_on_it(any_queue: Queue, make: Make, told: str) -> None:
    from taskq.redis.urls import url_of

    found = doubts.of(make(any_queue))
    assert found is not None
    assert told.format(url=url_of(any_queue.connection)) in found


@pytest.mark.parametrize("make", [served(), with_scheduler, still_deferred, stock, ended])
def test_no_doubts(any_queue: Queue, make: Make) -> None:
    assert doubts.of(make(any_queue)) is None


def test_damage_is_no_reason(any_queue: Queue) -> None:
    job = queued(any_queue)
    any_queue.connection.set("rq:workers:default", "x")
    assert doubts.of(job) is None


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "_FIRST", 0.0)
    monkeypatch.setattr(doubts, "_LONGEST", 0.0)


THREE_LOOKS = 2.5  # seconds


def wait(job: MapJob) -> None:
    assert not job.wait(timeout=THREE_LOOKS)


def get(job: MapJob) -> None:
    with pytest.raises(WaitTimeoutError, match="nobody works on it: no worker listens on the queue"):
        job.get(timeout=THREE_LOOKS)


def iterate(job: MapJob) -> None:
    """Until somebody cancels it."""
    threading.Timer(THREE_LOOKS, job.cancel).start()
    with pytest.raises(MapCanceledError):
        list(job)


@pytest.mark.parametrize("asks", [(wait, wait), (get, get), (iterate,)])
@pytest.mark.usefixtures("brief")
def test_it_is_said_once(
    any_queue: Queue, capsys: pytest.CaptureFixture[str], asks: tuple[Callable[[MapJob], Any], ...]
) -> None:
    job = queued(any_queue)
    for ask in asks:
        ask(job)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"taskq: the map {job.id} waits: no worker listens on the queue 'default' at ")


@pytest.mark.usefixtures("brief")
def test_not_of_a_worker_that_is_just_restarted(any_queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    job = queued(any_queue)
    watch = doubts.Doubts(job)
    watch.look()
    served()(any_queue)
    watch.look()
    watch.look()
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("brief")
def test_nothing_is_said_of_one_that_runs(fake_queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    with running_worker(fake_queue):
        job = fake_queue.map(jobs.nap, [LONG])
        with pytest.raises(WaitTimeoutError, match="it goes on"):
            job.get(timeout=THREE_LOOKS)
        job.cancel(kill=True)
        assert job.wait(timeout=HANGS)
    assert capsys.readouterr().err == ""


def test_without_a_stderr(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    assert not queued(any_queue).wait(timeout=BRIEF)


@pytest.fixture
def unsealed(fake_queue: Queue) -> OpenMap[Any, Any]:
    """An open map of which all has ended that was put."""
    info = ServiceInfo("one", "host", 1, 1, (fake_queue.name,), "3.11.7", 0.0)
    services.renew(Scripts(fake_queue.connection), info, LONG)
    job = fake_queue.open_map(jobs.square)
    job.put(5)
    commit(job.store, claim(job.store)[0])
    fake_queue.connection.hset(job.key, "status", "started")
    return job


@pytest.mark.parametrize("ask", [MapJob.get, list])
@pytest.mark.usefixtures("brief")
def test_an_end_that_only_who_waits_can_bring_about(
    fake_queue: Queue, unsealed: OpenMap[Any, Any], monkeypatch: pytest.MonkeyPatch, ask: Callable[[MapJob], Any]
) -> None:
    monkeypatch.setattr(own_feed, "is_alone", lambda: True)
    other = fake_queue.fetch_job(unsealed.id)
    assert isinstance(other, MapJob)
    with pytest.raises(NestedWaitError, match="all that was put has ended, and more may come until"):
        ask(other)


@pytest.mark.usefixtures("brief")
def test_an_end_that_another_thread_may_bring_about(
    unsealed: OpenMap[Any, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def looks(*, for_ever: bool) -> str:
        watch = doubts.Doubts(unsealed).begin(for_ever=for_ever)
        watch.look()
        watch.look()
        return capsys.readouterr().err

    monkeypatch.setattr(own_feed, "is_alone", lambda: False)
    assert "call seal() before you wait" in looks(for_ever=True)
    assert not looks(for_ever=False), "who has given a time is told at its end"
    assert "call seal() before you wait" in str(doubts.not_in_time(unsealed, 1.0))
    monkeypatch.setattr(own_feed, "is_alone", lambda: True)
    assert not looks(for_ever=False)
    unsealed.put(6)
    assert not looks(for_ever=True), "there is something to be run"
    commit(unsealed.store, claim(unsealed.store)[0])
    unsealed.seal()
    assert not looks(for_ever=True)


def test_who_else_may_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    def others(*names: str) -> bool:
        threads = [threading.current_thread(), *(threading.Thread(name=name) for name in names)]
        monkeypatch.setattr(threading, "enumerate", lambda: threads)
        return own_feed.is_alone()

    assert others()
    assert others("taskq Pool sends", "taskq Pool reads", "taskq feeds nightly")
    assert not others("taskq imap reads"), "the iterable is the user's"
    assert not others("taskq Pool callbacks")
    assert not others("Thread-1")
