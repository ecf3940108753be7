"""Chunks that run long are cut, unless the user has said how large they are; and they stop when asked to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskq import MapCanceledError, Queue
from taskq.maps.store import MapStore
from taskq.redis import keys
from taskq.testing import running_worker
from taskq_workers.lanes.lane import Lane
from taskq_workers.service.rq.worker import RQWorker
from tests import jobs
from tests.integration.test_deaths import runs_of
from tests.waiting import HANGS, LONG, wait_until, when


def sizes(queue: Queue) -> list[int]:
    """Items of each run of a chunk."""
    return [int(entry[b"items"]) for _id, entry in queue.connection.xrange(keys.TIMELINE)]


def test_long_items_travel_alone_in_the_end(fake_queue: Queue, tmp_path: Path) -> None:
    items = [(str(tmp_path / "ledger"), n, 0.15) for n in range(40)]
    with running_worker(fake_queue, processes=2):
        fake_queue.connection.hset(keys.SERVICES, "x", "{}")
        job = fake_queue.starmap(jobs.run_once, items)
        fake_queue.connection.hdel(keys.SERVICES, "x")
        assert job.get(timeout=HANGS) == [n * n for n in range(40)]
        assert len(job.result_list) == 40
    assert set(sizes(fake_queue)) == {1}
    assert runs_of(tmp_path / "ledger") == list(range(40)), "each item ran once"


def test_items_of_10_ms_travel_together(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=2):
        job = fake_queue.map(jobs.nap, [0.01] * 400)
        assert job.get(timeout=HANGS) == [0.01] * 400
    assert max(sizes(fake_queue)) <= 20
    assert sum(sizes(fake_queue)) == 400


def test_a_chunksize_that_the_user_gave_is_kept(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1):
        assert fake_queue.map(jobs.nap, [0.05] * 10, chunksize=5).get(timeout=HANGS) == [0.05] * 10
    assert sizes(fake_queue) == [5, 5]


def test_cancel_ends_a_chunk_with_the_item_that_runs(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag, stops, stop = tmp_path / "flag", [], Lane.stop
    monkeypatch.setattr(Lane, "stop", lambda self, number: (stop(self, number), stops.append(number)))
    items = [(str(tmp_path / "ledger"), n, str(flag) if n > 1 else "") for n in range(100)]
    with running_worker(fake_queue, processes=1) as state:
        job = fake_queue.starmap(jobs.run_until, items, chunksize=100)
        wait_until(lambda: len(runs_of(tmp_path / "ledger")) == 3)
        pids = state.lanes.pids
        job.cancel()
        wait_until(lambda: stops)
        flag.touch()
        wait_until(lambda: all(lane.idle for lane in state.lanes))
        assert state.lanes.pids == pids, "nobody was killed"
        assert fake_queue.map(jobs.square, [3]).get(timeout=HANGS) == [9]
    assert runs_of(tmp_path / "ledger") == [0, 1, 2]
    with pytest.raises(MapCanceledError):
        job.get()


@pytest.mark.parametrize("chunksize", [1, 50])
def test_cancel_may_kill_what_runs(fake_queue: Queue, chunksize: int) -> None:
    with running_worker(fake_queue, processes=2) as state:
        job = fake_queue.map(jobs.sleep_in_c, [LONG] * 100, chunksize=chunksize)
        wait_until(lambda: sum(lane.running is not None for lane in state.lanes) == 2)
        job.cancel(kill=True)
        assert fake_queue.map(jobs.square, range(2), chunksize=1).get(timeout=HANGS) == [0, 1]
        wait_until(lambda: not state.taken)
    assert job.connection.hlen(job.store.keys.claims) == 0
    assert job.errors == {}, "nobody is blamed"


def test_a_stopping_service_ends_its_chunks_early_and_loses_nothing(fake_queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    items = [(str(tmp_path / "ledger"), n, str(flag) if n % 30 > 1 else "") for n in range(60)]
    with running_worker(fake_queue, processes=2, grace=LONG) as state:
        job = fake_queue.starmap(jobs.run_until, items, chunksize=30)
        wait_until(lambda: len(runs_of(tmp_path / "ledger")) == 6, "each process is at its third item")
        when(lambda: state.stopping, flag.touch)
    done = job.progress.done
    assert 0 < done < 20
    assert job.connection.hlen(job.store.keys.claims) == 0
    with running_worker(fake_queue, processes=2):
        assert job.get(timeout=HANGS) == [n * n for n in range(60)]
    assert runs_of(tmp_path / "ledger") == list(range(60)), "no item ran twice"


@pytest.mark.parametrize("moment", ["before it is begun", "before it is opened"])
def test_a_map_that_is_cancelled_as_it_begins_stays_so(
    fake_queue: Queue, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    job = fake_queue.map(jobs.nap, [0.01] * 4, chunksize=1)
    place, name = (RQWorker, "begin") if moment == "before it is begun" else (MapStore, "open")
    original = getattr(place, name)

    def just_before(*arguments: Any) -> Any:
        monkeypatch.setattr(place, name, original)
        job.cancel()
        return original(*arguments)

    monkeypatch.setattr(place, name, just_before)
    with running_worker(fake_queue, processes=1) as state:
        wait_until(lambda: getattr(place, name) is original)
        assert fake_queue.map(jobs.square, [3]).get(timeout=HANGS) == [9]
        wait_until(lambda: not state.taken)
    assert job.get_status() == "canceled"
    with pytest.raises(MapCanceledError):
        job.get(timeout=HANGS)
    assert len(job.result_list) == 0
