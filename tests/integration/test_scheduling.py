"""Who gets a process beside maps: whoever's turn it is, however long these are and however many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import rq
from rq.job import JobStatus

from taskq import MapJob, Queue
from taskq.testing import running_worker
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import planning
from tests import jobs
from tests.waiting import HANGS, wait_until

FOREVER = 4000  # items


def endless(queue: Queue, seconds: float, count: int = FOREVER) -> MapJob:
    """A map that does not end while a test looks."""
    return queue.map(jobs.nap, [seconds] * count, chunksize=1, result_ttl=0)


def low(queue: Queue) -> Queue:
    return Queue("low", connection=queue.connection)


def end(*maps: MapJob) -> None:
    for one in maps:
        one.cancel(kill=True)


def test_a_map_of_slow_items_starves_no_job_and_no_map(fake_queue: Queue) -> None:
    """Such as run for longer than what is claimed ahead."""
    with running_worker(fake_queue, processes=2):
        first = endless(fake_queue, 0.2)
        wait_until(lambda: first.progress.done >= 4)
        job, second = fake_queue.enqueue(jobs.square, 3), fake_queue.map(jobs.square, range(4))
        assert job.latest_result(timeout=HANGS)
        assert second.get(timeout=HANGS) == [0, 1, 4, 9]
        assert first.get_status() == JobStatus.STARTED
        end(first)


def test_many_maps_leave_room_for_one_more(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=2, queues=("default", "low")):
        maps = [endless(low(fake_queue), 0.02, 1000) for _ in range(20)]
        wait_until(lambda: all(one.progress.done for one in maps), "each of them gets its turn")
        for queue in (fake_queue, low(fake_queue)):
            assert queue.enqueue(jobs.square, 3).latest_result(timeout=HANGS)
            assert queue.map(jobs.square, range(4)).get(timeout=HANGS) == [0, 1, 4, 9]
        end(*maps)


def test_as_many_maps_as_a_service_owns_keep_nothing_out_of_other_queues(
    fake_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "OWNED", 2)
    with running_worker(fake_queue, processes=2, queues=("default", "low")) as state:
        maps = [endless(low(fake_queue), 0.02) for _ in range(6)]
        wait_until(lambda: len(state.maps) >= 2)
        behind = low(fake_queue).enqueue(jobs.square, 3)
        assert fake_queue.enqueue(jobs.square, 3).latest_result(timeout=HANGS)
        assert fake_queue.map(jobs.square, range(4)).get(timeout=HANGS) == [0, 1, 4, 9]
        assert sum(run.queue.name == "low" for run in state.maps) <= 2 + state.lanes.size, "a fetcher asks nobody"
        end(*maps)
        assert behind.latest_result(timeout=HANGS)


def test_a_queue_before_another_gets_every_process(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=2, queues=("default", "low")) as state:
        maps = [endless(low(fake_queue), 0.02) for _ in range(4)]
        wait_until(lambda: all(one.progress.done for one in maps))
        first = fake_queue.map(jobs.nap, [0.02] * 40, chunksize=1)
        wait_until(lambda: first.progress.done >= 4)
        before = sum(one.progress.done for one in maps)
        assert first.get(timeout=HANGS)
        assert sum(one.progress.done for one in maps) - before <= 4 * state.lanes.size
        end(*maps)


def test_claimed_ahead_goes_back_if_others_come_first(fake_queue: Queue, tmp_path: Path) -> None:
    with running_worker(fake_queue, processes=1, queues=("default", "low")):
        one = endless(low(fake_queue), 0.02)
        wait_until(lambda: one.progress.done >= 4)
        flag = tmp_path / "flag"
        before = fake_queue.map(jobs.wait_for, [str(flag)] * 2, chunksize=1)
        wait_until(lambda: before.connection.hlen(before.store.keys.claims))
        wait_until(lambda: not one.connection.hlen(one.store.keys.claims), "nothing of it is held")
        flag.touch()
        assert before.get(timeout=HANGS)
        end(one)


def test_a_job_behind_many_maps_in_its_queue_does_not_wait_for_these(fake_queue: Queue) -> None:
    maps = [endless(fake_queue, 0.3, 40) for _ in range(20)]
    job = fake_queue.enqueue(jobs.square, 3)
    with running_worker(fake_queue, processes=1):
        assert job.latest_result(timeout=HANGS)
        assert sum(one.progress.done for one in maps) < 10
        end(*maps)


def test_weights_are_shares(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=2):
        heavy = fake_queue.map(jobs.nap, [0.02] * 400, chunksize=1, weight=4)
        light = fake_queue.map(jobs.nap, [0.02] * 400, chunksize=1)
        wait_until(lambda: light.progress.done >= 2)
        done = heavy.progress.done, light.progress.done
        wait_until(lambda: heavy.progress.done >= done[0] + 100)
        assert light.progress.done - done[1] <= 50  # 25, and what the machine adds
        end(heavy, light)


def test_maps_that_end_soon_are_taken_as_they_end(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each turn goes through hundreds of them, of which it ends one."""
    monkeypatch.setattr(planning, "BRIEF", (2, HANGS))
    monkeypatch.setattr(planning, "MAPS", 2)
    asked, room_for = [], planning.maps

    def watched(state: State, queues: Sequence[rq.Queue]) -> tuple[int, list[int]]:
        most, rooms = room_for(state, queues)
        if state.map_ended > 0:
            asked.append((len(state.maps), *rooms))
        return most, rooms

    monkeypatch.setattr(planning, "maps", watched)
    maps = [fake_queue.map(jobs.square, range(2)) for _ in range(40)]
    with running_worker(fake_queue, processes=2):
        assert [one.get(timeout=HANGS) for one in maps] == [[0, 1]] * len(maps)
    assert asked
    for owned, room in asked:
        assert room <= max(1, 2 - owned), "one, where there is nothing to run"
