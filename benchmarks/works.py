"""The functions that are mapped, importable by workers and pools alike."""

from __future__ import annotations

import random
import time


def noop(_n: int) -> None:
    return None


def compute(_n: int) -> int:
    return sum([random.randint(1, 100) for _ in range(1_000_000)])


def nap(seconds: float) -> None:
    time.sleep(seconds)
