"""Open maps about which there is nothing to do cost a service nothing, and do not hold up its plain jobs."""

from __future__ import annotations

import threading
import time
from collections import deque
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from taskq.maps import caps
from taskq.maps.terms import NONE
from taskq.redis.keys import MapKeys
from taskq_workers.service.core.execution import LOOK_AGAIN, MapRun
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs.fetching import Fetching


def a_run(name: str = "a", **known: Any) -> MapRun:
    info, store = Mock(terms=NONE, caps=caps.NONE), Mock(keys=MapKeys(name, "1"))
    known = {"pending": 0, "looked": time.monotonic(), **known}
    return MapRun(Mock(), Mock(), Mock(), {}, store=store, info=info, **known)


class Service(SimpleNamespace):
    """As much of a service's state as knows its maps."""

    add, drop, look_over, let_rest, jobs = State.add, State.drop, State.look_over, State.let_rest, State.jobs
    _drop_map, others = State._drop_map, State.others


def a_state(*runs: MapRun) -> Any:
    state: Any = Service(
        maps=deque(), active=[], runs={}, taken={}, speech=Mock(), lanes=Mock(idle=[1], stretch=1.0), fleet=Mock(),
        stopping=False, suspended=False, waiting=0, allowance=10, kept={}, open={}, policy=Mock(),
    )  # fmt: skip
    for run in runs:
        state.add(run)
    return state


@pytest.mark.parametrize(
    "told",
    [
        {"pending": 1}, {"guest": True}, {"look": True}, {"complete": True}, {"closed": "gone"},
        {"refused": "why"}, {"too_many": "why"}, {"resumes": 7.0}, {"callback": Mock()}, {"proof": Mock()},
        {"follower": Mock()}, {"deadline": 7.0}, {"ready": deque([Mock()])}, {"last": deque([Mock()])},
        {"flying": {1: Mock()}}, {"ended": [Mock()]}, {"wounded": [Mock()]},
        {"looked": time.monotonic() - 2 * LOOK_AGAIN},
    ],
    ids=lambda told: next(iter(told)),
)  # fmt: skip
def test_one_that_does_not_rest(told: dict[str, Any]) -> None:
    run = a_run(**told)
    state = a_state(run)
    state.let_rest()
    assert state.active == [run]


def test_one_that_rests_is_looked_at_again_when_it_has_something() -> None:
    one, other = a_run("a"), a_run("b", pending=1)
    state = a_state(one, other)
    state.let_rest()
    assert (state.active, [*state.maps]) == ([other], [one, other])
    one.look = True
    state.let_rest()
    assert state.active == [other], "nobody has said so"
    state.look_over()
    assert state.active == [one, other], "in the order in which they came"
    state.drop(one)
    assert (state.active, [*state.maps], [*state.runs]) == ([other], [other], [("b", "1")])


def test_beside_one_that_rests_jobs_are_waited_for_at_once() -> None:
    state, gate = a_state(a_run()), threading.Event()
    fetching = Fetching(state, gate, [])
    fetching._quiet = True  # a job has come just now, and has ended
    fetching.wait()
    assert not gate.is_set(), "the map may be about to get something"
    state.let_rest()
    fetching.wait()
    assert gate.is_set()
    fetching._quiet = True
    state.taken[cast("Any", object())] = None
    gate.clear()
    fetching.wait()
    assert not gate.is_set(), "a job runs, and its end is not to be held up"
