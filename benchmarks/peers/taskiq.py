"""taskiq."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from taskiq import gather
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from benchmarks import arrays, works
from benchmarks.peers import PROCESSES, commands

_LOOK = 0.02  # seconds between two looks at many tasks, each of which asks for all of them

broker = ListQueueBroker(commands.server()).with_result_backend(
    RedisAsyncResultBackend(commands.server(), result_ex_time=600)
)


def _task(function):
    async def run(item):
        return function(item)

    return broker.register_task(run, task_name=function.__name__)


TASKS = {function: _task(function) for function in (works.noop, works.compute, works.nap, arrays.array)}


class TaskiqSession:
    def __init__(self, runner: asyncio.Runner) -> None:
        self._run = runner.run

    def one(self):
        async def run():
            await (await TASKS[works.noop].kiq(0)).wait_result(check_interval=0.001)

        self._run(run())

    def jobs(self, count):
        self.map(works.noop, range(count), alone=True)

    def map(self, function, items, *, alone):  # noqa: ARG002
        async def run():
            tasks = await asyncio.gather(*(TASKS[function].kiq(item) for item in items))
            return [result.return_value for result in await gather(*tasks, periodicity=_LOOK)]

        return self._run(run())


@contextmanager
def start(_url: str) -> Iterator[TaskiqSession]:
    command = [commands.script("taskiq"), "worker", f"{__name__}:broker", "--workers", str(PROCESSES),
               "--max-async-tasks", "1", "--log-level", "ERROR"]  # fmt: skip
    with commands.running(command), asyncio.Runner() as runner:
        runner.run(broker.startup())
        yield TaskiqSession(runner)
        runner.run(broker.shutdown())
