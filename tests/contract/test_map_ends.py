"""What a service does at the end of a map that it owns."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from rq.job import JobStatus

from taskq import MapCanceledError, MapJob, Queue
from taskq.maps.store import MapStore
from taskq_workers.service.jobs import map_ending
from tests import jobs
from tests.waiting import HANGS

NAME = "worker"
_RUN = SimpleNamespace(composite_key="one:1")
_REST: dict[str, Any] = {"summary": None, "execution": _RUN, "called": None, "stopped": False}


def owned(queue: Queue) -> tuple[MapJob, Any]:
    """A map, and how its owner runs it."""
    job = queue.map(jobs.square, range(3))
    store = MapStore(job.id, queue.connection)
    store.open(NAME)
    job.set_status(JobStatus.STARTED)
    queue.connection.hset(job.key, "worker_name", NAME)
    run = {"job": job, "store": store, "fields": queue.connection.hgetall(job.key)}
    return job, SimpleNamespace(**run, guest=False, closed="", look=False, **_REST)


@pytest.mark.parametrize("seen", ["closed", "gone"])
def test_a_map_is_not_ended_because_of_what_the_server_has_lost(any_queue: Queue, seen: str) -> None:
    """It was cancelled or deleted, its owner has seen that, and then the server came back as it was before."""
    job, run = owned(any_queue)
    run.closed = seen
    state = Mock(connection=any_queue.connection)
    state.name = NAME
    map_ending.end(state, run)
    assert (run.closed, run.look, state.unsure) == ("", True, True), "it goes on"
    assert state.worker.mock_calls == []
    assert job.get_status() == JobStatus.STARTED


def test_a_map_that_another_has_closed_is_ended(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_ending.mirror, "is_held", lambda *_: False)
    _job, run = owned(any_queue)
    run.store.close("")
    run.closed = "closed"
    state = Mock(connection=any_queue.connection)
    state.name = NAME
    state.worker.holds.return_value = False  # what comes then is not looked at here
    map_ending.end(state, run)
    assert run.closed == "closed"
    state.drop.assert_called_once_with(run)


@pytest.mark.parametrize("read", [lambda job: job.get(timeout=HANGS), list], ids=["get", "iteration"])
def test_an_end_that_the_server_forgets_while_it_is_told_is_no_failure(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, read: Callable[[MapJob], Any]
) -> None:
    job = any_queue.map(jobs.square, range(3))
    for number in range(3):
        told = itertools.count()
        monkeypatch.setattr(MapJob, "status_now", lambda _job, told=told, number=number: (
            JobStatus.QUEUED if next(told) == number else JobStatus.CANCELED))  # fmt: skip
        with pytest.raises(MapCanceledError):
            read(job)
