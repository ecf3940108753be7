"""What is swept over."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

SECONDS = (0.001, 0.01, 0.1, 0.2, 0.3, 0.5, 1.0, 5.0)
SERVICES = (1, 2, 4)
PROCESSES = (1, 2, 8)
MAPS = (1, 4, 16, 64)


@dataclass(frozen=True)
class Mix:
    """Maps that run when the newcomers come.

    Args:
        seconds: That an item sleeps.
        maps: How many there are, all alike.
        before: The newcomers come to a queue before that of the maps; else to the same.
        chunksize: As ``Queue.map`` has it.
    """

    seconds: float
    maps: int
    before: bool
    chunksize: int | None

    @property
    def chunk(self) -> float:
        """Seconds that a process may be busy with one chunk."""
        return self.seconds if self.chunksize else max(self.seconds, 0.15)


def workers() -> Iterator[tuple[int, int]]:
    """Services, and processes of each."""
    return itertools.product(SERVICES, PROCESSES)


def mixes() -> Iterator[Mix]:
    """All of them, for each worker."""
    for seconds, maps, before, chunksize in itertools.product(SECONDS, MAPS, (False, True), (1, None)):
        yield Mix(seconds, maps, before, chunksize)
