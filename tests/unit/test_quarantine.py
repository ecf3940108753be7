"""When the processes of a service are to come to rest, so that something can run alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from taskq_workers.service.core.drain import BETWEEN, FIRST, Drain
from taskq_workers.service.jobs import quarantine


def service(**changes: Any) -> Any:
    return SimpleNamespace(**{"alone": 0, "lanes": [], "held": [object()], "maps": [], "drain": None, **changes})


def test_each_try_that_is_in_vain_is_followed_by_a_longer_one_after_a_while() -> None:
    drain = Drain()
    drain.look(100.0)
    assert drain.until == 100.0 + FIRST
    drain.look(drain.until)
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
