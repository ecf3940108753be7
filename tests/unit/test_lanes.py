"""How many pool processes a service has while some of them wait for other work."""

from __future__ import annotations

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
