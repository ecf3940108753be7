"""What ``taskq demo`` has computed; apart from the command, of which pool processes need nothing else."""

from __future__ import annotations

import random


def compute(_n: int) -> int:
    """The job this project grew from: some tenths of a second of nothing but CPU."""
    return sum([random.randint(1, 100) for _ in range(1_000_000)])  # noqa: S311 - as in the seed


def shorter(_n: int) -> int:
    return sum([random.randint(1, 100) for _ in range(50_000)])  # noqa: S311 - as in the seed
