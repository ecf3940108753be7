"""The ends of maps take a turn no longer than its share, and none waits for ever."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from taskq.maps.terms import NONE
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.jobs import ends, map_ending
from taskq_workers.service.jobs.ends import SLICE, Ends


class Service:
    """Its maps, all complete, and each takes a while to end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, maps: int, seconds: float) -> None:
        self.maps = [MapRun(Mock(), Mock(), Mock(), {}, store=Mock(), info=Mock(terms=NONE)) for _ in range(maps)]
        self.active = self.maps
        for run in self.maps:
            run.complete = True
        self.now, self.seconds, self.seen = 0.0, seconds, list[MapRun]()
        self.stay = False  # it needs more than one turn to end each
        monkeypatch.setattr(ends, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(map_ending, "end_safely", lambda _state, run: self.end(run))
        self.ends = Ends(cast("Any", self))

    def end(self, run: MapRun) -> None:
        self.now += self.seconds
        self.seen.append(run)
        if not self.stay:
            self.maps.remove(run)


def test_many_ends_are_spread_over_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    service, turns = Service(monkeypatch, 100, 0.002), 0
    while service.maps:
        before = service.now
        more = service.ends.look()
        turns += 1
        assert service.now - before <= SLICE + 0.003
        assert more == bool(service.maps)
    assert turns >= 100 * 0.002 / (SLICE + 0.003)
    assert not service.ends.look()


def test_one_that_takes_the_whole_turn_keeps_no_other_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(monkeypatch, 5, 2 * SLICE)
    service.stay = True
    for _ in service.maps:
        service.ends.look()
    assert {*service.seen} == {*service.maps}


def test_what_is_gone_meanwhile_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(monkeypatch, 3, 2 * SLICE)
    gone = service.maps[1]
    assert service.ends.look()
    service.maps.remove(gone)
    service.ends.look()
    assert gone not in service.seen
