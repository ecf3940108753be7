"""Whether the machine has nothing else to do, without which no figure means anything."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from benchmarks.measure import seconds

LOOK = 5.0  # seconds
MOST = 0.05  # of all processors, that others may use
_LOOPS, _LOOP = 40, 100_000


@dataclass(frozen=True)
class Quiet:
    """What was seen before anything was measured.

    Args:
        used: Share of all processors that others used.
        spread: How many times as long as the fastest the slowest of many equal loops took: 1 is a machine that is
            never disturbed, neither by its own processes nor, if it is a virtual one, by its host's.
    """

    used: float
    spread: float

    @property
    def enough(self) -> bool:
        return self.used <= MOST

    def __str__(self) -> str:
        return (
            f"before it began, others used {self.used:.0%} of its processors, and of {_LOOPS} equal loops the "
            f"slowest took {self.spread:.2f} times as long as the fastest"
        )


def look(duration: float = LOOK) -> Quiet:
    """Look at the machine for so many seconds."""
    psutil.cpu_percent()
    time.sleep(duration)
    used = psutil.cpu_percent() / 100
    times = [seconds(lambda: sum(range(_LOOP))) for _ in range(_LOOPS)]
    return Quiet(used, max(times) / min(times))
