"""What a service has in hand of a map that it can't run goes back, also what was to run alone."""

from __future__ import annotations

from collections import deque
from typing import Any, cast
from unittest.mock import Mock

from taskq.maps import body
from taskq.maps.claim import Claim, ClaimReply
from taskq.maps.deaths import SERVICE, given
from taskq.maps.terms import NONE
from taskq.payload.ranges import Range
from taskq.redis.keys import MapKeys
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.exchange import Exchange
from taskq_workers.service.jobs import refusing
from taskq_workers.settings import MAX_DEATHS

SUSPECT = SERVICE * (MAX_DEATHS - 1)
KEYS = MapKeys("m", "0" * 32)


def claim(at: int, deaths: int = 0) -> Claim:
    return Claim(Range(at, 1), "token", deaths, Range(at, 1), "w", body.write(KEYS, at, [at]))


def run_with(**changes: Any) -> MapRun:
    return MapRun(Mock(), Mock(), Mock(), {}, store=Mock(keys=KEYS), info=Mock(terms=NONE), **changes)


def test_what_was_to_run_alone_goes_back_too() -> None:
    run = run_with(ready=deque([claim(1)]), last=deque([claim(2, SUSPECT)]))
    refusing.refuse(Mock(), run, "a module is missing", [claim(0, given(SERVICE))])
    assert not run.ready
    assert not run.last, "or the service would come to rest for it"
    assert {one.claim.range.start: one.deaths for one in run.wounded} == {0: SERVICE, 1: 0, 2: SUSPECT}


def test_what_comes_late_goes_back_undivided() -> None:
    run = run_with(refused="a module is missing")
    cast("Any", run.store).read_claims.return_value = ClaimReply("open", 0, [claim(0), claim(1, SUSPECT)])
    Exchange(Mock(), ask=False)._claimed(run, None)
    assert not run.ready
    assert not run.last
    assert [(one.deaths, one.parts) for one in run.wounded] == [(0, ()), (SUSPECT, ())]
