"""Huey."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huey import RedisHuey

from benchmarks import arrays, works
from benchmarks.peers import PROCESSES, commands

_TIMEOUT = 60.0  # seconds

huey = RedisHuey("benchmarks", url=commands.server(), store_none=True, notify_result=True)
TASKS = {function: huey.task()(function) for function in (works.noop, works.compute, works.nap, arrays.array)}


class HueySession:
    def one(self):
        TASKS[works.noop](0).get(blocking=True, timeout=_TIMEOUT)

    def jobs(self, count):
        for result in [TASKS[works.noop](n) for n in range(count)]:
            result.get(blocking=True, timeout=_TIMEOUT)

    def map(self, function, items, *, alone):  # noqa: ARG002
        return TASKS[function].map(items).get(blocking=True, timeout=_TIMEOUT)


@contextmanager
def start(_url: str) -> Iterator[HueySession]:
    command = [commands.script("huey_consumer"), f"{__name__}.huey", "--workers", str(PROCESSES),
               "--worker-type", "process", "--no-periodic", "--quiet"]  # fmt: skip
    with commands.running(command):
        yield HueySession()
