"""Dask distributed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dask import bag
from distributed import Client, LocalCluster

from benchmarks import works
from benchmarks.peers import PROCESSES

_PARTITIONS = 4 * PROCESSES


class DaskSession:
    def __init__(self, client: Client) -> None:
        self._client = client

    def one(self):
        self._client.submit(works.noop, 0, pure=False).result()

    def jobs(self, count):
        # Results stay on the workers as long as the futures are held; gather brings them.
        self._client.gather([self._client.submit(works.noop, n, pure=False) for n in range(count)])

    def map(self, function, items, *, alone):
        if alone:
            return self._client.gather(self._client.map(function, items, pure=False))
        return bag.from_sequence(items, npartitions=_PARTITIONS).map(function).compute()


@contextmanager
def start(_url: str) -> Iterator[DaskSession]:
    with (
        LocalCluster(n_workers=PROCESSES, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield DaskSession(client)
