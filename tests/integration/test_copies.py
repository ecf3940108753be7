"""``speculate``: what takes too long runs a second time where a process is idle; the first of both counts."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from taskq import MapJob, Queue
from taskq.redis import keys
from taskq.testing import running_worker
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import beaten
from tests import jobs
from tests.integration.test_deaths import runs_of
from tests.waiting import HANGS, LONG, wait_until

ITEMS = 6


def hanging(queue: Queue, folder: Path, **options: Any) -> MapJob[int]:
    """A map whose third item hangs the first time."""
    return queue.map(partial(jobs.hang_once, str(folder), 2), range(ITEMS), chunksize=1, speculate=True, **options)


def sound(queue: Queue, job: MapJob[int]) -> None:
    """Each item has one result, and nobody was blamed for anything."""
    assert job.get(timeout=HANGS) == [n * n for n in range(ITEMS)]
    assert len(job.result_list) == ITEMS
    wait_until(job.ready)
    entries: Any = queue.connection.xrange(keys.TIMELINE)
    assert [entry[b"outcome"] for _id, entry in entries] == [b"ok"] * ITEMS


def test_what_hangs_is_run_by_another_process_and_its_own_is_replaced(fake_queue: Queue, tmp_path: Path) -> None:
    with running_worker(fake_queue) as state:
        before = set(state.lanes.pids)
        job = hanging(fake_queue, tmp_path)
        sound(fake_queue, job)
        wait_until(lambda: len(before & set(state.lanes.pids)) == 1, "the process that hung was killed")
        wait_until(lambda: len(state.lanes.idle) == 2, "and another is there")
        assert not state.trouble


@pytest.mark.parametrize("heard", [True, False])
def test_what_hangs_is_run_by_another_service(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    """Also if nobody hears that it was; the process is free again at the end of the map then."""
    if not heard:
        monkeypatch.setattr(beaten, "hear", lambda *_: None)
    with running_worker(fake_queue, processes=1) as one, running_worker(fake_queue, processes=1) as two:
        sound(fake_queue, hanging(fake_queue, tmp_path))
        for state in (one, two):
            wait_until(lambda state=state: len(state.lanes.idle) == 1 and not state.taken)


def test_what_is_slow_is_stopped_before_its_next_item(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a kill, if its item ends soon."""
    monkeypatch.setattr(beaten, "GRACE", LONG)
    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    with running_worker(fake_queue) as state:
        pids = set(state.lanes.pids)
        items = [(str(ledger), n, str(flag) if n == 4 else "") for n in range(8)]
        job = fake_queue.starmap(jobs.wait_first, items, chunksize=2, speculate=True)
        assert job.get(timeout=HANGS) == [n * n for n in range(8)]
        stopped = lambda: any(run.beaten for lane in state.lanes for run in [*lane.tasks.values()])  # noqa: E731
        wait_until(stopped, "it was told so")
        flag.touch()
        wait_until(lambda: len(state.lanes.idle) == 2)
        assert runs_of(ledger).count(5) == 1, "the first run of that chunk did not come to its second item"
        assert set(state.lanes.pids) == pids


def copied(state: State, job: MapJob[int]) -> int:
    """The pid of the process that runs something a second time; 0: none does."""
    tokens = {claim.token for claim in job.store.copies()}
    for lane in state.lanes:
        for number, run in [*lane.tasks.items()]:
            claim = run.flying.get(number)  # it is entered there just after the process has got it
            if claim is not None and claim.token in tokens:
                return lane.pid
    return 0


@pytest.mark.parametrize("first", [True, False])
def test_a_run_that_dies_leaves_it_to_the_other(fake_queue: Queue, tmp_path: Path, first: bool) -> None:
    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    items = [(str(ledger), n, str(flag) if n == 3 else "") for n in range(4)]
    with running_worker(fake_queue) as state:
        job = fake_queue.starmap(jobs.run_until, items, chunksize=1, speculate=True)
        wait_until(lambda: runs_of(ledger).count(3) == 2, "it runs twice")
        wait_until(lambda: copied(state, job))
        second = copied(state, job)
        [other] = set(state.lanes.pids) - {second}
        os.kill(other if first else second, signal.SIGKILL)
        counted = lambda: fake_queue.connection.hget(job.store.keys.copies, "3:1")  # noqa: E731
        wait_until(lambda: counted() == b"1", "its death is noted, and the other goes on")
        assert fake_queue.connection.llen(job.store.keys.pending) == 0
        flag.touch()
        assert job.get(timeout=HANGS) == [n * n for n in range(4)]
        assert len(job.result_list) == 4
        assert runs_of(ledger).count(3) == 2


def test_nothing_runs_twice_that_was_not_told_so(fake_queue: Queue, tmp_path: Path) -> None:
    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    with running_worker(fake_queue) as state:
        items = [(str(ledger), n, str(flag) if n == 3 else "") for n in range(4)]
        job = fake_queue.starmap(jobs.run_until, items, chunksize=1)
        wait_until(lambda: job.progress.done == 3)
        looks = state.looks
        wait_until(lambda: state.looks > looks + 1, "it has looked twice with a process idle")
        assert runs_of(ledger).count(3) == 1
        flag.touch()
        assert job.get(timeout=HANGS) == [n * n for n in range(4)]
