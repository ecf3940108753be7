"""What becomes of a chunk that something died of: an item pays for the deaths that are surely its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from taskq.maps import body
from taskq.maps.claim import Claim
from taskq.maps.deaths import SERVICE
from taskq.maps.terms import NONE
from taskq.payload.outcome import ChunkOutcome
from taskq.payload.ranges import Range
from taskq.redis.keys import MapKeys
from taskq_workers.lanes.death import Death
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.exchange import Exchange
from taskq_workers.service.jobs import casualties

KEYS = MapKeys("m", "0" * 32)


def parts_after(deaths: int, item: int | None) -> tuple[tuple[Range, int], ...]:
    """Into which a chunk of four items is divided whose process dies at one of them, with the deaths noted."""
    span = Range(0, 4)
    claim = Claim(span, "token", deaths, span, "w", body.write(KEYS, 0, range(4)))
    death = Death(task=1, item=item, began=0.0, seconds=1.0, exit_code=-9, killed_for="")
    run = SimpleNamespace(wounded=[], ended=[])
    lane = SimpleNamespace(where=SimpleNamespace(host="here"))
    casualties._settle_guilty(cast("Any", Mock()), cast("Any", lane), death, cast("Any", run), claim)
    [wounded] = run.wounded
    assert run.ended == []
    return wounded.parts or ()


def test_the_first_time_it_is_tried_again_as_it_is() -> None:
    assert parts_after(0, 2) == ()


@pytest.mark.parametrize("deaths", [1, SERVICE + 1, 2])
def test_the_item_at_which_it_died_is_set_apart_with_that_death_alone(deaths: int) -> None:
    """At those before its neighbours may have run: it has to be there at two more before it is given up."""
    assert parts_after(deaths, 2) == ((Range(0, 2), 0), (Range(2, 1), 1), (Range(3, 1), 0))


def test_where_nobody_knows_at_which_item_it_is_halved_from_the_third_time_on() -> None:
    assert parts_after(1, None) == ()
    assert parts_after(2, None) == ((Range(0, 2), 2), (Range(2, 2), 2))


@pytest.mark.parametrize(("began", "failed"), [(97.0, True), (99.999, False)])
def test_the_item_after_the_one_that_was_over_its_time_is_not_to_blame(began: float, failed: bool) -> None:
    """The one that was meant has ended between the look and the kill."""
    span = Range(0, 4)
    claim = Claim(span, "token", 0, span, "w", body.write(KEYS, 0, range(4)))
    death = Death(task=1, item=2, began=0.0, seconds=1.0, exit_code=-9, killed_for="item timeout")
    run = MapRun(Mock(), Mock(), Mock(), {}, store=Mock(), info=Mock(item_timeout=2.0, terms=NONE))
    lane = SimpleNamespace(where=SimpleNamespace(host="here"), item=(2, began), killed_at=100.0)
    casualties._settle_guilty(cast("Any", Mock()), cast("Any", lane), death, run, claim)
    assert [[one.index for one in outcome.failures] for _claim, outcome, _note in run.ended] == [[2]] * failed
    assert list(run.ready) == [claim] * (not failed)


def test_a_half_of_what_cant_be_stored_takes_one_death_along_if_it_is_one_item() -> None:
    span = Range(0, 3)
    claim = Claim(span, "token", 2, span, "w", body.write(KEYS, 0, range(3)))
    ended: Any = (claim, ChunkOutcome([], [], [], 1.0, 1.0), Mock())
    run: Any = SimpleNamespace(ended=[ended], wounded=[])
    Exchange(cast("Any", Mock()), ask=False)._not_taken(run, ended, ValueError())
    assert run.wounded[0].parts == ((Range(0, 1), 1), (Range(1, 2), 2))


@pytest.mark.parametrize(("reading", "blamed"), [(True, [1]), (False, [])])
def test_what_had_not_come_to_be_read_is_not_to_blame(reading: bool, blamed: list[int]) -> None:
    """Its process was dead, or as good as dead, when it was sent there."""
    span = Range(0, 1)
    claim = Claim(span, "token", 2, span, "w", body.write(KEYS, 0, range(1)))
    run = MapRun(Mock(), Mock(), Mock(), {}, store=Mock(), info=Mock(terms=NONE))
    run.flying[7] = claim
    death = Death(task=5, item=None, began=0.0, seconds=1.0, exit_code=-9, killed_for="", reading=reading)
    where = SimpleNamespace(host="here", pid=1)
    lane: Any = SimpleNamespace(where=where, tasks={7: run}, death=death, stillborn=False, lost="")
    casualties.settle(Mock(taken=[run]), lane)
    assert [claim.range.count for claim, *_ in run.ended] == blamed
    assert list(run.ready) == ([] if blamed else [claim])
