"""Producers, callers and operators: the users' side of the product, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Retry as Tries
from rq.exceptions import InvalidJobOperation, NoSuchJobError

from taskq import Queue
from taskq import Retry as ItemTries
from taskq.errors import DuplicateJobError, MapError, ServerError, TaskqError
from taskq.maps.arrivals import Arrival, Arrivals
from taskq.maps.job import MapJob
from taskq.maps.open_map import OpenMap
from taskq.maps.outage import GoesOnError
from taskq.maps.proof import prove
from taskq.maps.waiting import Events
from taskq.payload import codec
from taskq.redis.patience import Patience
from taskq_workers.service.rq.lean import LeanPool
from tests.simulation import items, verdicts
from tests.simulation.loop import Host, Process
from tests.simulation.oracle import Violation
from tests.simulation.plan import Order
from tests.simulation.wire import Unmeasured, client

_RETRIES = 3  # redis-py's, as ``connect`` has them
MEMO = "m"
_PATIENCE = 10.0  # seconds, of those who are patient


class SimRedis(Unmeasured):
    """With messages of the simulation's."""

    def pubsub(self, **_: Any) -> Any:
        from tests.simulation import world

        return world.current().messages.subscription(self.connection_pool.connection_kwargs["process"])

    def __del__(self) -> None: ...  # there is no socket to be closed


class Gone(Exception):  # noqa: N818 - no error
    """The map is gone whose results were to be another's items."""


class Push:
    """One push, and what became of it."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.incarnation = self.source = b""  # the latter: of the map whose results are its items
        self.began = self.returned = 0.0  # 0: not
        self.tries = 0
        self.error: BaseException | None = None


class Person(Process):
    """Somebody with a connection."""

    def __init__(self, world: Any, name: str, host: Host, *, patient: bool = False) -> None:
        super().__init__(world.loop, name, host)
        self.world = world
        self.patience = 0.5  # seconds until it tries again
        retry = Patience(_PATIENCE) if patient else Retry(ExponentialBackoff(cap=1.0, base=0.02), _RETRIES)
        self.connection = client(world.network, self, SimRedis, LeanPool, retry)

    def try_later(self) -> None:
        """Wait, for longer each time."""
        self.loop.sleep(self.patience)
        self.patience = min(8.0, 1.5 * self.patience)

    def end_others(self) -> None:
        """It has come to its end, and so have its threads that do not keep it alive."""
        for task in list(self.tasks):
            if task is not self.loop.current:
                task.end()

    def queue(self) -> Queue:
        return Queue(connection=self.connection)


class Producer(Person):
    """Pushes one map, and waits for it."""

    def __init__(self, world: Any, order: Order, host: Host) -> None:
        super().__init__(world, f"producer {order.number}", host, patient=order.patient)
        self.push = world.pushes[order.number]

    def run(self) -> None:
        order, world = self.push.order, self.world
        try:
            while (job := self._push()) is None:
                pass
        except Gone:
            world.say(f"{self.name}: there is no map of which it could have the results")
            return
        if isinstance(job, OpenMap):
            self._feed(job)
            return
        self.push.returned = self.loop.now
        self.push.incarnation = job.incarnation.encode()
        world.say(f"{self.name} has pushed {order.id}: {order.count} items")
        world.announced(self.push)
        wait_for(self, job, self.push)

    def _push(self) -> MapJob | None:
        order = self.push.order
        options: dict[str, Any] = {"retry": Tries(max=order.tries)} if order.tries else {}
        if order.initializer:
            options |= {"initializer": items.load, "initargs": (order.number,)}
        self.push.tries += 1
        first, self.push.began = not self.push.began, self.push.began or self.loop.now
        try:
            if order.again:
                self._cancel()
            if order.orphan:
                return self._open(options)
            options |= _caps(order)
            if order.source >= 0:
                return self._follow(options)
            if order.memo:
                options |= {"memo": MEMO, "key": lambda item: str(item[1]), "memo_changed": order.memo}
            return self.queue().map(
                partial(items.run, order.number), self._items(), chunksize=order.chunksize, job_id=order.id,
                item_timeout=order.item_timeout, results=order.results, first=order.first or None, **options,
            )  # fmt: skip
        except DuplicateJobError as error:
            if first and len(self.world.of_id(order.id)) == 1:
                raise Violation(f"{self.name} was told: {error}; but nobody else has pushed it") from error
            self.world.say(f"{self.name}: {error}")
            self.loop.sleep(1.0)
        except NoSuchJobError as error:
            raise Gone from error
        except (RedisError, ServerError, MapError) as error:
            self.world.say(f"{self.name} could not push: {type(error).__name__}: {error}")
            self.try_later()
        return None

    def _follow(self, options: dict[str, Any]) -> MapJob:
        order, source = self.push.order, self.world.pushes[self.push.order.source]
        job = MapJob.fetch(source.order.id, connection=self.connection)
        self.push.source = job.incarnation.encode()
        return job.map(
            partial(items.run, order.number), chunksize=order.chunksize, job_id=order.id, results=order.results,
            **options,
        )  # fmt: skip

    def _open(self, options: dict[str, Any]) -> OpenMap:
        order = self.push.order
        return self.queue().open_map(
            partial(items.run, order.number), job_id=order.id, chunksize=order.chunksize, orphan=order.orphan,
            buffersize=None if order.patient else 3, item_timeout=order.item_timeout, **options, **_caps(order),
        )  # fmt: skip

    def _feed(self, job: OpenMap) -> None:
        """Put all items, seal it, and wait for it; then nothing of this producer goes on."""
        self.push.incarnation = job.incarnation.encode()
        self.world.say(f"{self.name} has opened {job.id}")
        self.world.enter_callers(self.push)
        try:
            for item in self._items():
                self._until_heard(partial(job.put, item), again=False)
            while not self._until_heard(job.seal, again=True):
                pass
        except TaskqError as error:
            self.world.say(f"{self.name} gives up: {type(error).__name__}: {error}")
            if problem := verdicts.unfed(self.world, self.push, error):
                raise Violation(f"{self.name} was told {type(error).__name__}: {error}; but {problem}") from error
        else:
            self.push.returned = self.loop.now
            self.world.say(f"{self.name} has sealed {job.id}: {self.push.order.count} items")
            self.world.sealed(self.push)
            wait_for(self, job, self.push)
        finally:
            self.end_others()

    def _until_heard(self, act: Callable[[], object], *, again: bool) -> bool:
        """Do something; what was accepted is said to the server some time, also if it can't be reached now."""
        try:
            act()
        except (RedisError, ServerError) as error:
            self.world.say(f"{self.name} is not heard: {type(error).__name__}: {error}")
            self.try_later()
            return not again
        return True

    def _items(self) -> Iterator[tuple[int, int, bytes]]:
        order = self.push.order
        for index in range(order.count):
            if order.pushing:
                self.loop.sleep(order.pushing)
            yield order.number, index, bytes([index]) * 200

    def _cancel(self) -> None:
        self.world.replacers.setdefault(self.push.order.id, set()).add(self.push.order.number)
        with suppress(NoSuchJobError, InvalidJobOperation):
            MapJob.fetch(self.push.order.id, connection=self.connection).cancel()


