"""What a session waits for: the items that were put and have not ended, each with who is told of its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class Ticket(Protocol):
    """Who waits for some items that were submitted together."""

    def ended(self, position: int, value: Any, error: BaseException | None) -> None:
        """One of them has ended, in the order of completion; called once for each, never raises.

        Args:
            position: Of the item among them.
            value: Its result.
            error: What it has raised instead; None: it has a result.
        """


@dataclass
class Load:
    """Items that go to the server together.

    Args:
        items: The arguments of ``call.run``.
        ticket: Who waits for them.
        first: Position of the first of them for that ticket.
        chunksize: Items that are run together; None: taskq picks it.
    """

    items: Sequence[tuple[Any, ...]] = field(repr=False)
    ticket: Ticket
    first: int = 0
    chunksize: int | None = 1
    index: int | None = None  # of the first one in the map, once it was put
    withdrawn: bool = False
    alone: bool = False  # together with others it was refused
    wanted: Sequence[str] = ()  # keys of the items in the memo; (): they have none

    def rest(self, taken: int) -> Load:
        """What is left when so many were put."""
        left = Load(self.items[taken:], self.ticket, self.first + taken, self.chunksize)
        left.wanted = self.wanted[taken:]
        return left


class Awaited:
    """Item -> who is told of its end, in the order of the items; used by several threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.some = threading.Event()  # there are some
        self.added = 0  # how often there were more
        self._tickets: dict[int, tuple[Ticket, int]] = {}

    def add(self, load: Load, index: int) -> None:
        """Items of the map from this index on; the lock must be held."""
        load.index = index
        self.added += 1
        at, ticket = load.first - index, load.ticket
        self._tickets.update((one, (ticket, one + at)) for one in range(index, index + len(load.items)))
        self.some.set()

    def expect(self, index: int, ticket: Ticket) -> None:
        """An item that is in the map already."""
        with self.lock:
            self._tickets[index] = ticket, 0
        self.some.set()

    def take(self, index: int) -> tuple[Ticket, int] | None:
        """Who is to be told that this item has ended; from now on nobody else."""
        with self.lock:
            return self._tickets.pop(index, None)

    def drop(self, first: int, stop: int) -> None:
        """These items were not put after all; the lock must be held."""
        for index in range(first, stop):
            self._tickets.pop(index, None)

    def indexes(self) -> list[int]:
        """All of them, in order."""
        with self.lock:
            return list(self._tickets)

    def take_all(self) -> Iterator[tuple[Ticket, int]]:
        """Each that is there, and nobody is told of any more."""
        while True:
            with self.lock:
                if not self._tickets:
                    return
                found = self._tickets.pop(next(iter(self._tickets)))
            yield found

    def __len__(self) -> int:
        return len(self._tickets)
