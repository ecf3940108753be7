"""Which of several queues comes next: RQ's dequeue strategies."""

from __future__ import annotations

import random
from collections.abc import Iterator

import rq


class QueueOrder:
    """The queues, in the order in which they are to be asked for a job now.

    Args:
        strategy: ``default``: always as given; ``round_robin``: one that gave a job is asked last from then on;
            ``random``: shuffled for each job.
    """

    def __init__(self, strategy: str, queues: list[rq.Queue]) -> None:
        self._strategy = strategy
        self._queues = list(queues)

    def __iter__(self) -> Iterator[rq.Queue]:
        return iter(self._queues)

    def __len__(self) -> int:
        return len(self._queues)

    @property
    def alternates(self) -> bool:
        """Whether, when several jobs are taken at once, the queues take turns."""
        return self._strategy != "default"

    def took(self, queue: rq.Queue) -> None:
        """A job was taken from this one."""
        if self._strategy == "round_robin":
            position = self._queues.index(queue) + 1
            self._queues = self._queues[position:] + self._queues[:position]
        elif self._strategy == "random":
            random.shuffle(self._queues)
