"""What runs in a Dask worker: functions that the engine calls there by reference, and the plugin that holds seats.

The plugin is put into one worker at a time, by the engine that has seen the worker, and not left at the scheduler
for all that come: it would outlive the engine, and a worker without taskq, of a cluster which others use too,
could not start any more.
"""

from __future__ import annotations

import asyncio
from typing import Any

from distributed import Worker
from distributed.diagnostics.plugin import WorkerPlugin

from taskq_workers.engines import here, spec
from taskq_workers.engines.engine import Word
from taskq_workers.engines.spec import Spec
from taskq_workers.settings import HOST


class SeatPlugin(WorkerPlugin):
    """Holds the seats of one service in a Dask worker, as long as either is there.

    Args:
        spec: Of the service.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self.name = plugin_name(spec.name)

    def setup(self, worker: Worker) -> None:
        """Start the lanes, one for each thread."""
        here.start(self._spec.name, self._spec, worker.state.nthreads)

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's
        """End them."""
        await asyncio.to_thread(here.end, self._spec.name)


def plugin_name(service: str) -> str:
    return f"taskq-{service}"


async def introduce(challenge: bytes) -> dict[str, str]:
    """Of which kind this worker is."""
    return spec.introduction(challenge)


async def enlist(told: Spec, dask_worker: Any = None) -> tuple[int, str]:
    """Have seats for this service; how many, and on which host. Those of its predecessor end."""
    line = _line(told.name)
    for name in [name for name in here.names() if _line(name) == line and name != told.name]:
        await dask_worker.plugin_remove(name=plugin_name(name))
    node = here.find(told.name)
    if node is None or node.closed:
        said = await dask_worker.plugin_add(plugin=SeatPlugin(told), catch_errors=False)
        assert said["status"] == "OK"
    return dask_worker.state.nthreads, HOST


def _line(service: str) -> str:
    """What the names of a service and of those that were there before it have in common: see ``worker_name``."""
    return service.rsplit("-", 2)[0]


async def beat(service: str) -> bool:
    """The service is there; whether its seats are, too."""
    node = here.find(service)
    return node is not None and node.beat()


async def tell(service: str, word: Word) -> bool:
    """Pass a word on; whether the task has not begun, and will not."""
    node = here.find(service)
    return node is not None and await asyncio.wrap_future(node.tell(word))


async def dismiss(service: str, dask_worker: Any = None) -> None:
    """The service ends: so do its seats."""
    if here.find(service) is not None:
        await dask_worker.plugin_remove(name=plugin_name(service))


def run_in_seat(service: str, parcel: bytes) -> bytes:
    """Run a task in the seats of this service; the thread waits for its end."""
    return here.bring(here.find(service), parcel)
