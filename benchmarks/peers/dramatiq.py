"""Dramatiq."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.encoder import PickleEncoder
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks import arrays, works
from benchmarks.peers import PROCESSES, commands

_TIMEOUT = 60_000  # ms

broker = RedisBroker(url=commands.server())
broker.add_middleware(Results(backend=RedisBackend(url=commands.server(), encoder=PickleEncoder())))
dramatiq.set_broker(broker)
ACTORS = {
    function: dramatiq.actor(function, store_results=True)
    for function in (works.noop, works.compute, works.nap, arrays.array)
}


class DramatiqSession:
    def one(self):
        ACTORS[works.noop].send(0).get_result(block=True, timeout=_TIMEOUT)

    def jobs(self, count):
        self.map(works.noop, range(count), alone=True)

    def map(self, function, items, *, alone):  # noqa: ARG002
        actor = ACTORS[function]
        messages = dramatiq.group(actor.message(item) for item in items).run()
        return list(messages.get_results(block=True, timeout=_TIMEOUT))


@contextmanager
def start(_url: str, threads: int = 1) -> Iterator[DramatiqSession]:
    command = [commands.script("dramatiq"), __name__, "--processes", str(PROCESSES), "--threads", str(threads)]
    with commands.running(command):
        yield DramatiqSession()


def start_tiny(url: str):
    return start(url, threads=8)
