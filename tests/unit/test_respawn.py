"""When a dead service may start again."""

from __future__ import annotations

import pytest

from taskq_workers.manager import respawn
from taskq_workers.manager.respawn import Respawn


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(respawn.time, "monotonic", lambda: now[0])
    return now


def die(one: Respawn, clock: list[float], lived: float, exit_code: int = -9, worker_id: int = 0) -> float:
    one.started(worker_id)
    clock[0] += lived
    return one.died(worker_id, exit_code)


def test_a_death_now_and_then_costs_nothing(clock: list[float]) -> None:
    one = Respawn()
    assert [die(one, clock, 60.0) for _ in range(10)] == [0.0] * 10


def test_early_deaths_cost_more_and_more_up_to_a_bound(clock: list[float]) -> None:
    one = Respawn()
    pauses = [die(one, clock, 0.5) for _ in range(12)]
    assert pauses[:5] == [0.0, 0.0, 0.1, 0.2, 0.4]
    assert pauses[-1] == 5.0
    assert one.wait(0) == 5.0
    clock[0] += 5.0
    assert one.wait(0) == 0.0


def test_a_healthy_life_or_a_wanted_end_begins_anew(clock: list[float]) -> None:
    one = Respawn()
    for ending in ((60.0, -9), (0.5, 0)):
        for _ in range(5):
            die(one, clock, 0.5)
        assert die(one, clock, *ending) == 0.0
        assert die(one, clock, 0.5) == 0.0


def test_each_service_has_its_own(clock: list[float]) -> None:
    one = Respawn()
    for _ in range(9):
        die(one, clock, 0.5, worker_id=0)
    assert die(one, clock, 0.5, worker_id=1) == 0.0
    assert one.wait(0) > 0.0
    assert one.wait(1) == 0.0
