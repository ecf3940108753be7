"""SAQ. Its functions must be coroutines; these block, as any CPU-bound job does."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from saq.queue.redis import RedisQueue

from benchmarks import arrays, works
from benchmarks.peers import PROCESSES, commands

_LOOK = 0.02  # seconds between two looks at many jobs, each of which reads all that are left


def _coroutine(function):
    async def run(_context, *, item):
        return function(item)

    return (function.__name__, run)


queue = RedisQueue(Redis.from_url(commands.server()), dump=pickle.dumps, load=pickle.loads)
settings = {
    "queue": queue,
    "functions": [_coroutine(function) for function in (works.noop, works.compute, works.nap, arrays.array)],
    "concurrency": 1,
    # Whatever was taken but not begun when a sweep looks is aborted; there is nothing to sweep here.
    "timers": {"sweep": 3600, "worker_info": 1},
}


class SAQSession:
    def __init__(self, runner: asyncio.Runner) -> None:
        self._run = runner.run

    def one(self):
        self._run(queue.apply("noop", poll_interval=0.001, item=0))

    def jobs(self, count):
        self.map(works.noop, range(count), alone=True)

    def map(self, function, items, *, alone):  # noqa: ARG002
        arguments = [{"item": item} for item in items]
        return self._run(queue.map(function.__name__, arguments, poll_interval=_LOOK))


@contextmanager
def start(_url: str) -> Iterator[SAQSession]:
    command = [commands.script("saq"), f"{__name__}.settings", "--workers", str(PROCESSES), "--quiet"]
    with commands.running(command), asyncio.Runner() as runner:
        runner.run(_both_are_there())  # the first sweep is over then
        yield SAQSession(runner)


async def _both_are_there() -> None:
    while len((await queue.info())["workers"]) < PROCESSES:  # noqa: ASYNC110 - they are other processes
        await asyncio.sleep(0.05)
