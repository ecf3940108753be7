"""Producers, callers and operators: the users' side of the product, each in a process of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Retry as Tries
from rq.exceptions import InvalidJobOperation, NoSuchJobError

from taskq import Queue
from taskq.errors import (
    DuplicateJobError,
    ItemTimeoutError,
    MapCanceledError,
    MapError,
    MapFailedError,
    ReplacedError,
    ResultsGoneError,
    ServerError,
    WorkerLostError,
)
from taskq.maps.job import MapJob
from tests.simulation import items
from tests.simulation.ledger import Value
from tests.simulation.loop import Host, Process
from tests.simulation.oracle import Violation
from tests.simulation.plan import Order
from tests.simulation.wire import client

_RETRIES = 3  # redis-py's, as a producer has them


class SimRedis(Redis):
    """With messages of the simulation's."""

    def pubsub(self, **_: Any) -> Any:
        from tests.simulation import world

        return world.current().messages.subscription(self.connection_pool.connection_kwargs["process"])


class Push:
    """One push, and what became of it."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.incarnation = b""
        self.began = self.returned = 0.0  # 0: not
        self.error: BaseException | None = None


class Person(Process):
    """Somebody with a connection."""

    def __init__(self, world: Any, name: str, host: Host) -> None:
        super().__init__(world.loop, name, host)
        self.world = world
        self.connection = client(world.network, self, SimRedis, ConnectionPool, Retry(NoBackoff(), _RETRIES))

    def queue(self) -> Queue:
        return Queue(connection=self.connection)


class Producer(Person):
    """Pushes one map, and waits for it."""

    def __init__(self, world: Any, order: Order, host: Host) -> None:
        super().__init__(world, f"producer {order.number}", host)
        self.push = world.pushes[order.number]

    def run(self) -> None:
        order, world = self.push.order, self.world
        call = partial(items.run, order.number)
        source = [(order.number, index, bytes([index]) * 200) for index in range(order.count)]
        options: dict[str, Any] = {"retry": Tries(max=order.tries)} if order.tries else {}
        while True:
            try:
                if order.again:
                    self._cancel()
                self.push.began = self.push.began or self.loop.now
                job = self.queue().map(
                    call,
                    source,
                    chunksize=order.chunksize,
                    job_id=order.id,
                    item_timeout=order.item_timeout,
                    **options,
                )
            except DuplicateJobError as error:
                world.say(f"{self.name}: {error}")
                self.loop.sleep(1.0)
            except (RedisError, ServerError, MapError) as error:
                world.say(f"{self.name} could not push: {type(error).__name__}: {error}")
                self.loop.sleep(0.5)
            else:
                break
        self.push.returned = self.loop.now
        self.push.incarnation = job.incarnation.encode()
        world.say(f"{self.name} has pushed {order.id}: {order.count} items")
        world.announced(self.push)
        wait_for(self, job, self.push)

    def _cancel(self) -> None:
        try:
            self.world.canceled(self.push.order.id)
            MapJob.fetch(self.push.order.id, connection=self.connection).cancel()
        except (NoSuchJobError, InvalidJobOperation):
            pass
        except ValueError as error:  # F1
            if "not found in Redis" not in str(error):
                raise
            self.loop.sleep(1.0)
            raise MapError("not yet") from error


class Caller(Person):
    """Fetches a map, and waits for it in some way."""

    def __init__(self, world: Any, push: Push, name: str, way: str, host: Host) -> None:
        super().__init__(world, f"{name} of {push.order.id}, push {push.order.number}", host)
        self.push, self.way = push, way

    def run(self) -> None:
        while True:
            try:
                job = MapJob.fetch(self.push.order.id, connection=self.connection)
                break
            except RedisError:
                self.loop.sleep(0.5)
            except NoSuchJobError:
                return
        push = self.world.push_of(job.incarnation.encode())
        if push is not None:
            wait_for(self, job, push, self.way)


def wait_for(who: Person, job: MapJob, push: Push, way: str = "get") -> None:
    """Wait for a map, and see that what comes is right."""
    world = who.world
    while True:
        try:
            if way == "get":
                values = job.get(errors=push.order.errors)
                _check(world, push, values)
            else:
                values = _each(job, push)
        except (ServerError, RedisError):
            who.loop.sleep(0.5)
        except (MapError, items.Bad, WorkerLostError, ItemTimeoutError) as error:
            world.say(f"{who.name} hears: {type(error).__name__}: {error}")
            problem = _unsound(world, push, error)
            if problem:
                raise Violation(f"{who.name} was told {type(error).__name__}: {error}; but {problem}") from error
            return
        else:
            world.say(f"{who.name} has got {len(values)} results")
            return


def _each(job: MapJob, push: Push) -> list[Any]:
    """The values as they complete: each is right, also those before an error."""
    values: list[Any] = []
    while True:
        try:
            value = job[len(values)]
        except IndexError:
            break
        if not (isinstance(value, Value) and value.function == value.item == push.order.number):
            raise Violation(f"result {len(values)} of push {push.order.number} is {value}")
        values.append(value)
    if len({value.index for value in values}) < push.order.count:
        raise Violation(f"{[value.index for value in values]} are all results of {push.order.count} items")
    return values


def _check(world: Any, push: Push, values: list[Any]) -> None:
    order = push.order
    if len(values) != order.count:
        raise Violation(f"get() returned {len(values)} values of {order.count} items")
    for index, value in enumerate(values):
        if isinstance(value, Value):
            if (value.function, value.item, value.index) != (order.number, order.number, index):
                raise Violation(f"get() returned {value} for item {index} of push {order.number}")
        elif not isinstance(value, BaseException) or order.errors == "raise":
            raise Violation(f"get() returned {value!r} for item {index}")
        elif problem := _blameless(world, push, index, value):
            raise Violation(problem)


def _blameless(world: Any, push: Push, index: int, error: BaseException) -> str:
    what = push.order.items.get(index, "")
    if isinstance(error, WorkerLostError):
        return "" if world.ledger.deaths.get((push.order.number, index), 0) else f"item {index} killed nobody"
    if isinstance(error, ItemTimeoutError):
        return "" if what == "long" else f"item {index} is not long"
    return "" if what.startswith("fails") else f"item {index} does not fail"


def _unsound(world: Any, push: Push, error: BaseException) -> str:
    """Why a caller should not have been told this; "" if it is true."""
    order = push.order
    if isinstance(error, ReplacedError):
        later = [
            one for one in world.pushes.values() if one is not push and one.order.id == order.id and one.began
        ]
        return "" if later else "nobody has pushed its id again"
    if isinstance(error, ResultsGoneError):
        lost = order.id in world.deleted or world.lost_since(push)
        return "" if lost or len(world.of_id(order.id)) > 1 else "it was neither deleted nor lost"
    if isinstance(error, MapCanceledError):
        return "" if order.id in world.cancels else "nobody has cancelled it"
    if isinstance(error, MapFailedError):
        return "" if order.id in world.deleted or world.lost_since(push) else "nothing of it can fail as a whole"
    if isinstance(error, WorkerLostError):
        return "" if world.ledger.deaths else "no process has died"
    if isinstance(error, ItemTimeoutError):
        return "" if "long" in order.items.values() else "none of its items is long"
    if isinstance(error, items.Bad):
        return "" if any(what.startswith("fails") for what in order.items.values()) else "none of its items fails"
    return "it is none of what may happen"
