"""What nobody waits for is done part by part, between what somebody does."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from redis.exceptions import ConnectionError as AwayError

from taskq_workers.service import housekeeping
from taskq_workers.service.housekeeping import Housekeeping

PARTS = ["tell", "stranded", "sweep", "deferred", "left behind"]


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def keeping(done: list[str], monkeypatch: pytest.MonkeyPatch) -> Housekeeping:
    for module, name in (("guests", "register"), ("short_path", "give_back_late")):
        monkeypatch.setattr(getattr(housekeeping, module), name, Mock())
    for name in ("Maintenance", "Suspension", "Rounds", "Deferred", "Sweep"):
        monkeypatch.setattr(housekeeping, name, Mock())
    monkeypatch.setattr(housekeeping.left_behind, "look", lambda _state: done.append("left behind"))
    state: Any = Mock(taken=[], told=(), fleet=Mock(pace=1.0, compare=lambda share: share))
    keeping = Housekeeping(state, Mock(), Mock(was_away=False), Mock(tell=lambda: done.append("tell")))
    keeping._stranded = Mock(look=lambda *_: done.append("stranded"))
    keeping._sweep = Mock(look=lambda *_: done.append("sweep"))
    keeping._deferred = Mock(look=lambda *_: done.append("deferred"))
    return keeping


def test_a_turn_does_one_part(keeping: Housekeeping, done: list[str]) -> None:
    keeping.look()
    for count in range(len(PARTS)):
        assert done == PARTS[:count]
        assert keeping.behind
        keeping.go_on()
    assert not keeping.behind
    keeping.go_on()
    assert done == PARTS


def test_no_look_begins_before_the_last_is_done(keeping: Housekeeping, done: list[str]) -> None:
    for _ in range(2):
        keeping._looked = -100.0
        keeping.look()
    for _ in range(3 * len(PARTS)):
        keeping.go_on()
    assert done == PARTS


def test_where_the_server_is_away_the_next_part_is_tried_after_it(keeping: Housekeeping, done: list[str]) -> None:
    keeping._stranded = Mock(look=Mock(side_effect=AwayError))
    keeping.look()
    keeping.go_on()
    with pytest.raises(AwayError):
        keeping.go_on()
    keeping.go_on()
    assert done == ["tell", "sweep"]
