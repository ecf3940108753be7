"""What each of many services leaves to the others, so that one server is enough for all."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from taskq.maps.runner import SLICE
from taskq.redis.services import FEW
from taskq_workers.service.core.fleet import CHUNK, SHARE, Fleet
from taskq_workers.service.jobs import guests
from taskq_workers.service.jobs.search import Search
from tests.unit.test_search import state


@pytest.mark.parametrize("services", [1, 2, FEW])
def test_a_few_do_everything_at_once(services: int) -> None:
    fleet = Fleet(services, 10 * services)
    assert (fleet.times, fleet.look, fleet.stretch, fleet.pace, fleet.maps) == (1.0, 0.0, 1.0, 1.0, 200)
    assert fleet.call <= 0.005


@pytest.mark.parametrize("processes", [10_000, 64_000])
def test_chunks_leave_the_server_more_than_half_of_its_time(processes: int) -> None:
    seconds = Fleet(1000, processes).stretch * SLICE
    assert processes / seconds * CHUNK == pytest.approx(SHARE)


@pytest.mark.parametrize("services", [100, 1000, 5000])
def test_what_all_do_together_does_not_grow_with_their_number(services: int) -> None:
    fleet = Fleet(services, services)
    assert services / fleet.look <= 2000, "looks in a second"
    assert services / fleet.call <= 4000, "notes that somebody is idle, heard in a second"
    assert services / fleet.pace <= 200, "looks in a second that no message asked for"
    assert services / fleet.pace * fleet.maps <= 40_000, "maps looked at by these"
    assert fleet.compare(0.02) == pytest.approx(services * services * 3e-7 / 0.02), "of its own claims with all"
    assert services / fleet.times == FEW, "rounds, in the time that each takes where there are few"


def test_a_message_is_followed_at_once_where_there_are_few(looks: list[float]) -> None:
    search = Search(state(open={}))
    for _ in range(3):
        search.told()
        search.look(ask=False)
    assert len(looks) == 3


def test_of_messages_to_many_each_follows_some(looks: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    here = state(open={}, fleet=Fleet(1000, 1000))
    search = Search(here)
    for _ in range(90):  # in 0.9 s
        search.told()
        search.look(ask=False)
        now += 0.01
    assert len(looks) == 2
    search.told()
    assert min(search.due()) > now, "and none is forgotten"
    now = min(search.due())
    search.look(ask=False)
    assert len(looks) == 3
    search.want()  # each second
    search.look(ask=False)
    assert len(looks) == 4


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When a service has looked."""
    moments: list[float] = []
    monkeypatch.setattr(guests, "look", lambda _state: moments.append(time.monotonic()))
    monkeypatch.setattr(guests, "join", lambda _state: None)
    return moments


def test_a_map_that_runs_already_gets_longer_chunks() -> None:
    from taskq_workers.service.core.state import State

    run: Any = SimpleNamespace(crowd=1.0)
    service: Any = SimpleNamespace(maps=[run], fleet=Fleet())
    State.note_fleet(service, Fleet(1000, 10_000))
    assert service.fleet.services == 1000
    assert run.crowd == Fleet(1000, 10_000).stretch > 30
