"""The server's clock, as a process tells it by itself."""

from __future__ import annotations

import importlib
import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest
import rq.executions
import rq.job
import rq.registry
import rq.utils
from hypothesis import given
from hypothesis import strategies as st

from taskq.redis.clock import Clock
from taskq_workers import clock as ours

HOUR = 3600.0


class Host:
    """Its two clocks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monotonic, self.wall = 1000.0, 5e8
        monkeypatch.setattr(time, "monotonic", lambda: self.monotonic)
        monkeypatch.setattr(time, "time", lambda: self.wall)

    def rest(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def test_before_anything_is_known_it_is_the_host_s(host: Host) -> None:
    assert Clock().now() == pytest.approx(5e8)


def test_it_goes_on_by_itself_whatever_becomes_of_the_host_s(host: Host) -> None:
    clock = Clock()
    clock.heard(1e9, host.monotonic)
    for step in (HOUR, -HOUR):
        host.rest(2.0)
        host.wall += step
    assert clock.now() == pytest.approx(1e9 + 4)
    assert clock.at(host.monotonic - 3) == pytest.approx(1e9 + 1)


def test_what_is_known_is_corrected_as_far_as_it_can_not_be_true(host: Host) -> None:
    clock = Clock()
    clock.heard(1e9, host.monotonic)
    asked = host.monotonic
    host.rest(10.0)
    clock.heard(1e9 + 4, asked)  # it may have looked at any moment of ten seconds
    assert clock.now() == pytest.approx(1e9 + 10)
    clock.heard(1e9 + 3600, host.monotonic)  # another server, which has taken over
    assert clock.now() == pytest.approx(1e9 + 3600)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1), st.floats(0, 5))))
def test_it_is_never_further_off_than_the_fastest_reply_took(asked: list[tuple[float, float, float]]) -> None:
    """However long replies take, and whenever in that time the server looks at its clock."""
    with pytest.MonkeyPatch.context() as patch:
        host, clock = Host(patch), Clock()
        fastest = float("inf")
        for takes, part, rest in [(1.0, 0.5, 0.0), *asked]:
            began = host.monotonic
            host.rest(takes)
            clock.heard(1e9 + began + takes * part, began)
            fastest = min(fastest, takes)
            host.rest(rest)
            assert abs(clock.now() - (1e9 + host.monotonic)) <= fastest + 1e-5


def test_rq_goes_by_it_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    clock.heard(time.time() + HOUR, time.monotonic())
    monkeypatch.setattr(ours, "SERVER", clock)
    before = rq.utils.now

    def off() -> list[float]:
        moments = (rq.utils.now(), rq.executions.now(), rq.job.now(), rq.registry.now())
        return [round((moment.timestamp() - time.time()) / HOUR) for moment in moments]

    with ours.followed():
        assert off() == [1.0] * 4
        assert round((rq.registry.current_timestamp() - time.time()) / HOUR) == 1
        with ours.followed():
            assert off() == [1.0] * 4
        assert off() == [1.0] * 4
        late: Any = importlib.reload(importlib.import_module("rq.cron"))
        assert late.now is rq.utils.now
    assert off() == [0.0] * 4
    assert late.now is rq.utils.now is before


@pytest.mark.parametrize(
    ("off", "takes", "words"),
    [(0.5, 0.0, ""), (1.5, 0.0, "1.5 s ahead of"), (-HOUR, 0.0, "3600.0 s behind"), (2.0, 4.0, "")],
)
def test_a_host_whose_clock_is_wrong_is_told_so(
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    off: float,
    takes: float,
    words: str,
) -> None:
    def reply() -> tuple[int, int]:
        host.rest(takes)
        moment = host.wall - off - takes / 2
        return int(moment), round(moment % 1 * 1e6)

    monkeypatch.setattr(ours, "SERVER", Clock())
    with caplog.at_level(logging.WARNING):
        assert ours.warn(SimpleNamespace(time=reply)) == pytest.approx(off, abs=0.01)
    assert (words in caplog.text) if words else not caplog.records
