"""A bare ``multiprocessing.Pool``."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import works
from benchmarks.peers import PROCESSES


class PoolSession:
    """Also for what has the same interface."""

    def __init__(self, pool):
        self.pool = pool

    def one(self):
        self.pool.apply(works.noop, (0,))

    def jobs(self, count):
        for result in [self.pool.apply_async(works.noop, (n,)) for n in range(count)]:
            result.get()

    def map(self, function, items, *, alone):
        return self.pool.map(function, items, chunksize=1 if alone else None)


@contextmanager
def start(_url: str) -> Iterator[PoolSession]:
    # Its processes would inherit a handler of this one's; told to end in the moment before they wait for a lock,
    # they would never come to it, and the end of the Pool waits for them for ever.
    with multiprocessing.Pool(PROCESSES, signal.signal, (signal.SIGTERM, signal.SIG_DFL)) as pool:
        yield PoolSession(pool)