def _caps(order: Order) -> dict[str, Any]:
    """What its map is told of how much of it may run, how often, and whether twice."""
    caps = {"max_running": order.max_running or None, "rate": order.rate or None}
    retry = ItemTries(order.item_tries, backoff=(0.1, 20, 2)) if order.item_tries else None
    told = {**caps, "item_retry": retry, "speculate": order.speculates or None}
    return {name: value for name, value in told.items() if value is not None}


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
                self.try_later()
            except NoSuchJobError:
                return
        push = self.world.push_of(job.incarnation.encode())
        if push is not None:
            wait_for(self, job, push, self.way)


def wait_for(who: Person, job: MapJob, push: Push, way: str = "get") -> None:
    """Wait for a map, and see that what comes is right."""
    world = who.world
    way = "count" if push.order.discards else way
    while True:
        try:
            values = _READ[way](world, job, push)
        except (ServerError, RedisError):
            who.try_later()
        except (TaskqError, items.Bad) as error:
            world.say(f"{who.name} hears: {type(error).__name__}: {error}")
            if "read them again" in str(error) and world.lost_from(push):
                continue
            if problem := verdicts.unsound(world, push, error):
                raise Violation(f"{who.name} was told {type(error).__name__}: {error}; but {problem}") from error
            return
        else:
            told = values if isinstance(values, int) else len(values)
            world.say(f"{who.name} has got {told} results")
            return


def _get(world: Any, job: MapJob, push: Push) -> list[Any]:
    values = job.get(errors=push.order.errors)
    verdicts.check(world, push, values)
    return values


def _count(world: Any, job: MapJob, push: Push) -> int:
    told = job.count()
    wanted = min(push.order.first or push.order.count, push.order.count)
    if told != wanted and not verdicts.may_lack(world, push, told):
        raise Violation(f"count() returned {told} for {push.order.count} items")
    return told


def _each(world: Any, job: MapJob, push: Push) -> list[Any]:
    """The values as they complete: each is right, also those before an error."""
    values: list[Any] = []
    while True:
        try:
            value = job[len(values)]
        except IndexError:
            break
        verdicts.check_one(push, value, f"result {len(values)}")
        values.append(value)
    verdicts.check_all(world, push, [value.index for value in values])
    return values


def _follow(world: Any, job: MapJob, push: Push, *, in_order: bool = True) -> list[Any]:
    """As ``taskq attach``: results and failures, as they come."""
    while True:
        with suppress(GoesOnError):  # it says so, and is begun again
            return _followed(world, job, push, in_order=in_order)


def _followed(world: Any, job: MapJob, push: Push, *, in_order: bool) -> list[Any]:
    told: list[Arrival] = []
    reading = Arrivals(job.store, in_order=in_order)
    with Events(job.connection, job.store.keys) as events:
        while True:
            ended = job.ready()
            told.extend(reading.new(failures=ended or not job.retries_left, ended=False))
            if ended and reading.check():
                break
            if not ended:
                events.next(pace=0.1)
    told.extend(reading.new(failures=True, ended=True))
    info = job.store.info()
    reading.check()
    for one in told:
        if one.failure is None:
            verdicts.check_one(push, codec.loads(one.data), f"item {one.index}", one.index)
    if not info.announced:
        raise job._lost()
    if not info.complete:
        raise job._early_end(info)
    prove(job.store)
    verdicts.check_all(world, push, [one.index for one in told])
    return told


_READ: dict[str, Any] = {
    "get": _get, "count": _count, "each": _each, "follow": _follow,
    "follow as completed": partial(_follow, in_order=False),
}  # fmt: skip
