"""What takes its whole service down is given up after three deaths, and nothing that ran beside it."""

from __future__ import annotations

import os

import pytest
from rq.job import JobStatus

import taskq
from taskq import Queue
from tests import jobs
from tests.acceptance.worker import Workers
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

JOBS = int(os.environ.get("KILLERS_JOBS", "150"))  # 600 in the long form, said twenty times by hand
ENDED = (JobStatus.FINISHED, JobStatus.FAILED)
LONG_RUN = 600  # seconds


def test_short_jobs_beside_killers(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready(4)
    killers, innocent = [], []
    for n in range(JOBS):
        innocent.append(real_queue.enqueue(jobs.kill_service, n + 1, 0, 0.002))
        if n % (JOBS // 3) == JOBS // 6:
            killers.append(real_queue.enqueue(jobs.kill_service, 0))
    wait_until(lambda: all(one.get_status(refresh=True) in ENDED for one in [*killers, *innocent]))
    assert [one.get_status() for one in killers] == [JobStatus.FAILED] * 3
    assert {one.get_status() for one in innocent} == {JobStatus.FINISHED}
    for one in killers:
        [result] = one.results()
        assert (
            "3 workers, one after the other, died while they ran this job, the last by SIGKILL"
            in result.exc_string
        )
    assert worker.output.count("died by SIGKILL") <= 9


@pytest.mark.parametrize("chunksize", [None, 1, 50])
def test_an_item_that_kills_its_service(workers: Workers, real_queue: Queue, chunksize: int | None) -> None:
    worker = workers.ready(3)
    plain = [real_queue.enqueue(jobs.nap, 0.5) for _ in range(3)]
    items = [(n, 333, 0.001) for n in range(1000)]
    job = real_queue.starmap(jobs.kill_service, items, chunksize=chunksize)
    found = job.get(timeout=120, errors="return")
    assert [n for n in range(1000) if found[n] != n] == [333]
    assert isinstance(found[333], taskq.WorkerLostError)
    said = str(found[333])
    assert "item 333 was given up: the service that ran it died 3 times, last by SIGKILL on " in said
    assert worker.output.count("died by SIGKILL") == 3
    wait_until(lambda: all(one.get_status(refresh=True) in ENDED for one in plain))
    assert {one.get_status() for one in plain} == {JobStatus.FINISHED}


def test_an_item_that_takes_its_container_along(workers: Workers, real_queue: Queue) -> None:
    """Each time all of its worker is gone, with whatever it knew; another one comes."""
    items = [(n, 33, 0.001) for n in range(200)]
    job = real_queue.starmap(jobs.kill_worker, items, chunksize=10)
    plain = real_queue.enqueue(jobs.square, 3)
    deaths = 0
    while not job.ready():
        worker = workers.ready(2, "--lease", "2")
        wait_until(lambda worker=worker: worker.process.poll() is not None or job.ready())
        deaths += worker.process.poll() is not None
    found = job.get(errors="return")
    assert [n for n in range(200) if found[n] != n] == [33]
    assert isinstance(found[33], taskq.WorkerLostError)
    assert "the loss of its host" in str(found[33])
    wait_until(lambda: plain.return_value(refresh=True) == 9)
    assert 3 <= deaths <= 9
