"""What a secret key costs: the same map of no-op items with and without one, in turn.

python -m benchmarks.signing
"""

from __future__ import annotations

import os
import secrets
import statistics

import taskq
from benchmarks import measure, works
from taskq.payload import signing

ITEMS = 1_000_000


def once(key: str) -> float:
    """Seconds from push to results in the caller's hands."""
    os.environ[signing.VARIABLE] = key
    with taskq.local(processes=os.cpu_count() or 1) as q:
        q.map(works.noop, range(10_000)).get()
        return measure.seconds(lambda: q.map(works.noop, range(ITEMS)).get())


def main() -> None:
    times: dict[str, list[float]] = {"without a key": [], "with a key": []}
    for _ in range(measure.ROUNDS):
        for name, taken in times.items():
            taken.append(once(secrets.token_urlsafe(32) if name == "with a key" else ""))
    for name, taken in times.items():
        middle = statistics.median(taken)
        print(
            f"{name}: {ITEMS:,} no-op items in {middle:.2f} s, {ITEMS / middle:,.0f} items/s (of {measure.ROUNDS})"
        )


if __name__ == "__main__":
    main()
