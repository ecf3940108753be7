"""Celery, with its prefork pool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery, group

from benchmarks import arrays, works
from benchmarks.peers import PROCESSES, commands

_LOOK = 0.005  # seconds; the default of 0.5 is what a short group takes at least
_CHUNK = 1000  # items; as large as a user who knows that they are tiny would choose

app = Celery("benchmarks", broker=commands.server(), backend=commands.server())
app.conf.update(
    worker_prefetch_multiplier=64,
    result_serializer="pickle",  # of the results alone: NumPy arrays are no JSON
    result_accept_content=["pickle"],
    broker_connection_retry_on_startup=True,
)
TASKS = {function: app.task(function) for function in (works.noop, works.compute, works.nap, arrays.array)}


class CelerySession:
    def one(self):
        TASKS[works.noop].delay(0).get()

    def jobs(self, count):
        noop = TASKS[works.noop]
        group(noop.s(n) for n in range(count))().get(interval=_LOOK)

    def map(self, function, items, *, alone):
        task = TASKS[function]
        if alone:
            return group(task.s(item) for item in items)().get(interval=_LOOK)
        chunks = task.chunks(((item,) for item in items), _CHUNK)().get(interval=_LOOK)
        return [value for chunk in chunks for value in chunk]


@contextmanager
def start(_url: str) -> Iterator[CelerySession]:
    command = [commands.script("celery"), "--app", __name__, "worker", "--pool", "prefork",
               "--concurrency", str(PROCESSES), "--without-gossip", "--without-mingle", "--without-heartbeat",
               "--loglevel", "error"]  # fmt: skip
    with commands.running(command):
        yield CelerySession()
