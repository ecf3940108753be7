"""Work that waits for other work of the same server lends its place, and where it can't, it is told so."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from taskq import NestedWaitError, Queue
from taskq.testing import drain, running_worker
from taskq_workers.lanes import lanes
from taskq_workers.service.jobs import planning
from tests import jobs
from tests.waiting import HANGS, wait_until


@pytest.mark.parametrize("how", ["get", "wait", "iterate", "in_order"])
def test_five_deep_on_two_processes(real_queue: Queue, how: str) -> None:
    with running_worker(real_queue, processes=2) as state:
        assert real_queue.starmap(jobs.nest, [(5, how)] * 2, chunksize=1).get(timeout=HANGS) == [5, 5]
        wait_until(lambda: len([*state.lanes]) == 2, "there are no more processes than before")


def test_what_is_waited_for_may_lie_behind_as_many_maps_as_a_service_owns(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "OWNED", 2)
    others = tuple(f"other-{n}" for n in range(15))  # so many are looked at, and nobody waits in each of them
    with running_worker(real_queue, processes=2, queues=(*others, real_queue.name)):
        maps = [real_queue.map(jobs.nest, [1]) for _ in range(5)]
        assert [one.get(timeout=HANGS) for one in maps] == [[1]] * 5


def test_plain_jobs_lend_their_place_too(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1):
        queued = [real_queue.enqueue(jobs.nest, 2) for _ in range(3)]
        for job in queued:
            result = job.latest_result(timeout=HANGS)
            assert result
            assert result.return_value == 2


def test_who_waits_when_too_many_do_is_told(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MOST_LENT", 2)
    with running_worker(real_queue, processes=1) as state:
        job = real_queue.map(jobs.nest, [5])
        with pytest.raises(NestedWaitError, match="might never end: too many processes"):
            job.get(timeout=HANGS)
        wait_until(lambda: not (state.taken or real_queue.job_ids), "what nobody waits for any more has run")
        assert real_queue.map(jobs.nest, [1]).get(timeout=HANGS) == [1], "it may wait again"


@pytest.mark.parametrize("stock", [False, True], ids=["service", "stock"])
def test_a_server_is_the_same_by_whatever_name(
    real_queue: Queue, server_url: str, stock: bool, tmp_path: Path
) -> None:
    """As where a worker says localhost, and a job 127.0.0.1."""
    alias = tmp_path / "alias.sock"
    alias.symlink_to(urlsplit(server_url).path)
    job = real_queue.map(jobs.nest_at, [f"unix://{alias}"])
    if stock:
        drain(real_queue)
        with pytest.raises(NestedWaitError, match="there is no worker but this one"):
            job.get(timeout=HANGS)
        return
    with running_worker(real_queue, processes=1):
        assert job.get(timeout=HANGS) == [9]


def test_a_stock_worker_that_is_alone_says_so(
    real_queue: Queue, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKQ_URL", server_url)
    job = real_queue.map(jobs.nest, [1])
    drain(real_queue)
    with pytest.raises(NestedWaitError, match="there is no worker but this one"):
        job.get(timeout=HANGS)


def test_an_executor_that_outlives_an_item_lends_for_the_next_one(real_queue: Queue, tmp_path: Path) -> None:
    """Whose thread has waited all the while, in the name of the first."""
    began, flag = tmp_path / "began", tmp_path / "flag"
    args = real_queue.name, str(began), str(flag)
    with running_worker(real_queue, processes=1):
        first = real_queue.enqueue(jobs.leave_a_call, *args)
        assert first.latest_result(timeout=HANGS)
        second = real_queue.enqueue(jobs.call_again, *args)
        wait_until(lambda: began.with_name("began-again").exists())
        flag.touch()
        wait_until(lambda: second.return_value(refresh=True) == 9)
