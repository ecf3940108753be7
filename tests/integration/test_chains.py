"""Maps of other maps' results, and folds, on services with real pool processes."""

from __future__ import annotations

import functools
import operator
from pathlib import Path

import pytest
from rq.job import JobStatus

from taskq import MapFailedError, Queue, SourceFailedError
from taskq.testing import running_worker
from tests import jobs
from tests.waiting import HANGS, wait_until


def test_each_as_soon_as_it_is_there(real_queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with running_worker(real_queue, processes=2):
        first = real_queue.map(jobs.wait_for, ["", str(flag)], chunksize=1)
        second = first.map(len)
        wait_until(lambda: second.store.glance().done == 1)
        assert not first.ready()
        flag.touch()
        assert second.get(timeout=HANGS) == [0, len(str(flag))]


def test_while_the_first_goes_on(real_queue: Queue) -> None:
    with running_worker(real_queue), real_queue.open_map(jobs.square) as first:
        second, total = first.map(jobs.square), first.reduce(operator.add, initial=0)
        first.put(3)
        wait_until(lambda: second.store.glance().done == 1)
        first.put_many(range(1000))
        first.seal()
        assert second.get(timeout=HANGS) == [81, *(n**4 for n in range(1000))]
        assert total.get(timeout=HANGS) == 9 + sum(n * n for n in range(1000))
        assert second.get_status() == JobStatus.FINISHED


def test_in_a_queue_of_another_service(real_queue: Queue) -> None:
    other = Queue("elsewhere", connection=real_queue.connection)
    with running_worker(real_queue, processes=1), running_worker(other, processes=1):
        first = real_queue.map(jobs.square, range(500), result_ttl=0)
        assert first.map(jobs.square, queue="elsewhere").get(timeout=HANGS) == [n**4 for n in range(500)]
        wait_until(lambda: not real_queue.connection.exists(*first.store.keys.all))


def test_processes_that_die(real_queue: Queue, tmp_path: Path) -> None:
    with running_worker(real_queue):
        first = real_queue.map(jobs.die_once, [str(tmp_path / f"first {n}") for n in range(3)])
        second = first.map(functools.partial(_die_once_more, str(tmp_path)))
        assert second.get(timeout=HANGS) == ["survived"] * 3


def _die_once_more(where: str, told: str) -> str:
    return jobs.die_once(f"{where}/second") and told


def test_what_fails_in_the_first(real_queue: Queue) -> None:
    with running_worker(real_queue):
        first = real_queue.map(jobs.invert, [2, 0, 4], chunksize=1)
        second = first.map(jobs.invert)
        with pytest.raises(SourceFailedError, match="item 1 of the map"):
            second.get(timeout=HANGS)
        assert second.get(errors="return")[::2] == [2.0, 4.0]


def test_the_first_is_cancelled(real_queue: Queue, tmp_path: Path) -> None:
    flag = str(tmp_path / "flag")
    with running_worker(real_queue, processes=2):
        first = real_queue.map(jobs.wait_for, ["", flag], chunksize=1)
        second = first.map(len)
        wait_until(lambda: second.store.glance().done == 1)
        first.cancel(kill=True)
        with pytest.raises(MapFailedError, match="has ended as canceled with 1 of 2 done"):
            second.get(timeout=HANGS)
