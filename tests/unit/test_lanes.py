"""How many pool processes a service has while some of them wait for other work."""

from __future__ import annotations

import errno
import math
from types import SimpleNamespace
from typing import Any

import pytest

from taskq_workers.lanes import lanes
from taskq_workers.lanes.lanes import MOST_LENT, Lanes
from taskq_workers.settings import Settings


class Lane:
    """One without a process; what it runs waits for other work, or not."""

    stillborn = False

    def __init__(self, index: int, *_args: Any, **_options: Any) -> None:
        self.index, self.tasks = index, [index]
        self.lent = self.refused = self.closed = False

    @property
    def idle(self) -> bool:
        return not self.tasks

    def refuse(self, refused: bool) -> None:
        self.refused = refused

    def discard(self) -> None:
        assert self.idle


def row(monkeypatch: pytest.MonkeyPatch, processes: int) -> Any:
    monkeypatch.setattr(lanes, "Lane", Lane)
    made = Lanes(Settings("", processes=processes), "", lambda *_: None, lambda *_: None)
    made.fill()
    return made


def waits(made: Any, lane: Any, *, lent: bool = True) -> None:
    lane.lent = lent
    made.fill()


def outer_and_inner(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any]:
    """A row of one; its lane waits for the second time, and the one that took its place at first still runs."""
    made = row(monkeypatch, 1)
    [outer] = made
    waits(made, outer)
    [inner] = set(made) - {outer}
    waits(made, outer, lent=False)
    waits(made, outer)
    return made, outer, inner


def test_what_has_waited_counts_while_it_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made = row(monkeypatch, 1)
    for _ in range(20):
        for lane in list(made):
            waits(made, lane)
            waits(made, lane, lent=False)
    assert len(list(made)) == 2, "who has waited, and who took its place meanwhile"


def test_there_is_one_more_as_soon_as_what_was_beside_the_others_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, outer, inner = outer_and_inner(monkeypatch)
    assert {*made} == {outer, inner}, "its place is taken"
    inner.tasks.clear()
    made.fill()
    [new] = set(made) - {outer}
    assert new is not inner
    assert new in made.open


def test_what_is_about_to_leave_may_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _outer, inner = outer_and_inner(monkeypatch)
    waits(made, inner)
    assert len([lane for lane in made.open if not lane.lent]) == 1


def test_who_comes_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = row(monkeypatch, MOST_LENT + 2)
    first, *others = made
    for lane in others[:MOST_LENT]:
        waits(made, lane)
    waits(made, first)
    assert [lane for lane in made if lane.refused] == [first]
    waits(made, first, lent=False)
    assert not any(lane.refused for lane in made)


class Stuck(Lane):
    """One whose process has not begun with what it should."""

    awaited: int | None = 0
    cpu = 0.5
    killed_for = ""
    where = SimpleNamespace(pid=17)

    def kill(self, reason: str) -> None:
        self.killed_for = reason


def looks(made: Any, times: int) -> None:
    for _ in range(times):
        made.look()


def test_a_process_that_does_not_begin_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "Lane", Stuck)
    monkeypatch.setattr(lanes, "_PATIENCE", (3, 6))
    made: Any = Lanes(Settings("", processes=3), "", lambda *_: None, lambda *_: None)
    made.fill()
    unborn, deaf, works = made
    deaf.awaited, works.awaited = 7, None
    looks(made, 2)
    deaf.awaited = 8
    looks(made, 1)
    assert not unborn.killed_for, "not yet"
    looks(made, 1)
    assert (unborn.killed_for, deaf.killed_for) == ("it did not get ready", "")
    looks(made, 2)
    assert deaf.killed_for == "it did not begin with a task"
    assert not works.killed_for


def test_one_that_the_machine_hardly_gets_to_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "Lane", Stuck)
    monkeypatch.setattr(lanes, "_PATIENCE", (3, 6))
    made: Any = Lanes(Settings("", processes=1), "", lambda *_: None, lambda *_: None)
    made.fill()
    [lane] = made
    for _ in range(3 * lanes._AWAITED):
        looks(made, 1)
        lane.cpu += 0.01
    assert not lane.killed_for
    looks(made, 1)
    assert lane.killed_for, "it goes round in circles"


def test_one_that_did_not_get_ready_is_trouble_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "Lane", Stuck)
    made: Any = Lanes(Settings("", processes=2), "", lambda *_: None, lambda *_: None)
    made.fill()
    for lane in made:
        lane.stillborn, lane.killed_for, lane.tasks = True, "it did not get ready", []
        lane.death = SimpleNamespace(exit_code=-9, cause="SIGKILL")
    made.bury(next(iter(made)))
    assert made.trouble == "a pool process was not ready after 120 s"
    assert made._patience == 240


def test_who_is_let_start_no_process_says_so_until_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_options: Any) -> Lane:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(lanes, "_NO_START", 0.0)
    monkeypatch.setattr(lanes, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(lanes, "Lane", refuse)
    made: Any = Lanes(Settings("", processes=2), "", lambda *_: None, lambda *_: None)
    for _ in range(2):
        made.fill()
        assert made.trouble == ""
    made.fill()
    assert made.trouble == "no pool process can be started: [Errno 24] Too many open files"
    monkeypatch.setattr(lanes, "Lane", Lane)
    monkeypatch.setattr(Lane, "started", math.inf, raising=False)
    monkeypatch.setattr(Lane, "say_when_ready", lambda _lane: None, raising=False)
    made.fill()
    made.fill()
    assert (made.trouble, made._failed, len(made._row)) == ("", 0, 2)
