"""Pool processes: what a lane gives them runs in a task of its own, which can be killed at any item."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from taskq.maps.raised import failure_of, refused
from taskq.maps.remembered import Remembered
from taskq.maps.runner import run_chunk
from taskq.maps.store import function_codec
from taskq.payload.outcome import ChunkOutcome
from taskq.redis.keys import MapKeys
from taskq_workers.link.known import Known
from taskq_workers.link.marker import Marker
from taskq_workers.link.tasks import ChunkTask, JobOutcome, MaintenanceTask
from taskq_workers.process import errands
from taskq_workers.process import process as real
from tests.simulation.loop import Event, Killed, Process

_PIPE = (0.0001, 0.001)  # seconds which a task, and its outcome, travel
_NOTICED = (0.001, 0.02)  # seconds until the service sees that a process is dead
_START = 0.05  # seconds until a process is ready
_PIDS = 5_000_000  # from here on; no process has so high a one


class FakeContext:
    """Allots memory as multiprocessing does; both sides are in this process."""

    @staticmethod
    def RawArray(kind: Any, given: Any) -> Any:  # noqa: N802 - multiprocessing's name
        return (kind * given)() if isinstance(given, int) else (kind * len(given))(*given)


class PoolProcess(Process):
    """One pool process."""

    def __init__(self, service: Process, number: int, pid: int) -> None:
        super().__init__(service.loop, f"process {number} of {service.name}", service.host)
        self.service = service.name
        self.pid = pid
        self.exitcode: int | None = None
        self.confused = ""  # what it will say next that is not true
        self.incarnation = ""  # of the map that it runs


class FakePool:
    """Stands for ``LonePool``."""

    def __init__(self, world: Any, service: Any, on_death: Callable[[], None], numbers: Any) -> None:
        self._world, self._service, self._on_death = world, service, on_death
        self._marker = Marker(numbers)
        service.started += 1
        world.born += 1
        self.process = PoolProcess(service, service.started, _PIDS + world.born)
        self.process.on_death.append(self._died)
        world.pool[self.process.pid] = self.process
        self._tasks: deque[tuple[Any, Any, Any]] = deque()
        self._bell = Event(service.loop)
        self._maps: dict[str, Any] = {}
        self._known = Known()
        self._remembered = Remembered()
        self._discarded = False
        self.unanswered = 0
        self._arrives = 0.0
        service.loop.spawn(self.process, self._work, _START)

    @property
    def has_ended(self) -> bool:
        return self.process.exitcode is not None

    def name_threads(self, name: str) -> None: ...

    def apply_async(self, func: Any, args: Any = (), callback: Any = None, error_callback: Any = None) -> None:
        self.unanswered += 1
        loop = self._service.loop
        self._arrives = max(self._arrives, loop.now + self._world.rng.uniform(*_PIPE))  # a pipe keeps the order
        loop.at(self._arrives, lambda: self._arrive(func, args, callback))

    apply_at_once = apply_async

    def _arrive(self, func: Any, args: Any, callback: Any) -> None:
        self._tasks.append((func, args, callback))
        self._bell.set()

    def _work(self) -> None:
        self._marker.begin(0)
        while True:
            while not self._tasks:
                self._bell.clear()
                self._bell.wait()
            func, args, callback = self._tasks.popleft()
            outcome = self._run(*args) if func is real.run else None
            if not self.process.alive:
                raise Killed  # the runner takes whatever ends an item for the item's error
            self._service.later(self._world.rng.uniform(*_PIPE), lambda c=callback, o=outcome: self._answer(c, o))

    def _answer(self, callback: Any, outcome: Any) -> None:
        self.unanswered -= 1
        if callback is not None and not self._discarded:
            callback(outcome)

    def _run(self, number: int, task: Any, over: tuple[str, ...] = ()) -> Any:
        marker = self._marker
        marker.begin(number)
        for key in over:
            self._known.forget(key)
            self._maps.pop(key, None)
            self._remembered.forget(key)
        try:
            if isinstance(task, ChunkTask):
                return self._chunk(number, task)
            if isinstance(task, MaintenanceTask):
                return errands.run(task)
            return JobOutcome(error="nothing but maps is simulated")
        finally:
            if self.process.alive:
                marker.rest()

    def _chunk(self, number: int, task: ChunkTask) -> Any:
        try:
            function, keys, source = self._introduced(task)
        except Exception as error:
            return refused(error, "the map's function can't be read: ")

        def begins(index: int) -> bool:
            if not self.process.alive:
                raise Killed
            self._marker.item(index)
            return self._marker.stops(number)

        one, self.process.incarnation = (keys.id, keys.incarnation), keys.incarnation
        outcome = self._remembered.initialize(one, function, None, self._marker.initializer) or run_chunk(
            function, keys, task.star, task.range, task.body, task.limit, item_timeout=task.item_timeout,
            adapt=task.adapt, watch=SimpleNamespace(begins=begins), discards=task.discards, enough=task.enough,
            retries=task.retries, tried=task.tried, single=task.single,
            source=source,
        )  # fmt: skip
        if not isinstance(outcome, ChunkOutcome):
            return outcome
        if self.process.confused:
            outcome = self._mistake(task, keys, outcome)
        remembers = self._remembered.has(one)
        return replace(
            outcome, started=time.monotonic() - outcome.seconds, remembers=remembers
        )  # as process.py does

    def _mistake(self, task: ChunkTask, keys: MapKeys, outcome: ChunkOutcome) -> ChunkOutcome:
        """What a process says that has lost its mind."""
        what, self.process.confused = self.process.confused, ""
        beside, spans, failures = task.range.end, outcome.spans, outcome.failures
        if what == "error beside":
            outcome = replace(outcome, failures=[*failures, failure_of(ValueError(), beside)])
        elif what == "span beside" and spans:
            outcome = replace(outcome, spans=[*spans[:-1], (spans[-1][0] + task.range.count, spans[-1][1])])
        elif what == "span twice" and spans:
            outcome = replace(outcome, spans=[*spans, spans[-1]], values=[*outcome.values, outcome.values[-1]])
        elif what == "value lost" and spans:
            outcome = replace(outcome, values=outcome.values[:-1])
        else:
            return outcome
        self._world.say(f"{self.process.name} says of {task.range} what is not true: {what}")
        self._world.damaged.add(keys.id)
        return outcome

    def _introduced(self, task: ChunkTask) -> Any:
        new = task.introduction
        if new is not None:
            keys = MapKeys(new.job_id, new.incarnation)
            for key in self._known.add(task.key, len(new.function)):
                self._maps.pop(key, None)
            self._maps[task.key] = function_codec(keys, star=task.star).loads(new.function), keys, new.source
            self._remembered.introduce(task.key, (keys.id, keys.incarnation))
        return self._maps[task.key]

    def _died(self) -> None:
        self._world.ledger.died(self.process.name)
        if self.process.exitcode is None:
            self.process.exitcode = -9
        self._service.later(self._world.rng.uniform(*_NOTICED), self._report)

    def _report(self) -> None:
        if not self._discarded:
            self._on_death()

    def discard(self) -> None:
        self._discarded = True
        with suppress(KeyError):
            del self._world.pool[self.process.pid]
        self.process.kill()
