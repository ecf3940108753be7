"""What many services say and hear, counted: the product's own services in the simulator, with nothing going wrong.

Each has its own dispatcher, pipelines and scripts; what stands for something else is said in ``tests/simulation``.
Time is virtual, so that a hundred services fit into one process; what each command takes on a real server,
``costs.py`` says.
"""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from taskq_workers.service.upkeep.monitor import Monitor
from tests.simulation import loop, patches
from tests.simulation.plan import Order, Plan
from tests.simulation.story import operation
from tests.simulation.world import World

_tell = Monitor.tell  # before the simulator takes it away
HOSTS = 2  # on which they are; nothing that is counted depends on how many
LEASE = 30.0  # seconds, as it is by default
SETTLES = 15.0  # seconds after the start: all are registered, and each has renewed its lease


@dataclass
class Traffic:
    """What was said in a span of time.

    Args:
        services: How many there were.
        seconds: How long.
        said: Bytes that went to the server, by what was said.
        heard: Bytes that came from it, by what was said.
        calls: How many commands there were.
        notes: Messages that the server has sent to services.
    """

    services: int
    seconds: float
    said: Counter[str] = field(default_factory=Counter)
    heard: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    notes: int = 0

    def each(self, count: float) -> float:
        """For each service, and second."""
        return count / self.services / self.seconds

    @property
    def bytes_each(self) -> float:
        return self.each(self.said.total() + self.heard.total())

    @property
    def notes_each(self) -> float:
        return self.each(self.notes)


@dataclass(frozen=True)
class Work:
    """A map that is pushed once all services are there.

    Args:
        items: One in a chunk; 0: there is no map.
        seconds: Of each item.
    """

    items: int = 0
    seconds: float = 1.0


NONE = Work()


def _size(reply: Any) -> int:
    """Bytes of a reply, without the few that frame it."""
    if isinstance(reply, (list, tuple, set)):
        return sum(map(_size, reply))
    if isinstance(reply, dict):
        return sum(map(_size, reply)) + sum(map(_size, reply.values()))
    return len(reply) if isinstance(reply, (bytes, str)) else 8


@contextmanager
def _world(services: int, processes: int, work: Work, settles: float) -> Iterator[World]:
    orders = (Order(0, settles, "m0", work.items, 1, work.seconds),) if work.items else ()
    idle = Order(1, 10_000.0, "never", 1, 1, 1.0)  # else the world would have nothing to wait for
    plan = Plan(1, HOSTS, services // HOSTS, processes, LEASE, (*orders, idle), ())
    patches.apply()
    Monitor.tell = _tell  # type: ignore[method-assign]
    loop.MANY = 10**9  # steps
    random.seed(1)
    world = World(plan)
    try:
        yield world
    finally:
        world.leave()
        gc.collect()


def count(
    services: int,
    processes: int = 2,
    work: Work = NONE,
    since: float = 5.0,
    seconds: float = 20.0,
    settles: float = SETTLES,
) -> Traffic:
    """What so many services say and hear in some seconds, beginning so long after the map was pushed."""
    traffic = Traffic(services, seconds)
    begins = settles + since
    with _world(services, processes, work, settles) as world:
        publish, notice = world.messages.publish, world.server.after
        world.oracle.look = lambda *_: None  # type: ignore[method-assign]  # nothing goes wrong here
        world.announced = lambda _push: None  # type: ignore[method-assign]

        def counts() -> bool:
            return begins <= world.loop.now < begins + seconds

        def after(who: str, command: list[bytes], reply: Any) -> None:
            notice(who, command, reply)
            if counts():
                name = operation(command) or command[0].decode().upper()
                traffic.said[name] += sum(map(len, command))
                traffic.heard[name] += _size(reply)
                traffic.calls[name] += 1

        def on_publish(channel: bytes, data: bytes) -> int:
            hearing = publish(channel, data)
            if counts():
                traffic.notes += hearing
                traffic.heard["note"] += hearing * (len(channel) + len(data))
            return hearing

        world.server.after, world.server.on_publish = after, on_publish
        world.loop.run(begins + seconds, lambda: world.failure is not None)
        if world.failure is not None:
            raise world.failure
    return traffic
