"""Who gets the next chunk."""

from __future__ import annotations

import time
from collections import deque
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from taskq.maps import caps
from taskq.maps.claim import Claim
from taskq.maps.terms import NONE
from taskq.payload.ranges import Range
from taskq.redis.keys import MapKeys
from taskq_workers.service.core.execution import MapRun, PlainJob
from taskq_workers.service.core.policy import Policy
from taskq_workers.service.core.queue_order import QueueOrder
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import feeding, short_path
from taskq_workers.settings import MAX_DEATHS, Settings


class Lanes:
    """Two, each with one short chunk that has just begun."""

    def __init__(self, run: MapRun) -> None:
        self.run = run
        self.open: list[Any] = [self._lane(), self._lane()]
        self.submitted = 0

    def _lane(self) -> Any:
        return SimpleNamespace(
            tasks={1: self.run}, idle=False, closed=False, lent=False, running=self.run,
            since=time.monotonic(), knows=lambda _key: True, stillborn=False,
        )  # fmt: skip

    def submit(self, lane: Any, _task: object, run: MapRun) -> int:
        self.submitted += 1
        lane.tasks[1 + self.submitted] = run
        return 1 + self.submitted


def claim(number: int) -> Claim:
    return Claim(Range(number, 1), "token", 0, Range(number, 1), "w")


def short_chunks(pending: int, name: str = "a") -> MapRun:
    queue, store = SimpleNamespace(name="default"), Mock(**{"function.return_value": b"f"})
    store.keys = MapKeys(name, "1")
    info = Mock(weight=1.0, terms=NONE, caps=caps.NONE)
    return MapRun(Mock(), cast("Any", queue), Mock(), {}, store=store, info=info, seconds=0.01, pending=pending)


def state_of(lanes: Lanes, *runs: MapRun) -> Any:
    maps = deque(runs)
    return SimpleNamespace(
        settings=Settings(""),
        ready=deque(), held=deque(), maps=maps, active=maps, errands=deque(), lanes=lanes, policy=Policy(),
        order=QueueOrder("default", ["default"]), needs_idle=False, stopping=False, job_seconds=None,
        alone=0, alone_until=0.0, drain=None, suspended=False, unrecorded={}, solitude=Mock(held=False),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ready", "pending", "queued"),
    [
        (3, 0, 1),  # then two are left, one for each process
        (2, 0, 0),
        (2, 1, 1),
        (3, 100, 2),  # one behind each
    ],
)
def test_the_last_chunks_wait_for_whoever_is_free_first(ready: int, pending: int, queued: int) -> None:
    run = short_chunks(pending)
    run.ready = deque(claim(number) for number in range(ready))
    lanes = Lanes(run)
    feeding.top_up(state_of(lanes, run))
    assert lanes.submitted == queued
    assert len(run.ready) == ready - queued


@pytest.mark.parametrize(("distance", "queued"), [(1.0, 0), (5.0, 0), (20.0, 2)])
def test_where_chunks_are_long_on_their_way_longer_ones_wait_behind_others(distance: float, queued: int) -> None:
    """Seats of a cluster have chunks of 0.5 s, and of up to twice as much: a second one is there when one ends."""
    run = short_chunks(pending=100)
    run.seconds, run.distance = 0.9, distance
    run.ready = deque(claim(number) for number in range(3))
    lanes = Lanes(run)
    for lane in lanes.open:
        lane.since -= 0.7
    feeding.top_up(state_of(lanes, run))
    assert lanes.submitted == queued


def test_beside_another_map_they_are_queued_for_no_process_would_ever_be_idle() -> None:
    run = short_chunks(pending=0)
    run.ready = deque([claim(0)])
    lanes = Lanes(run)
    feeding.top_up(state_of(lanes, run, short_chunks(pending=100, name="b")))
    assert lanes.submitted == 1


def test_a_process_that_is_only_just_starting_comes_last() -> None:
    run = short_chunks(pending=0)
    run.ready = deque([claim(0)])
    lanes = Lanes(run)
    for lane in lanes.open:
        lane.tasks, lane.idle, lane.running = {}, True, None
    lanes.open[0].stillborn = True
    feeding.top_up(state_of(lanes, run))
    assert [len(lane.tasks) for lane in lanes.open] == [0, 1]


def test_a_function_that_is_half_read_waits_until_there_are_chunks_again() -> None:
    run = short_chunks(pending=0)
    run.function.size = 1
    lanes = Lanes(run)
    assert not feeding.reads_on(state_of(cast("Any", lanes.open), run)), "or the service would not rest until then"
    run.ready = deque([claim(0)])
    assert feeding.reads_on(state_of(cast("Any", lanes.open), run))


def plain_job(name: str, deaths: int = 0) -> PlainJob:
    queue, job = SimpleNamespace(name="default"), Mock(timeout=None)
    return PlainJob(job, cast("Any", queue), Mock(job_id=name), {}, deaths=deaths)


def test_beside_maps_a_queue_has_had_its_turn_when_its_job_has_got_a_process() -> None:
    """One that was taken again and again, since it had to wait, took the turn of those behind it each time."""
    run = short_chunks(pending=0)
    lanes = Lanes(run)
    state = state_of(lanes, run)
    state.order, state.due = QueueOrder("round_robin", ["a", "default"]), 0.0
    job = plain_job("one")
    job.queue.name = "a"
    State.took(state, job.queue)
    assert [*state.order] == ["a", "default"]
    state.ready.append(job)
    feeding._give_jobs(state, cast("Any", SimpleNamespace(index=0, tasks={}, idle=True, closed=False, lent=False)))
    assert [*state.order] == ["default", "a"]


def test_what_was_begun_goes_back_before_something_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    back: list[str] = []
    monkeypatch.setattr(short_path, "give_back", lambda _state, job: back.append(job.job_id))
    lanes = Lanes(short_chunks(pending=0))
    lanes.open = [SimpleNamespace(index=0, tasks={}, idle=True, closed=False, lent=False, stillborn=False)]
    state = state_of(lanes)
    state.lanes = type("Lanes", (list,), {"open": lanes.open, "submit": lanes.submit})(lanes.open)
    state.ready = deque([plain_job("a"), plain_job("b")])
    state.held = deque([plain_job("alone", MAX_DEATHS - 1)])
    state.scripts, state.due, state.name = Mock(), 0.0, "w"
    feeding.top_up(state)
    assert state.alone
    assert back == ["b", "a"], "so that the queue has them in their order again"


def test_what_is_to_run_alone_waits_on_while_the_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = Lanes(short_chunks(pending=0))
    lanes.open = [SimpleNamespace(index=0, tasks={}, idle=True, closed=False, lent=False, stillborn=False)]
    state = state_of(lanes)
    state.lanes = type("Lanes", (list,), {"open": lanes.open, "submit": lanes.submit})(lanes.open)
    state.ready, alone = deque([plain_job("a")]), plain_job("alone", MAX_DEATHS - 1)
    state.held = deque([alone])
    monkeypatch.setattr(short_path, "give_back", Mock(side_effect=ConnectionError))
    with pytest.raises(ConnectionError):
        feeding.top_up(state)
    assert [*state.held] == [alone]
    assert not state.alone
