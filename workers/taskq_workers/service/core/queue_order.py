"""Which of several queues comes next: RQ's dequeue strategies."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence


class QueueOrder:
    """The names of the queues, in the order in which they are to be asked now.

    Args:
        strategy: ``default``: always as given; ``round_robin``: one that gave something is asked last from then
            on; ``random``: shuffled each time.
        names: Of the queues.
    """

    def __init__(self, strategy: str, names: Sequence[str]) -> None:
        self._strategy = strategy
        self._names = list(names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def alternates(self) -> bool:
        """Whether, when several jobs are taken at once, the queues take turns."""
        return self._strategy != "default"

    def copy(self) -> QueueOrder:
        """One that shows what would come next."""
        return QueueOrder(self._strategy, self._names) if self.alternates else self

    def took(self, name: str) -> None:
        """A job, or a chunk, was taken from this one."""
        if self._strategy == "round_robin" and name in self._names:
            position = self._names.index(name) + 1
            self._names = self._names[position:] + self._names[:position]
        elif self._strategy == "random":
            random.shuffle(self._names)
