"""Services come by themselves to open maps of others, and give back what others could run: no helper jobs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from rq.suspension import resume, suspend

from taskq import Queue
from taskq.redis import holdings, keys
from taskq.redis.keys import MapField
from taskq.testing import running_worker
from taskq_workers.service import housekeeping
from taskq_workers.service.core import execution, fleet
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import planning
from taskq_workers.service.rq.worker import RQWorker
from taskq_workers.service.upkeep import recovery
from tests import jobs
from tests.integration.pretence import announce, claim, owner_of
from tests.waiting import HANGS, LONG, NEVER, wait_until


def works(state: State) -> bool:
    return any(run.flying for run in list(state.maps))


@pytest.mark.parametrize("heard", [True, False])
def test_who_has_nothing_to_do_comes_by_itself(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    """Also if no message is heard; and RQ's queue holds nothing meanwhile."""
    if heard:
        monkeypatch.setattr(housekeeping, "TICK", NEVER)
    else:
        monkeypatch.setattr(RQWorker, "_handle_note", lambda *_: None)
    flag = tmp_path / "flag"
    with running_worker(fake_queue, processes=1) as one, running_worker(fake_queue, processes=1) as two:
        job = fake_queue.map(jobs.wait_for, [str(flag)] * 3, chunksize=1)
        wait_until(lambda: works(one) and works(two), "both work on it")
        assert fake_queue.job_ids == []
        assert [run.guest for state in (one, two) for run in state.maps].count(True) == 1
        flag.touch()
        assert job.get(timeout=HANGS) == [str(flag)] * 3
        wait_until(lambda: not (one.taken or two.taken))
        assert not fake_queue.connection.exists(
            keys.OPEN + fake_queue.name, keys.held(one.name), keys.held(two.name)
        )


def test_a_service_comes_to_a_map_in_a_queue_before_that_of_its_own(fake_queue: Queue, tmp_path: Path) -> None:
    low, flag = Queue("low", connection=fake_queue.connection), tmp_path / "flag"
    high = fake_queue.map(jobs.wait_for, [str(flag)], chunksize=1)
    fake_queue.connection.delete(fake_queue.key)  # somebody else owns it
    announce(fake_queue, "other")
    with running_worker(low, processes=1, queues=("default", "low")) as busy:
        own = low.map(jobs.nap, [0.02] * 4000, chunksize=1)
        wait_until(lambda: own.progress.done)
        assert high.store.open("other")
        wait_until(lambda: any(run.guest and run.flying for run in list(busy.maps)))
        own.cancel(kill=True)
        flag.touch()
        wait_until(lambda: high.progress.done)


