"""Services: the product's own dispatcher, with its own pipelines, in a task; and their manager."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from taskq_workers.rq_options import RQOptions
from taskq_workers.service import service as real
from taskq_workers.service.core.events import Event as InboxEvent
from taskq_workers.service.core.events import Message, Stop
from taskq_workers.service.rq.lean import LeanPool, LeanRedis
from taskq_workers.service.upkeep import recovery
from taskq_workers.settings import Settings
from tests.simulation.loop import Event, Host, Process
from tests.simulation.wire import Unmeasured, client

_NOTICE = (0.004, 0.02)  # seconds until a manager sees that a service is dead
_WOKEN = (0.0003, 0.003)  # seconds until a service that waits hears of a job
_BIRTH = 0.1  # seconds until the next one runs


class Inbox:
    """The dispatcher's; events are left to its own task, and none is acted upon by who brings it."""

    def __init__(self, process: Process) -> None:
        self._events: deque[InboxEvent] = deque()
        self._bell = Event(process.loop)

    def put(self, event: InboxEvent) -> None:
        self._events.append(event)
        self._bell.set()

    hand = put

    def open(self, act: Callable[[InboxEvent], bool]) -> None: ...

    def wait(self, timeout: float) -> list[InboxEvent]:
        if not self._events:
            self._bell.wait(timeout)
        return self.take()

    def take(self) -> list[InboxEvent]:
        self._bell.clear()
        taken = list(self._events)
        self._events.clear()
        return taken

    def ring(self) -> None:
        self._bell.set()


class NoFetcher:
    """Stands for a fetcher; the dispatcher asks the queues by itself, soon after somebody has pushed a job."""

    def __init__(self, *given: Any) -> None:
        from tests.simulation import world

        service = world.current().loop.current.process
        service.gate = given[3]

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def wake(self, connection: Any) -> None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def is_alive(self) -> bool:
        return False


class Service(Process):
    """One service's process."""

    def __init__(self, world: Any, manager: Manager, number: int, life: int) -> None:
        super().__init__(world.loop, f"{manager.prefix(number)}{life}", manager.host)
        self.started = 0
        self._world = world
        self.inbox = Inbox(self)
        self.gate: Any = None  # open while it waits for jobs
        self.dispatcher: Any = None

    def run(self) -> None:
        self._world.say(f"{self.name} starts")
        world = self._world
        options = RQOptions(maintenance_interval=world.plan.cleans, job_monitoring_interval=2, worker_ttl=20)
        settings = Settings(
            url="redis://simulated", queues=("default",), processes=world.plan.processes, grace=2.0,
            lease=world.plan.lease, rq=options,
        )  # fmt: skip
        made = lambda: client(world.network, self, SimLean, LeanPool, Retry(NoBackoff(), 0))  # noqa: E731
        while not world.server.up:
            self.loop.sleep(0.5)
        self.dispatcher = None
        while self.dispatcher is None:
            try:
                self.dispatcher = real.build(settings, self.name, self.name, self.inbox, made(), made)
            except RedisError:
                self.loop.sleep(0.5)
        self.dispatcher.run()
        world.say(f"{self.name} has left")

    def kill(self) -> None:
        if not self.alive:
            return
        super().kill()
        for process in [one for one in self._world.pool.values() if one.service == self.name]:
            process.kill()
        self._world.ledger.service_died(self.name, self._world.is_stored)

    def stop(self) -> None:
        self.inbox.put(Stop(time.monotonic() + 2.0))

    @property
    def waits(self) -> bool:
        return self.alive and self.gate is not None and bool(self.gate.is_set())

    def tell(self) -> None:
        """There is a job in the queue."""
        self.later(self._world.rng.uniform(*_WOKEN), lambda: self.inbox.put(Message({"command": "taskq-sent"})))


class SimLean(Unmeasured, LeanRedis):
    """With messages of the simulation's."""

    def pubsub(self, **_: Any) -> Any:
        options = self.connection_pool.connection_kwargs
        from tests.simulation import world

        return world.current().messages.subscription(options["process"])

    def __del__(self) -> None: ...  # there is no socket to be closed


class Manager(Process):
    """Starts the services of a host, and hands on what a dead one held."""

    def __init__(self, world: Any, host: Host, services: int) -> None:
        super().__init__(world.loop, f"the manager on {host.name}", host)
        self._world = world
        self.services: dict[int, Service] = {}
        for number in range(services):
            self.start(number)

    def prefix(self, number: int) -> str:
        return f"{self.host.name}-{number}-"

    def start(self, number: int) -> None:
        self._world.lives += 1  # no two have the same name
        one = Service(self._world, self, number, self._world.lives)
        self.services[number] = one
        one.on_death.append(lambda: self.later(self._world.rng.uniform(*_NOTICE), lambda: self._noticed(number)))
        self.loop.spawn(one, lambda: self._run(one, number))

    def _run(self, one: Service, number: int) -> None:
        one.run()
        self.later(_BIRTH, lambda: self.start(number))
        one.alive = False

    def _noticed(self, number: int) -> None:
        self.loop.spawn(self, lambda: self._hand_on(number))

    def _hand_on(self, number: int) -> None:
        try:
            connection = client(self._world.network, self, SimLean, LeanPool, Retry(NoBackoff(), 0))
            recovery.recover_prefix(connection, self.prefix(number))
        except RedisError as error:
            self._world.say(f"{self.name} can't hand on what service {number} held: {error}")
        self.later(_BIRTH, lambda: self.start(number))
