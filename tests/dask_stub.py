"""A Dask scheduler and one worker of no more than what an engine asks of them, in the test's own process.

The seats behind it are real. What a test does with it, it does at once: there is no process to start, and the time
that the engine sees goes on when the test says so.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Self

import pytest

from taskq_workers.engines import here

ENGINE = "dask://stub:8786"
ADDRESS = "tcp://stub:1"


class StubCluster:
    """The scheduler of one worker with two threads.

    Attributes:
        there: Whether the scheduler runs; it is asked no more once it does not.
        workers: As it tells of them.
        silent: Addresses of workers of which it hears nothing.
        tries: How often it was not reached.
        looks: How often it was asked who is there.
    """

    def __init__(self) -> None:
        self.there = True
        self.workers = {ADDRESS: {"last_seen": 0.0, "status": "running"}}
        self.silent: set[str] = set()
        self.tries, self.looks = 0, 0
        self.now = time.monotonic()  # by the engine's clock, which stands still
        self.flying: set[asyncio.Future[bytes]] = set()

    @property
    def time(self) -> SimpleNamespace:
        """In place of the module, for the engine."""
        return SimpleNamespace(monotonic=lambda: self.now, monotonic_ns=time.monotonic_ns)

    def client(self, *_args: Any, **_options: Any) -> _Client:
        return _Client(self)


class _Client:
    def __init__(self, cluster: StubCluster) -> None:
        self._cluster = cluster
        self.scheduler = SimpleNamespace(identity=self._identity)

    @property
    def status(self) -> str:
        return "running" if self._cluster.there else "connecting"

    async def __aenter__(self) -> Self:
        if not self._cluster.there:
            self._cluster.tries += 1
            raise OSError("nobody listens")
        return self

    async def __aexit__(self, *_what: object) -> None:
        for future in self._cluster.flying:
            future.cancel()
        self._cluster.flying.clear()

    async def _identity(self) -> dict[str, Any]:
        cluster = self._cluster
        cluster.looks += 1
        for address, info in cluster.workers.items():
            if address not in cluster.silent:
                info["last_seen"] = time.monotonic()
        return {"workers": {address: dict(info) for address, info in cluster.workers.items()}}

    def subscribe_topic(self, *_what: object) -> None:
        """Nothing is told before it is asked."""

    async def run(self, function: Any, *args: Any, workers: list[str], **_options: Any) -> dict[str, Any]:
        from taskq_workers.engines import dask_node

        worker = {"dask_worker": _Worker()} if function in (dask_node.enlist, dask_node.dismiss) else {}
        return {workers[0]: await function(*args, **worker)}

    def submit(self, function: Any, *args: Any, **_options: Any) -> asyncio.Future[bytes]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        self._cluster.flying.add(future)

        def end(result: bytes) -> None:
            if not future.done():
                self._cluster.flying.discard(future)
                future.set_result(result)

        def run() -> None:
            result = function(*args)
            if not loop.is_closed():
                loop.call_soon_threadsafe(end, result)

        threading.Thread(target=run, daemon=True).start()
        return future

    async def cancel(self, *_what: object, **_options: object) -> None:
        """What runs runs on."""


class _Worker:
    state = SimpleNamespace(nthreads=2)

    async def plugin_add(self, plugin: Any, **_options: object) -> dict[str, str]:
        plugin.setup(self)
        return {"status": "OK"}

    async def plugin_remove(self, name: str) -> None:
        await asyncio.to_thread(here.end, name.removeprefix("taskq-"))


@contextmanager
def stub(patch: pytest.MonkeyPatch) -> Iterator[StubCluster]:
    """Engines find this cluster, and see its time; no seat is left after the block."""
    from taskq_workers.engines import dask  # not sooner: it imports distributed, see ``own_pickling``

    made = StubCluster()
    with patch.context() as patched:
        patched.setattr(dask, "Client", made.client)
        patched.setattr(dask, "time", made.time)
        patched.setattr(dask, "_PAUSES", (0.01, 0.01))
        patched.setattr(dask, "_LOOK", 0.01)
        try:
            yield made
        finally:
            for name in here.names():
                here.end(name)
