"""When a service has patience with the others."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from taskq.redis import services
from taskq.redis.clock import Clock
from taskq.redis.services import Renewal
from taskq_workers import clock
from taskq_workers.service.core.fleet import Fleet
from taskq_workers.service.upkeep import membership
from taskq_workers.service.upkeep.membership import Membership

LEASE = 30.0


class World:
    """The clocks, and a server that lists one dead worker."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.monotonic = 1e9, 1000.0
        self.recovered: list[float] = []
        monkeypatch.setattr(time, "monotonic", lambda: self.monotonic)
        monkeypatch.setattr(clock, "SERVER", Clock())
        monkeypatch.setattr(services, "renew", lambda *_: Renewal(alive=True, now=self.server))
        monkeypatch.setattr(services, "lost", lambda *_: ["dead"])
        monkeypatch.setattr(services, "count", lambda *_: (2, 2))
        monkeypatch.setattr(services, "depose", lambda *_: True)
        monkeypatch.setattr(membership.recovery, "concerns", lambda *_: True)
        monkeypatch.setattr(membership.recovery, "recover", lambda *_: self.recovered.append(self.monotonic))
        monkeypatch.setattr(membership.mirror, "register", lambda *_: None)
        monkeypatch.setattr(membership.mirror, "beats", lambda *_: iter(()))
        monkeypatch.setattr(membership, "mend", lambda _connection: False)
        monkeypatch.setattr(membership.own_keys, "mend", lambda *_: False)
        options = SimpleNamespace(job_monitoring_interval=30)
        state: Any = SimpleNamespace(
            settings=SimpleNamespace(lease=LEASE, rq=options, queues=("default",), build=""),
            scripts=None, connection=None, lanes=SimpleNamespace(pids=(), size=1, trouble=""), unsure=False,
            trouble="", note_fleet=lambda _fleet: None,
            worker=SimpleNamespace(name="me", pid=1, dequeue_timeout=405), taken={},
        )  # fmt: skip
        self.membership = Membership(state)
        self.membership.join()

    def pass_by(self, seconds: float, *, unseen: float = 0.0) -> None:
        """Renew as often as a service does; ``unseen``: by how much more the server's clock moves."""
        self.server += unseen
        for _ in range(int(seconds)):
            self.server += 1
            self.monotonic += 1
            self.membership.keep()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_who_begins_gives_everybody_the_time_of_a_lease(world: World) -> None:
    world.pass_by(LEASE - 2)
    assert not world.recovered
    assert not world.membership.was_away, "for all it knows; RQ's registries may be cleaned"
    world.pass_by(LEASE)
    assert world.recovered


@pytest.mark.parametrize("away", [22.0, 100.0, 600.0])
@pytest.mark.parametrize("asleep", [True, False], ids=["asleep", "awake"])
def test_and_so_does_who_was_away(world: World, away: float, asleep: bool) -> None:
    """Whether its own clock went on meanwhile or not, as while a laptop sleeps."""
    world.pass_by(100)
    world.recovered.clear()
    if not asleep:
        world.monotonic += away
    world.pass_by(LEASE - 5, unseen=away)
    assert not world.recovered
    assert world.membership.was_away
    world.pass_by(LEASE)
    assert world.recovered
    assert not world.membership.was_away


def test_who_was_not_away_takes_over_at_once(world: World) -> None:
    world.pass_by(100)
    world.recovered.clear()
    world.pass_by(LEASE / 3 + 1)
    assert world.recovered


def test_many_dead_are_taken_over_from_a_few_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """First those that are registered; what else stands among the leases may be thousands of names."""
    left = [*(f"odd-{n}" for n in range(20)), "b", "a"]
    turns: list[list[str]] = []

    def recover(_connection: Any, name: str) -> None:
        left.remove(name)
        turns[-1].append(name)
        world.monotonic += 0.2

    monkeypatch.setattr(services, "known_of", lambda _connection, names: {"a", "b"} & {*names})
    monkeypatch.setattr(services, "lost", lambda *_: turns.append([]) or [*left])  # type: ignore[func-returns-value]
    monkeypatch.setattr(membership.recovery, "recover", recover)
    world.pass_by(200)
    assert not left
    taken = [one for one in turns if one]
    assert {*taken[0][:2]} == {"a", "b"}
    assert max(map(len, taken)) == 3
    assert len(taken) == 8


def test_a_server_that_was_away_since_the_lease_was_renewed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that hang together, who is heard first must not take the other, or itself, for dead."""
    world.pass_by(100)
    world.recovered.clear()
    monkeypatch.setattr(services, "lost", lambda *_: None)
    world.pass_by(LEASE / 3 + 1)
    assert world.membership.was_away
    monkeypatch.setattr(services, "lost", lambda *_: ["dead"])
    world.pass_by(LEASE - 5)
    assert not world.recovered
    world.pass_by(LEASE)
    assert world.recovered
    assert not world.membership.was_away


def test_a_count_of_nobody_is_a_count_of_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All were struck off, this one too, and it has just come back."""
    heard: list[Fleet] = []
    monkeypatch.setattr(services, "count", lambda *_: (0, 0))
    monkeypatch.setattr(world.membership._state, "note_fleet", heard.append)
    world.pass_by(LEASE)
    assert {(fleet.services, fleet.maps > 0) for fleet in heard} == {(1, True)}
