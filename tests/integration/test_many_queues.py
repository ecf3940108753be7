"""Hundreds of queues on one service: few threads and connections, and nobody waits for long in any of them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from taskq import Queue
from taskq.redis import services
from taskq.testing import running_worker
from taskq_workers.rq_options import RQOptions
from taskq_workers.service import housekeeping
from taskq_workers.service.core.state import FETCHERS
from tests import jobs
from tests.waiting import HANGS, NEVER, wait_until

NAMES = tuple(f"queue-{number}" for number in range(300))
MOST = 10  # of a service's threads and connections


def queues(queue: Queue, *numbers: int) -> list[Queue]:
    return [Queue(NAMES[number], connection=queue.connection) for number in numbers]


def test_threads_and_connections_are_few(real_queue: Queue) -> None:
    threads = {thread.ident for thread in threading.enumerate()}
    clients = len(real_queue.connection.client_list())
    with running_worker(real_queue, processes=1, queues=NAMES) as state:
        wait_until(lambda: len(state.tickets) == FETCHERS)
        ours = [one for one in threading.enumerate() if one.ident not in threads and "lane" not in one.name]
        assert len(ours) <= MOST
        assert len(real_queue.connection.client_list()) - clients <= MOST


@pytest.mark.parametrize("strategy", ["default", "round_robin", "random"])
def test_a_job_in_any_of_them_is_seen(real_queue: Queue, monkeypatch: pytest.MonkeyPatch, strategy: str) -> None:
    """Not by a look that is taken each second anyway."""
    with running_worker(real_queue, processes=1, queues=NAMES, rq=RQOptions(dequeue_strategy=strategy)) as state:
        wait_until(lambda: len(state.tickets) == FETCHERS)
        monkeypatch.setattr(housekeeping, "TICK", NEVER)
        for queue in queues(real_queue, 0, 3, 4, 150, 299):
            assert queue.enqueue(jobs.square, 3).latest_result(timeout=HANGS)
            assert queue.map(jobs.square, range(3)).get(timeout=HANGS) == [0, 1, 4]


def test_all_jobs_of_all_queues_run_in_the_order_of_the_queues(real_queue: Queue, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"

    def runs() -> list[int]:
        return [int(line) for file in tmp_path.iterdir() for line in file.read_text().split()]

    for number in (299, 7, 150, 2):
        [queue] = queues(real_queue, number)
        for n in range(3):
            queue.enqueue(jobs.run_once, str(ledger), 10 * number + n, 0)
    with running_worker(real_queue, processes=1, queues=NAMES):
        wait_until(lambda: len(runs()) == 12)
    assert runs() == [10 * one + n for one in (2, 7, 150, 299) for n in range(3)]


def test_burst_ends_when_all_are_empty(real_queue: Queue) -> None:
    waiting = [queue.enqueue(jobs.square, 3) for queue in queues(real_queue, 0, 10, 20, 30, 299) for _ in range(3)]
    with running_worker(real_queue, processes=2, queues=NAMES, rq=RQOptions(burst=True)) as state:
        wait_until(lambda: state.finished)
    assert all(job.return_value(refresh=True) == 9 for job in waiting)


def test_beside_maps_a_job_gets_the_next_process(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1, queues=NAMES):
        wait_until(lambda: services.live(real_queue.connection))
        [late, early] = queues(real_queue, 200, 100)
        long = late.map(jobs.nap, [0.05] * 4000, chunksize=1)
        wait_until(lambda: long.progress.done)
        for queue in (early, late):
            assert queue.enqueue(jobs.square, 3).latest_result(timeout=HANGS)
        assert not long.ready()
        long.cancel(kill=True)
