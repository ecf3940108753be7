"""What a pool process keeps of maps, and for how long."""

from __future__ import annotations

import functools
from typing import Any

from taskq import Queue
from taskq.testing import running_worker
from taskq_workers.link.known import BYTES, LARGE, MAPS
from tests import jobs
from tests.waiting import HANGS, wait_until

MIB = 1 << 20


def at(table: bytes, n: int) -> int:
    return table[n]


def residents(state: Any) -> list[float]:
    return [lane.resident for lane in state.lanes]


def test_the_memory_of_a_large_function_is_free_when_its_map_is_over(fake_queue: Queue) -> None:
    """Also in a process that gets nothing more to do; and before it is, the function is there once."""
    with running_worker(fake_queue) as state:
        fake_queue.map(jobs.nap, [0.01] * 20, chunksize=1).get(timeout=HANGS)
        before = max(residents(state))
        job = fake_queue.map(functools.partial(at, bytes(100 * MIB)), range(20), chunksize=1)
        assert job.get(timeout=HANGS) == [0] * 20
        wait_until(lambda: max(residents(state)) < before + 50)


def test_also_of_one_that_holds_itself(fake_queue: Queue) -> None:
    scope: dict[str, Any] = {"__name__": "__main__", "TABLE": bytes(100 * MIB)}
    exec("def cycle(n): return TABLE[n] if n < len(TABLE) else cycle(0)", scope)  # noqa: S102 - as in a shell
    with running_worker(fake_queue) as state:
        fake_queue.map(jobs.nap, [0.01] * 20, chunksize=1).get(timeout=HANGS)
        before = max(residents(state))
        job = fake_queue.map(scope["cycle"], range(20), chunksize=1)
        assert job.get(timeout=HANGS) == [0] * 20
        wait_until(lambda: max(residents(state)) < before + 50)


def test_more_maps_at_a_time_than_a_process_knows(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1):
        pushed = [
            fake_queue.map(functools.partial(jobs.add, number), range(12), chunksize=2)
            for number in range(2 * MAPS)
        ]
        for number, job in enumerate(pushed):
            assert job.get(timeout=HANGS) == [number + n for n in range(12)]


def test_two_maps_at_a_time_of_which_a_process_knows_only_one(fake_queue: Queue) -> None:
    table = bytes(BYTES // 2)
    with running_worker(fake_queue, processes=1):
        pushed = [
            fake_queue.map(functools.partial(at, table + bytes([number])), [0, -1] * 3, chunksize=2)
            for number in range(2)
        ]
        for number, job in enumerate(pushed):
            assert job.get(timeout=HANGS) == [0, number] * 3


def test_large_and_small_ones_in_turn(fake_queue: Queue) -> None:
    """Both ends count along, whatever comes to its end between."""
    with running_worker(fake_queue, processes=1):
        for number in range(3 * MAPS):
            size = 2 * LARGE if number % 3 else 10
            first = fake_queue.map(functools.partial(at, bytes(size)), [0, 1], chunksize=1)
            second = fake_queue.map(functools.partial(jobs.add, number), [0, 1], chunksize=1)
            assert first.get(timeout=HANGS) == [0, 0]
            assert second.get(timeout=HANGS) == [number, number + 1]


def test_a_long_map_is_known_after_many_short_ones_have_come_and_gone(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1):
        long = fake_queue.map(jobs.nap, [0.02] * 10_000, chunksize=1)
        wait_until(lambda: long.progress.done)
        for number in range(2 * MAPS):
            short = fake_queue.map(functools.partial(jobs.add, number), [0], chunksize=1)
            assert short.get(timeout=HANGS) == [number]
        done = long.progress.done
        wait_until(lambda: long.progress.done > done or long.ready())
        assert long.get_status() == "started"
        long.cancel()
