"""A service that stops while it waits for jobs: the wait ends at once, and nothing that comes then is lost."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import NoPermissionError
from rq.suspension import suspend

from taskq import Queue
from taskq.redis.connection import connect
from taskq.redis.urls import url_of
from taskq.testing import running_worker
from taskq_workers.service.jobs import fetcher
from taskq_workers.service.jobs.fetcher import Fetcher
from taskq_workers.service.rq.lean import LeanRedis
from tests import jobs
from tests.integration.test_deaths import runs_of
from tests.integration.test_fetching import has_ended, waits
from tests.waiting import BRIEF, HANGS, LONG, wait_until


@pytest.fixture
def endless_waits(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Of ``running_worker``: what ends in time does not do so as a wait or the time to stop is over."""
    monkeypatch.setattr(fetcher, "BLOCK", LONG)
    url = url_of(real_queue.connection)
    new = lambda: connect(url, retries=0, timeout=2 * LONG, client=LeanRedis)  # noqa: E731
    return {"grace": LONG, "new_connection": new}


@pytest.mark.parametrize("times", [1, 2])
def test_who_waits_in_the_server_hears_that_it_is_to_stop(
    real_queue: Queue, endless_waits: dict[str, Any], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Also if it had not begun to wait when the server was told."""
    told: list[int] = []
    wake = Fetcher.wake

    def late(self: Fetcher, connection: Any) -> None:
        told.append(1)
        if len(told) >= times:
            wake(self, connection)

    monkeypatch.setattr(Fetcher, "wake", late)
    with running_worker(real_queue, **endless_waits) as state:
        wait_until(lambda: waits(state, real_queue))
    assert len(told) >= times


def test_who_waits_until_jobs_are_wanted_hears_that_it_is_to_stop(
    real_queue: Queue, endless_waits: dict[str, Any]
) -> None:
    with running_worker(real_queue, processes=1, **endless_waits) as state:
        wait_until(lambda: waits(state, real_queue))
        assert real_queue.enqueue(jobs.nap, BRIEF).latest_result(timeout=HANGS)
        suspend(real_queue.connection)
        real_queue.enqueue(jobs.square, 3)
        wait_until(lambda: state.suspended and not state.tickets)
    assert real_queue.connection.llen(real_queue.key) == 1


def test_where_the_server_ends_no_wait_it_is_over_by_itself(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def refused(_self: Any, client: int, **_options: Any) -> None:
        asked.append(client)
        raise NoPermissionError("a test")

    monkeypatch.setattr(Redis, "client_unblock", refused)
    with running_worker(real_queue) as state:
        wait_until(lambda: waits(state, real_queue))
    assert len(asked) == 1  # and a line in its log, no more


def test_who_is_not_told_its_number_waits_all_the_same(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CLIENT is forbidden."""
    asked: list[Any] = []

    def unknown(pipe: Any) -> Any:
        asked.append(pipe)
        return pipe.execute_command("FORBIDDEN")

    monkeypatch.setattr(Pipeline, "client_id", unknown)
    with running_worker(real_queue) as state:
        for n in range(3):
            wait_until(lambda: waits(state, real_queue))
            assert real_queue.enqueue(jobs.square, n).latest_result(timeout=HANGS)
    assert len(asked) == 1


def test_what_comes_as_services_stop_is_lost_by_none(real_queue: Queue, tmp_path: Path) -> None:
    """Whether it comes before the server ends the wait, or after."""
    queued = []
    for n in range(20):
        with running_worker(real_queue, processes=1) as state:
            wait_until(lambda state=state: waits(state, real_queue))
            pushed = threading.Thread(
                target=lambda n=n: queued.append(real_queue.enqueue(jobs.run_once, str(tmp_path / "ledger"), n, 0))
            )
            pushed.start()
        pushed.join()
    with running_worker(real_queue, processes=1):
        for job in queued:
            wait_until(has_ended(job))
    assert runs_of(tmp_path / "ledger") == [*range(20)]