def test_what_is_claimed_ahead_goes_to_who_is_idle(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last chunks of a map, of which nothing is pending any more."""
    for module in (planning, execution):  # on a busy machine a hundredth of a second may take long
        monkeypatch.setattr(module, "FAST", LONG)
    flag = tmp_path / "flag"
    with running_worker(fake_queue, processes=1) as one:
        items = [(0.01, ""), *[(0.01, "")] * 20, (0.0, str(flag)), (0.0, str(flag))]
        job = fake_queue.starmap(jobs.nap_or_wait, items, chunksize=1)
        wait_until(lambda: job.progress.done == 21 and works(one))
        wait_until(lambda: fake_queue.connection.hlen(job.store.keys.claims) == 2, "one is claimed ahead")
        with running_worker(fake_queue, processes=1) as two:
            wait_until(lambda: works(two), "it has got the last one")
            flag.touch()
            assert len(job.get(timeout=HANGS)) == 23


def test_what_a_dead_guest_held_goes_back_and_the_map_s_job_does_not(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, range(3), chunksize=1)
    fake_queue.connection.delete(fake_queue.key)
    assert job.store.open("owner")
    announce(fake_queue, "guest")
    holding = holdings.Holding(job.id, f"guest-{job.incarnation}", holdings.BEGUN, fake_queue.name)
    fake_queue.connection.hset(keys.held("guest"), holding.key, holding.value)
    claim(job, "guest", 2)
    assert job.store.release_orphans() == 0, "it is at work"
    assert recovery.recover(fake_queue.connection, "guest") == 0
    assert fake_queue.connection.llen(job.store.keys.pending) == 3
    assert fake_queue.job_ids == []


def test_a_guest_s_place_that_is_lost_costs_it_what_it_claimed(fake_queue: Queue, tmp_path: Path) -> None:
    """It was given up for dead, and lives on."""
    flag = tmp_path / "flag"
    with running_worker(fake_queue, processes=1) as one, running_worker(fake_queue, processes=1) as two:
        job = fake_queue.map(jobs.wait_for, [str(flag)] * 4, chunksize=1)
        wait_until(lambda: works(one) and works(two))
        [guest] = [state for state in (one, two) if any(run.guest for run in state.maps)]
        recovery.hand_back(fake_queue.connection, guest.name)
        guest.unsure = True
        flag.touch()
        assert job.get(timeout=HANGS) == [str(flag)] * 4
        assert job.progress.done == 4


def test_a_register_that_was_lost_is_made_anew(fake_queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with running_worker(fake_queue, processes=1):
        job = fake_queue.map(jobs.wait_for, [str(flag)], chunksize=1)
        wait_until(lambda: owner_of(job))
        fake_queue.connection.delete(keys.OPEN + fake_queue.name)
        wait_until(lambda: fake_queue.connection.zscore(keys.OPEN + fake_queue.name, job.id))
        flag.touch()
        assert job.get(timeout=HANGS)


def test_a_stopping_guest_leaves_everything_behind(fake_queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with running_worker(fake_queue, processes=1):
        with running_worker(fake_queue, processes=1, grace=0.0) as two:
            job = fake_queue.map(jobs.wait_for, [str(flag)] * 4, chunksize=1)
            wait_until(lambda: works(two))
            name = two.name
        assert not fake_queue.connection.exists(keys.held(name))
        flag.touch()
        assert job.get(timeout=HANGS) == [str(flag)] * 4


def test_many_open_maps_are_seen_by_and_by(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "_MAPS", (3, 3))
    maps = [fake_queue.map(jobs.square, range(3), chunksize=1) for _ in range(10)]
    fake_queue.connection.delete(fake_queue.key)
    for job in maps:
        assert job.store.open("owner")
    with running_worker(fake_queue, processes=1):
        for job in maps:
            wait_until(lambda job=job: job.progress.done == 3)


@pytest.mark.parametrize("what", ["a stranger's", "damaged", "refused"])
def test_beside_a_map_that_it_can_t_join_a_service_rests(fake_queue: Queue, what: str) -> None:
    """It looks once a second, for what may come, and says of the map once why it does not join."""
    job = fake_queue.map(jobs.square, range(3), chunksize=1)
    fake_queue.connection.delete(fake_queue.key)
    announce(fake_queue, "other")
    assert job.store.open("other")
    if what == "a stranger's":
        fake_queue.connection.hset(job.key, keys.JOB_KIND, "map 99 " + job.incarnation)
    elif what == "damaged":
        fake_queue.connection.hset(job.store.keys.hash, MapField.TOTAL, "x")
    with running_worker(fake_queue, processes=1) as state:
        if what == "refused":
            state.note_refusal(job.id, job.incarnation)
        wait_until(lambda: (job.id, job.incarnation) in state.refused and state.open)
        began, before = time.monotonic(), state.looks
        wait_until(lambda: state.looks >= before + 6)
        assert time.monotonic() - began > 2 * housekeeping.TICK, "two looks a tick: for itself, and as it is idle"
        assert not state.maps


def test_a_suspended_service_joins_nothing_also_before_its_next_tick(
    fake_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "TICK", NEVER)
    job = fake_queue.map(jobs.square, range(3), chunksize=1)
    fake_queue.connection.delete(fake_queue.key)
    announce(fake_queue, "other")
    with running_worker(fake_queue, processes=1) as state:
        suspend(fake_queue.connection)
        before = state.looks
        assert job.store.open("other")
        fake_queue.connection.publish(keys.NOTES, json.dumps({"command": keys.WORK, "map": job.id}))
        wait_until(lambda: state.looks > before and state.open)
        wait_until(lambda: state.suspended)
        assert job.progress.done == 0
        assert not list(job.store.claims())
        assert not state.maps
        resume(fake_queue.connection)
        fake_queue.connection.publish(keys.NOTES, json.dumps({"command": keys.WORK, "map": job.id}))
        wait_until(lambda: job.progress.done == 3)
