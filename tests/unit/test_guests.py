"""A guest that has nothing to run leaves its map, and the map keeps its place in the line meanwhile."""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import Mock

import pytest

from taskq.maps.terms import NONE
from taskq.redis.keys import MapKeys
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.core.state import OpenMap
from taskq_workers.service.exchange import Exchange
from taskq_workers.service.jobs import guests
from taskq_workers.service.jobs.guests import STAYS


def a_run(**fields: Any) -> MapRun:
    store, info = Mock(keys=MapKeys("m", "1")), Mock(terms=NONE)
    run = MapRun(Mock(), Mock(), Mock(), {}, store=store, info=info, guest=True, pending=3)
    run.ended.append(("claim", Mock(again=0), "note"))
    run.looked = time.monotonic() - 2 * STAYS
    for name, value in fields.items():
        setattr(run, name, value)
    return run


@pytest.mark.parametrize(("complete", "pending", "left"), [(False, 3, 3), (False, 0, 0), (True, 3, 0)])
def test_what_is_pending_of_a_map_is_known_when_its_guest_has_left(
    complete: bool, pending: int, left: int
) -> None:
    one = OpenMap("m", "1", "low", 5, 0, 1.0)
    state = Mock(open={("m", "1"): one})
    state.name = "worker"
    guests.leave(state, a_run(complete=complete, pending=pending))
    assert one.pending == left


def test_a_guest_stays_after_a_long_chunk() -> None:
    run = a_run()
    assert guests.is_over(run), "nothing was heard of it for long"
    run.store.read_commit.return_value = Mock(
        committed=True, complete=False, pending=3, done=2, failed=0, followers=""
    )
    Exchange(Mock(), ask=False)._committed(run, run.ended[0], 0.0, None)
    assert not guests.is_over(run)
