"""A lane whose process is on a node: what it is told goes through an engine, and what it knows it was told."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from taskq.payload.outcome import ChunkOutcome
from taskq_workers import clock
from taskq_workers.engines.engine import Engine, Kill, Parcel, Recall, Slot, Stop
from taskq_workers.lanes.death import Death
from taskq_workers.lanes.lane import Lane, OnDone, Place
from taskq_workers.link.tasks import BatchTask, Task

_RECALL = 0.1  # seconds after which what waits behind a running task may be asked back


class Seat(Lane):
    """One slot of an engine, and the tasks it has been given.

    Tasks end in about the order in which they were given, so the first of them counts as the one that runs. Time
    limits of items are kept on the node, where it is known which item runs.

    Args:
        index: Its number in the service.
        slot: The engine's.
        engine: Runs it.
        on_done: As for a lane.
    """

    remote = True
    takes_batches = False  # they wait for each other there as here, and a message costs more than a batch saves

    def __init__(self, index: int, slot: Slot, engine: Engine, on_done: OnDone) -> None:
        self._begin(index, on_done)
        self.slot = slot
        self.places: dict[int, Place] = {}  # task -> who ran it, once that is known
        self._engine = engine
        self._place = Place(slot.host, 0)
        self._since = 0.0  # when the first task became the first, on the monotonic clock

    @property
    def stillborn(self) -> bool:
        return False

    @property
    def orphaned(self) -> bool:
        return False

    @property
    def lent(self) -> bool:
        return False

    def refuse(self, refused: bool, *, here: bool = False) -> None:
        """What waits for other work is refused on the node."""

    @property
    def where(self) -> Place:
        """The host, and the process that has ended a task last."""
        return self._place

    @property
    def pid(self) -> int:  # type: ignore[override]
        return self._place.pid

    @property
    def resident(self) -> float:
        return 0.0

    def knows(self, key: str) -> bool:  # noqa: ARG002 - a lane's
        """Never: the node may have been told, and keeps what it was told."""
        return False

    def forget(self, key: str, *, at_once: bool = False) -> None:  # noqa: ARG002 - a lane's
        """Have its node forget a map that is over, with the next task."""
        self._over.append(key)

    def submit(self, number: int, task: Task, note: Any) -> None:
        if not self.tasks:
            self._since = time.monotonic()
        over, self._over = tuple(self._over), []
        self.tasks[number] = note
        self._recall_at = time.monotonic() + _RECALL
        self.given += 1
        self._engine.submit(self.slot, Parcel(number, task, over))

    def submit_batch(self, batch: BatchTask, notes: Sequence[Any]) -> None:
        raise NotImplementedError("jobs travel to a seat one by one")

    @property
    def has_batch(self) -> bool:
        return False

    def recall(self) -> list[tuple[int, Any]]:
        """Ask the node not to begin the last task; its answer comes as an event."""
        self._recall_at = math.inf
        self._engine.tell(self.slot, Recall(next(reversed(self.tasks))))
        return []

    def done(self, number: int) -> Any:
        first = number == self.task
        note = self.tasks.pop(number, None)
        self._place = self.places.pop(number, self._place)
        if first:
            self._since = time.monotonic()
        return note

    @property
    def task(self) -> int:
        return next(iter(self.tasks), 0)

    @property
    def running(self) -> Any:
        return self.tasks.get(self.task)

    @property
    def since(self) -> float:
        return self._since

    @property
    def item(self) -> tuple[int, float] | None:
        """Nobody knows here."""
        return None

    def stop(self, number: int) -> None:
        self._engine.tell(self.slot, Stop(number))

    def stop_all(self) -> None:
        for number in self.tasks:
            self.stop(number)

    def kill(self, reason: str) -> None:
        if self.tasks:
            self._engine.tell(self.slot, Kill(self.task, reason))

    def read(self, outcome: ChunkOutcome) -> ChunkOutcome:
        """The outcome of a chunk, in Unix time; it says how long ago it began."""
        return replace(outcome, started=clock.SERVER.now() - outcome.started)

    def discard(self) -> None:
        self.discarded = True


class Corpse(Seat):
    """What became of some of a seat's tasks: their process died on the node, or nobody will hear of them again.

    Args:
        seat: The seat, which goes on with its other tasks, if it still is there.
        numbers: Which tasks; None: all.
        death: The process's; None: nobody knows whether there was one, and so nobody is to blame.
        place: Who ran it.
        why: They will not be heard of; not empty without a death.
    """

    def __init__(
        self, seat: Seat, numbers: Collection[int] | None, death: Death | None, place: Place, why: str = ""
    ) -> None:
        super().__init__(seat.index, seat.slot, seat._engine, seat._on_done)  # noqa: SLF001 - one of its own kind
        self._seat, self._numbers = seat, numbers
        self._death = death or Death(0, None, clock.SERVER.now(), 0.0, None, why)
        self.lost = "" if death else why
        self._place = place

    def take(self) -> None:
        """Take the tasks off the seat."""
        numbers: Iterable[int] = list(self._seat.tasks) if self._numbers is None else self._numbers
        for number in numbers:
            if (note := self._seat.done(number)) is not None:
                self.tasks[number] = note

    @property
    def stillborn(self) -> bool:
        """Whether nothing is known of what ran, so that nobody is to blame."""
        return bool(self.lost)

    @property
    def death(self) -> Death:
        return replace(self._death, began=clock.SERVER.now() - self._death.seconds)
