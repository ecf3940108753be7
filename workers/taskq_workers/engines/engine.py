"""What an engine is: it has slots, takes tasks for them, passes a word on, and can be closed.

The service's side of it is ``Told``; the calls come in a thread of the engine's own, and return at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from taskq_workers.lanes.death import Death
from taskq_workers.lanes.lane import Place
from taskq_workers.link.tasks import Task


@dataclass(frozen=True)
class Slot:
    """A place for tasks: of as many as there are slots, each runs at once.

    Args:
        node: One life of a process of the cluster's; the next has another name.
        number: Of the slot on that node.
        host: Where the node is, for people.
    """

    node: str
    number: int
    host: str


@dataclass(frozen=True)
class Parcel:
    """A task on its way to a node.

    Args:
        number: Of the task; no other one of the service's has it.
        over: Keys of maps that the node may forget.
    """

    number: int
    task: Task
    over: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """How a task ended on a node.

    Args:
        place: The process that ran it.
        outcome: As a lane has it, with moments as seconds before the answer.
        death: Of the process, by this task; None: it lives.
    """

    place: Place
    outcome: Any = None
    death: Death | None = None


@dataclass(frozen=True)
class Stop:
    """The task is to end before its next item."""

    number: int


@dataclass(frozen=True)
class Recall:
    """The task is not to begin, if it has not."""

    number: int


@dataclass(frozen=True)
class Kill:
    """The process that runs the task is to be killed, for this reason."""

    number: int
    reason: str


Word = Stop | Recall | Kill


class Told(Protocol):
    """Who is told what comes of it."""

    def answered(self, slot: Slot, number: int, answer: Answer) -> None:
        """A task has ended."""

    def lost(self, slot: Slot, numbers: Collection[int] | None, why: str) -> None:
        """These tasks (None: all of the slot's) will not be heard of again; nobody knows whether they ran.

        A slot that is gone is not among ``slots`` any more by the time this is called.
        """

    def recalled(self, slot: Slot, number: int) -> None:
        """A task has not begun, and will not."""

    def changed(self) -> None:
        """There are other slots now, or there is other trouble."""


class Engine(Protocol):
    """Runs tasks somewhere; used by the thread that owns the service's state.

    Each task that is submitted is answered, lost or recalled exactly once, unless the engine is closed before.
    """

    stretch: float
    """How many times longer than on lanes of this host chunks should run: what it costs to send one differs."""

    distance: float
    """How many times longer chunks may run of which a slot gets a second one while the first one runs.

    As long as one is on its way the slot would do nothing. But the second one can't be begun elsewhere at once."""

    def open(self, told: Told) -> None:
        """Begin; slots may come later."""

    @property
    def slots(self) -> Sequence[Slot]:
        """Those that there are now."""

    @property
    def trouble(self) -> str:
        """Why there are no slots, for people, if that is more than a matter of a moment; else ""."""

    def submit(self, slot: Slot, parcel: Parcel) -> None:
        """Have a task run, behind those that the slot was given before."""

    def tell(self, slot: Slot, word: Word) -> None:
        """Pass a word on, to where the task is. An engine that can't do that does nothing: it runs to its end."""

    def close(self) -> None:
        """End what runs, and free everything."""
