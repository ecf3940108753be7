"""Ray's replacement of ``multiprocessing.Pool``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.util.multiprocessing import Pool

from benchmarks.peers import PROCESSES
from benchmarks.peers.pool import PoolSession

_STORE = 512 * 2**20  # bytes of shared memory: the large results fit


@contextmanager
def start(_url: str) -> Iterator[PoolSession]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it would report to its makers
    os.environ.setdefault("RAY_worker_niceness", "0")  # else its processes give way to all others, with 15
    ray.init(
        num_cpus=PROCESSES,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=_STORE,
        _node_ip_address="127.0.0.1",
    )
    try:
        yield PoolSession(Pool(PROCESSES))
    finally:
        ray.shutdown()
