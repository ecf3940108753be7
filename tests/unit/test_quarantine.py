"""When the processes of a service are to come to rest, so that something can run alone."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from taskq_workers.service.core import solitude
from taskq_workers.service.core.drain import AWAY, BETWEEN, FIRST, TRIES, Drain
from taskq_workers.service.core.solitude import Solitude
from taskq_workers.service.jobs import quarantine


def service(**changes: Any) -> Any:
    fields = {
        "alone": 0,
        "alone_until": 0.0,
        "lanes": [],
        "held": [object()],
        "maps": [],
        "unrecorded": {},
        "drain": None,
    }
    state = SimpleNamespace(**{**fields, "solitude": Solitude(), **changes})
    state.active = state.maps
    return state


def test_each_try_that_is_in_vain_is_followed_by_a_longer_one_after_a_while() -> None:
    drain = Drain()
    drain.look(100.0)
    assert drain.until == 100.0 + FIRST
    assert not drain.look(drain.until - 0.1)
    assert drain.look(drain.until), "this one was in vain"
    assert (drain.until, drain.again) == (0.0, 100.0 + FIRST + BETWEEN * FIRST)
    drain.look(drain.again - 0.1)
    assert not drain.until, "the others go on"
    drain.look(drain.again)
    assert drain.until == drain.again + 2 * FIRST


def test_who_asks_changes_nothing() -> None:
    here = service()
    assert quarantine.is_secluded(here), "it has just come, and the next look lets the processes come to rest"
    assert here.drain is None
    quarantine.look(here)
    assert here.drain.until
    assert quarantine.is_secluded(here)
    here.drain = Drain(again=float("inf"))
    assert not quarantine.is_secluded(here)
    here.held.clear()
    quarantine.look(here)
    assert here.drain is None
    assert not quarantine.is_secluded(here)


def test_after_a_try_in_vain_nothing_is_taken_for_a_while_though_nothing_waits() -> None:
    here = service(drain=Drain(until=time.monotonic()))
    assert quarantine.look(here), "what waits is to go back"
    here.held.clear()
    assert not quarantine.look(here)
    assert quarantine.is_secluded(here), "it would have it again at once"
    assert min(quarantine.due(here)) == here.drain.away
    here.drain.away -= AWAY
    assert not quarantine.is_secluded(here)
    here.held.append(object())
    assert not quarantine.look(here)
    assert not quarantine.is_secluded(here), "it has come back, and the next try is not begun before its time"


def test_of_the_services_of_one_host_one_has_its_suspect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(solitude, "folder", lambda: tmp_path)
    one, other = service(), service()
    assert one.solitude.take()
    assert one.solitude.take()
    assert not other.solitude.take()
    other.drain = Drain(until=time.monotonic() + 60)
    assert min(quarantine.due(other)) < time.monotonic() + 1, "it asks again before long"
    one.unrecorded["job"] = None
    quarantine.look(one)
    assert not other.solitude.take(), "Redis does not know yet that it has ended"
    one.unrecorded.clear()
    quarantine.look(one)
    assert other.solitude.take()
    assert not other.solitude.waits
    monkeypatch.setattr(solitude, "folder", lambda: tmp_path / "missing")
    assert one.solitude.take(), "where there is no lock, nobody is asked"


def test_what_runs_alone_does_so_for_twice_as_long_as_it_had_run_when_it_last_died(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = 1000.0
    monkeypatch.setattr(solitude, "folder", lambda: tmp_path)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lane = SimpleNamespace(tasks={7: object()}, lent=False, idle=False)
    here = service(lanes=[lane], held=[])
    assert here.solitude.take()
    quarantine.begins(here, 7, 20.0)
    assert quarantine.is_secluded(here)
    assert quarantine.is_alone(here)
    assert list(quarantine.due(here)) == [1040.0]
    now = 1039.0
    quarantine.look(here)
    assert quarantine.is_secluded(here)
    assert here.solitude.held
    now = 1040.0
    assert not quarantine.is_secluded(here), "nobody waits for it any more"
    assert not quarantine.is_alone(here)
    quarantine.look(here)
    assert not here.solitude.held, "nor on other services of the host"
    for seconds, alone in ((1.0, quarantine.LEAST), (0.0, quarantine.MOST), (1e5, quarantine.MOST)):
        quarantine.begins(here, 7, seconds)
        assert here.alone_until == 1040.0 + alone


def test_what_waits_for_its_place_or_has_others_beside_it_is_not_alone() -> None:
    own, other = (SimpleNamespace(tasks={n: object()}, lent=False, idle=False) for n in (7, 8))
    here = service(lanes=[own, other], held=[])
    quarantine.begins(here, 7, 1.0)
    assert not quarantine.runs(here), "others run: nothing waits for it"
    other.idle = True
    quarantine.begins(here, 7, 1.0)
    assert quarantine.is_alone(here)
    other.idle = False
    assert not quarantine.is_alone(here), "what has begun while it waited for other work still runs"
    other.lent = True
    assert quarantine.is_alone(here)
    own.lent = True
    assert not quarantine.is_alone(here)


def test_what_waited_in_vain_for_the_others_runs_beside_them() -> None:
    job = object()
    busy, idle = (SimpleNamespace(tasks={}, lent=False, idle=idle) for idle in (False, True))
    here = service(lanes=[busy, idle], held=[job])
    for n in range(TRIES):
        assert quarantine.next_of(here) is None
        here.drain = here.drain or Drain()
        here.drain.until, here.drain.again = time.monotonic(), 0.0
        assert quarantine.look(here), f"try {n} was in vain"
    assert quarantine.next_of(here) is job
    assert not here.drain.look(math.inf), "there are no more tries"
    here.drain.away = 0.0
    assert not quarantine.is_secluded(here)


def test_nobody_waits_for_ever_for_a_service_that_is_frozen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = 1000.0
    monkeypatch.setattr(solitude, "folder", lambda: tmp_path)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    frozen, other = Solitude(), Solitude()
    assert frozen.take()
    while now < 1000 + solitude.PATIENCE:
        assert not other.take()
        assert other.waits
        now += 1
    assert other.take()
    assert not other.waits
    now += 2 * solitude.PATIENCE
    assert not other.take(), "another time it waits again"
    frozen.let_go()
    assert other.take()
    assert other.held
