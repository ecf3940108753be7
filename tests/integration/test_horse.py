"""Who wraps RQ's worker, as sentry-sdk and ddtrace do, is called in our pool processes as in RQ's."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import rq
from rq.job import JobStatus
from rq.worker import BaseWorker

from taskq import Queue
from taskq.payload.function import Function
from taskq.testing import running_worker
from taskq_workers.lanes import guard
from taskq_workers.process import horse
from taskq_workers.rq_options import RQOptions
from taskq_workers.settings import Wear
from taskq_workers.user_code import UserCode
from tests import jobs, rq_jobs
from tests.integration.test_same_as_rq import CASES, contents, is_done
from tests.waiting import wait_until


@contextmanager
def patched_worker(queue: Queue, **settings: Any) -> Iterator[Any]:
    """One whose pool processes have the wrappers, from before the first is forked; no other's have them."""
    guard.stop_forkserver()
    try:
        with running_worker(queue, 1, preload=("tests.patches",), **settings) as state:
            yield state
    finally:
        guard.stop_forkserver()


def told(queue: Queue) -> list[dict[str, Any]]:
    return [json.loads(one) for one in queue.connection.lrange("test:patched", 0, -1)]


def test_as_it_comes_nobody_would_notice() -> None:
    assert not horse.is_wanted(UserCode())


class Proxy:
    """As wrapt makes them, and ddtrace uses them: says that it is the function that it wraps."""

    __class__ = types.FunctionType  # type: ignore[assignment]

    def __init__(self, wrapped: types.FunctionType) -> None:
        self.__code__ = wrapped.__code__


def test_what_says_that_it_is_rq_s_own_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy(BaseWorker.perform_job)
    assert isinstance(proxy, types.FunctionType)
    monkeypatch.setattr(BaseWorker, "perform_job", proxy)
    assert horse.is_wanted(UserCode())


def test_other_code_in_the_very_function_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    function = BaseWorker.perform_job
    code = function.__code__
    monkeypatch.setattr(function, "__code__", code.replace(co_consts=(*code.co_consts, "wrapped")))
    assert horse.is_wanted(UserCode())
    monkeypatch.undo()
    assert not horse.is_wanted(UserCode())


@pytest.mark.parametrize("wear", [Wear(), Wear(tasks=1)], ids=["", "recycled"])
def test_wrappers_are_called_with_what_rq_gives_them(real_queue: Queue, wear: Wear) -> None:
    good, bad = real_queue.enqueue(jobs.square, 3), real_queue.enqueue(jobs.invert, 0)
    with patched_worker(real_queue, wear=wear) as state:
        wait_until(lambda: good.return_value(refresh=True) == 9 and bad.get_status() == JobStatus.FAILED)
        name = state.name
    assert bad.id in real_queue.failed_job_registry
    seen = {(one["what"], one["job"]): one for one in told(real_queue)}
    assert set(seen) == {("perform_job", good.id), ("perform_job", bad.id), ("handle_exception", bad.id)}
    assert {one["worker"] for one in seen.values()} == {name}
    told_of = seen["perform_job", good.id]
    assert (told_of["horse"], told_of["queue"]) == (True, "default")
    assert told_of["execution"].startswith(f"{good.id}:")
    assert told_of["status"] == "finished"
    assert seen["perform_job", bad.id]["status"] == "failed"
    assert {one["function"] for one in seen.values()} == {"tests.jobs.square", "tests.jobs.invert"}


ALIKE = [
    "success", "failure", "retried at once", "returned retry", "broken callbacks", "too long", "exits", "changed",
]  # fmt: skip


@pytest.mark.parametrize("case", ALIKE)
def test_with_wrappers_the_same_is_left(real_queue: Queue, case: str) -> None:
    def left(worker: AbstractContextManager[Any]) -> dict[str, Any]:
        real_queue.connection.flushdb()
        CASES[case](queue := rq.Queue(connection=real_queue.connection))
        with worker:
            wait_until(lambda: is_done(queue))
        return contents(real_queue.connection)

    without = left(running_worker(real_queue, 1))
    expected = {key: (value, pytest.approx(lives, abs=10)) for key, (value, lives) in without.items()}
    assert left(patched_worker(real_queue)) == expected
    assert told(real_queue)


def test_a_worker_class_of_the_user_s(real_queue: Queue) -> None:
    user = UserCode(worker_class=Function.of("tests.rq_jobs.TellingWorker"))
    good, bad = real_queue.enqueue(jobs.square, 3), real_queue.enqueue(jobs.invert, 0)
    with running_worker(real_queue, 1, rq=RQOptions(user=user)):
        wait_until(lambda: good.return_value(refresh=True) == 9 and bad.get_status() == JobStatus.FAILED)
    assert real_queue.connection.lrange("test:told", 0, -1) == [
        b"tests.jobs.square True",
        b"tests.jobs.invert ZeroDivisionError('division by zero')",
        b"tests.jobs.invert False",
    ]


def test_a_forked_child_does_not_come_back_into_perform_job(real_queue: Queue) -> None:
    job = real_queue.enqueue(rq_jobs.fork_and_raise)
    with patched_worker(real_queue):
        wait_until(lambda: job.return_value(refresh=True) == "parent")
    assert [one["what"] for one in told(real_queue)] == ["perform_job"]
