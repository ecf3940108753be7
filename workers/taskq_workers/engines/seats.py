"""The row of seats of one service: as many as its engine has slots, in place of a row of lanes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from typing import Any

from taskq_workers.engines.engine import Answer, Engine, Slot
from taskq_workers.engines.seat import Corpse, Seat
from taskq_workers.lanes.lane import Lane, OnDeath, OnDone
from taskq_workers.lanes.lanes import Lanes
from taskq_workers.link.tasks import NOT_RUN
from taskq_workers.settings import Settings


class Seats(Lanes):
    """Seats as a service has lanes; the engine tells it what comes of their tasks, in a thread of its own.

    Args:
        settings: The worker's.
        engine: Not open yet.
        on_done: Called (in a thread of the engine's) with a seat, and of each of its tasks that has ended the
            number and the outcome.
        on_death: Called (in a thread of the engine's) with what there is to say of tasks that were lost.
        on_change: Called (in a thread of the engine's) when there are other slots.
    """

    def __init__(
        self, settings: Settings, engine: Engine, on_done: OnDone, on_death: OnDeath,
        on_change: Callable[[], object],
    ) -> None:  # fmt: skip
        super().__init__(settings, "", on_done, on_death)
        self._engine = engine
        self._on_change = on_change
        self._by_slot: dict[Slot, Seat] = {}
        self.stretch, self.distance = engine.stretch, engine.distance
        engine.open(self)

    @property
    def size(self) -> int:
        return len(self.open)

    @property
    def pids(self) -> tuple[int, ...]:
        """None of this host's."""
        return ()

    @property
    def changing(self) -> bool:
        return False

    @property
    def due(self) -> float | None:
        return None  # the engine tells

    def fill(self) -> None:
        """Have a seat for each slot that there is; one without a slot goes when its tasks are settled."""
        slots = self._engine.slots
        there = {*slots}
        for slot, seat in list(self._by_slot.items()):
            seat.closed = seat.closed or slot not in there
            if seat.closed and seat.idle:
                del self._by_slot[slot], self._row[seat.index]
        for slot in slots:
            if slot not in self._by_slot:
                index = next(number for number in itertools.count() if number not in self._row)
                self._row[index] = self._by_slot[slot] = Seat(index, slot, self._engine, self._on_done)

    def _note_wear(self, lane: Lane, *, submitted: bool) -> None:
        """The node replaces what has done enough."""

    def bury(self, lane: Lane) -> None:
        """Take tasks off the seat that had them; it goes on with the others."""
        assert isinstance(lane, Corpse)
        lane.take()
        lane.discard()
        if not lane.stillborn:
            self.deaths[lane.index] = self.deaths.get(lane.index, 0) + 1

    def look(self) -> None:
        """What the kernel kills, it kills on the nodes."""

    @property
    def trouble(self) -> str:
        return "" if self.open else self._engine.trouble

    def close(self) -> None:
        self._engine.close()
        self._row.clear()
        self._by_slot.clear()

    # -- in a thread of the engine's -----------------------------------------------------------------------

    def answered(self, slot: Slot, number: int, answer: Answer) -> None:
        """A task has ended."""
        if (seat := self._by_slot.get(slot)) is None:
            return
        if answer.death is not None:
            self._on_death(Corpse(seat, [number], answer.death, answer.place))
            return
        seat.places[number] = answer.place
        self._tell(seat, number, answer.outcome)

    def lost(self, slot: Slot, numbers: Collection[int] | None, why: str) -> None:
        """Nobody will hear of these tasks (None: of all) again."""
        if (seat := self._by_slot.get(slot)) is not None:
            self._on_death(Corpse(seat, numbers, None, seat.where, why))

    def recalled(self, slot: Slot, number: int) -> None:
        """A task has not begun, and will not."""
        if (seat := self._by_slot.get(slot)) is not None:
            self._tell(seat, number, NOT_RUN)

    def changed(self) -> None:
        """There are other slots, or there is other trouble."""
        self._on_change()

    def _tell(self, seat: Seat, number: int, outcome: Any) -> None:
        self._on_done(seat, [(number, outcome)])
