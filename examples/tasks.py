"""Functions for workers to run: stands for your own code in a folder that the workers can import from.

With docker compose the folder is mounted into the worker; then a producer anywhere may name the functions
without having them:

    q.map("tasks.square", range(1000)).get()
    q.enqueue("tasks.word_count", "to be or not to be")

Nothing here knows of taskq: any function will do, if its arguments and its result can be pickled.
"""

from __future__ import annotations

import random
import time
from collections import Counter


def square(n: int) -> int:
    """The smallest of all jobs."""
    return n * n


def slow_square(n: int, seconds: float = 0.5) -> int:
    """Long enough to watch, and to kill something meanwhile."""
    time.sleep(seconds)
    return n * n


def compute(_n: int) -> int:
    """A second of a core, more or less: the sum of a million dice with a hundred sides."""
    return sum([random.randint(1, 100) for _ in range(1_000_000)])


def word_count(text: str) -> dict[str, int]:
    """How often each word occurs, the most frequent first."""
    return dict(Counter(text.lower().split()).most_common())


def reciprocal(n: int) -> float:
    """Fails for 0, to see what becomes of an item that raises."""
    return 1 / n
