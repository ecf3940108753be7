"""What one worker can't run costs that worker the work, and not the map."""

from __future__ import annotations

import json
import math
import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import taskq
from taskq import Queue
from taskq.redis import services
from taskq.testing import running_worker
from taskq_workers.service.core import map_function, state
from tests import jobs
from tests.waiting import HANGS, wait_until

MODULE = "import time\ndef work(n):\n    time.sleep(0.01)\n    return n\n"


@pytest.fixture
def module(tmp_path: Path) -> tuple[str, ...]:
    """The path of a worker that has the module ``only_here``."""
    (tmp_path / "only_here.py").write_text(MODULE)
    return (str(tmp_path),)


@pytest.mark.parametrize("owner", ["has it", "has it not"])
def test_a_worker_without_the_module_leaves_the_map_to_another(
    fake_queue: Queue, module: tuple[str, ...], owner: str
) -> None:
    def start(path: tuple[str, ...]) -> Any:
        return stack.enter_context(running_worker(fake_queue, 2, path=path, refusal_grace=HANGS))

    with ExitStack() as stack:
        first = start(module if owner == "has it" else ())
        job = fake_queue.map("only_here.work", range(300), chunksize=1)
        wait_until(lambda: first.taken)
        second = start(() if owner == "has it" else module)
        wait_until(lambda: len(services.live(fake_queue.connection)) == 2)
        assert job.get(timeout=HANGS) == list(range(300))
        lacking = second if owner == "has it" else first
        if owner == "has it not":
            [refusal] = job.store.refusals().values()
            assert refusal.worker == lacking.name
            assert "only_here" in refusal.why
        assert fake_queue.map(jobs.square, [3]).get(timeout=HANGS) == [9]


def test_the_refusal_of_a_helper_is_shown(fake_queue: Queue, module: tuple[str, ...]) -> None:
    with running_worker(fake_queue, 1, path=module) as owner:
        job = fake_queue.map("only_here.work", range(10_000), chunksize=1)
        wait_until(lambda: owner.maps and owner.maps[0].flying)
        with running_worker(fake_queue, 1) as lacking:
            wait_until(lambda: lacking.name in job.store.refusals())
            before = job.progress.done
            wait_until(lambda: job.progress.done > before + 20)
            assert job.get_status() == "started"
            assert all(claim.worker == owner.name for claim in job.store.claims())
        assert lacking.name in str(fake_queue.connection.hget(job.store.keys.hash, "refused"))
        job.cancel()


def test_a_map_that_nobody_can_run_fails_with_all_reasons(fake_queue: Queue) -> None:
    with running_worker(fake_queue, 1) as one, running_worker(fake_queue, 1) as two:
        job = fake_queue.map("only_here.work", range(10), chunksize=1)
        with pytest.raises(taskq.MapFailedError, match="only_here") as caught:
            job.get(timeout=HANGS)
        assert one.name in str(caught.value)
        assert two.name in str(caught.value)
    assert job.errors == {}


def test_it_waits_for_somebody_who_can(fake_queue: Queue, module: tuple[str, ...]) -> None:
    with running_worker(fake_queue, 1, refusal_grace=HANGS):
        job = fake_queue.map("only_here.work", range(10), chunksize=1)
        wait_until(job.store.refusals)
        with running_worker(fake_queue, 1, path=module):
            assert job.get(timeout=HANGS) == list(range(10))


def test_a_worker_without_room_for_a_large_function_leaves_the_map_to_another(
    fake_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with running_worker(fake_queue, 1, refusal_grace=HANGS) as owner:
        with monkeypatch.context() as patch:
            patch.setattr(map_function.os, "write", full)
            small = fake_queue.map(partial(jobs.add, b=1), [1, 2, 3], chunksize=1)
            large = fake_queue.map(partial(_longer, LARGE), [1, 2, 3], chunksize=1)
            wait_until(large.store.refusals)
        [refusal] = large.store.refusals().values()
        assert (refusal.worker, "No space left on device" in refusal.why) == (owner.name, True)
        assert small.get(timeout=HANGS) == [2, 3, 4]
        with running_worker(fake_queue, 1):
            assert large.get(timeout=HANGS) == [n + len(LARGE) for n in (1, 2, 3)]


LARGE = os.urandom(2 * map_function.PIECE)


def _longer(data: bytes, n: int) -> int:
    return len(data) + n


def test_a_retry_asks_again(fake_queue: Queue, tmp_path: Path) -> None:
    with running_worker(fake_queue, 1, path=(str(tmp_path),)) as state:
        job = fake_queue.map("only_here.work", range(10), chunksize=1)
        wait_until(job.ready)
        assert job.store.refusals()
        (tmp_path / "only_here.py").write_text(MODULE)
        job.requeue()
        assert job.get(timeout=HANGS) == list(range(10))
        assert job.store.refusals() == {}
        assert state.trouble == ""


def test_a_retry_asks_all_again(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also who helped before, and remembers that it could not: else the owner would wait for it."""
    monkeypatch.setattr(state, "MOST_REFUSED", (1000, math.inf))
    options: Any = {"processes": 1, "refusal_grace": 0.0}
    with running_worker(fake_queue, **options), running_worker(fake_queue, **options) as second:
        wait_until(lambda: len(services.live(fake_queue.connection)) == 2)
        job = fake_queue.map(jobs.square, range(10), initializer="tests.jobs.fail_to_load", initargs=("x",))
        for _ in range(2):
            wait_until(job.ready)
            assert len(job.store.refusals()) == 2
            job.requeue()
        wait_until(job.ready)
    assert len(second.refused) == 1


class Shared:
    """Items of one pickle: apart they would be many times larger. One of them can't be read."""

    def __init__(self, n: int, data: bytes) -> None:
        self.n, self.data = n, data

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.n == 2:
            raise OSError("the data of item 2 are gone")


def test_items_that_can_only_be_read_together_fail_together_and_no_others(fake_queue: Queue) -> None:
    """For they hold each other in a circle."""
    data: list[Any] = [bytes(1000)]
    items = [Shared(n, data) for n in range(40)]
    data.append(items)
    with running_worker(fake_queue, 1):
        job = fake_queue.map(_number, items, chunksize=10)
        found = job.get(timeout=HANGS, errors="return")
    assert all(isinstance(one, OSError) for one in found), "each holds the one that can't be read"


def test_items_that_share_what_they_hold_fail_alone(fake_queue: Queue) -> None:
    data = bytes(1000) + b"x"
    with running_worker(fake_queue, 1):
        job = fake_queue.map(_number, [Shared(n, data) for n in range(40)], chunksize=10)
        found = job.get(timeout=HANGS, errors="return")
    assert [n for n, one in enumerate(found) if isinstance(one, OSError)] == [2]
    assert found[:2] + found[3:] == [n for n in range(40) if n != 2]


def _number(one: Shared) -> int:
    return one.n


def test_refusals_that_are_none_are_shown_as_far_as_they_can(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, [1])
    bad = {"a": b"\xff", "b": b"[]", "c": json.dumps({"host": 3, "why": "so"})}
    fake_queue.connection.hset(job.store.keys.refusals, mapping=bad)
    assert [one.why for one in job.store.refusals().values()] == ["", "", "so"]
