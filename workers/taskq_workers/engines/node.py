"""The other end of seats: real lanes on a node, and the one thread that looks after them.

    a thread of the cluster's ──run──> ┐                      ┌ tasks ──> lanes ──> pool processes
    the engine's words ───────tell───> ┼─> events ─> one loop ┤
    lanes ──────────────Done, Died───> ┘                      └ answers, to who waits for them

What dies here is known here, with its exit code and item, and told as the task's answer. Time limits of items are
kept here, too, since which item runs, and since when, stands in memory that only this host sees.
"""

from __future__ import annotations

import logging
import multiprocessing
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from taskq.errors import DamagedError, FunctionError
from taskq.maps.raised import refused
from taskq.payload.large import Told
from taskq.payload.outcome import ChunkOutcome
from taskq_workers import clock
from taskq_workers.engines.engine import Answer, Kill, Parcel, Stop, Word
from taskq_workers.engines.spec import Spec
from taskq_workers.lanes.lane import Lane
from taskq_workers.lanes.lanes import Lanes
from taskq_workers.link.host_file import HostFile
from taskq_workers.link.known import Known
from taskq_workers.link.tasks import BlobFile, ChunkTask, Introduction, JobOutcome

log = logging.getLogger(__name__)

_TICK = 0.5  # seconds between looks at what no event tells of
_KEPT = 4096  # numbers of tasks that were begun, or are not to begin, which are remembered
ITEM_TIMEOUT, OVERTIME = "item timeout", 1.0  # as in the service's execution.py


class Unknown(Exception):  # noqa: N818 - it is no error: the service says again what this node has forgotten
    """The map of a task is not known here."""


class Gone(Exception):  # noqa: N818 - as above
    """This node has ended, or can't start a process; the text says why."""


@dataclass(eq=False)
class _Job:
    """A parcel, and who waits for its answer."""

    parcel: Parcel
    answer: Future[Answer] = field(default_factory=Future)
    local: int = 0  # the number that its lane knows it by


class _Row(Lanes):
    """Lanes of a node: what waits for other work there would keep the only thread that could run it."""

    def _lend(self) -> None:
        for lane in self:
            lane.refuse(True, here=True)


class Node:
    """Pool processes for one service's seats.

    Args:
        spec: Of the service.
        processes: How many there are: as many tasks as are brought here at a time.

    Raises:
        OptionError: If the node's environment holds something of no use.
    """

    def __init__(self, spec: Spec, processes: int) -> None:
        self.spec = spec
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lanes = _Row(
            spec.settings(processes), f"taskq: seat of {spec.name}", lambda *end: self._events.put(end),
            self._events.put, worker=spec.name,
        )  # fmt: skip
        self._waiting: deque[_Job] = deque()
        self._running: dict[int, _Job] = {}  # by the number of the task here
        self._begun: OrderedDict[int, None] = OrderedDict()  # numbers of the service's
        self._unwanted: OrderedDict[int, None] = OrderedDict()
        self._functions: dict[str, Introduction] = {}
        self._files: dict[str, list[HostFile]] = {}  # the large objects of the same maps
        self._known = Known()
        self._heard = time.monotonic()
        self.closed = False
        self._thread = threading.Thread(target=self._loop, name=f"seats of {spec.name}", daemon=True)
        self._thread.start()

    # -- of any thread ---------------------------------------------------------------------------------

    def run(self, parcel: Parcel) -> Answer:
        """Run a task, and wait for its end.

        Raises:
            Unknown: If its map must be introduced here.
            Gone: If it will never be known what became of it.
            CancelledError: If it was not to begin any more.
        """
        job = _Job(parcel)
        self._events.put(job)
        while True:
            with suppress(TimeoutError):
                return job.answer.result(timeout=_TICK * 4)
            if not self._thread.is_alive() and not job.answer.done():
                raise Gone("the node was closed")

    def tell(self, word: Word) -> Future[bool]:
        """Pass a word on; whether the task has not begun, and will not."""
        told: Future[bool] = Future()
        self._events.put((word, told))
        return told

    def beat(self) -> bool:
        """The service is there; whether this node is, too."""
        self._heard = time.monotonic()
        return not self.closed

    def close(self) -> None:
        """End all processes, and free everything."""
        self._events.put(None)
        self._thread.join()

    # -- the loop --------------------------------------------------------------------------------------

    def _loop(self) -> None:
        why = "the node was closed"
        try:
            while not self._lapsed:
                self._fill()
                if not self._handle(self._next()):
                    break
                self._give()
                self._enforce()
        except Exception as error:
            log.exception("the seats of %s end", self.spec.name, extra={"action": "seats_broken"})
            why = f"the node has broken: {error!r}"
        finally:
            self.closed = True
            self._lanes.close()
            while not self._events.empty():
                if isinstance(event := self._events.get(), _Job):
                    self._waiting.append(event)
            for job in (*self._waiting, *self._running.values()):
                job.answer.set_exception(Gone(why))

    @property
    def _lapsed(self) -> bool:
        """Whether the service has not been heard of for so long that there is none."""
        return self.spec.lapse > 0 and time.monotonic() - self._heard > self.spec.lapse

    def _fill(self) -> None:
        """Start what is missing; the process that we are in may be a daemon, which may start none, says Python."""
        config = multiprocessing.current_process()._config  # type: ignore[attr-defined] # noqa: SLF001 - as in process.py
        before, config["daemon"] = config.get("daemon"), False
        try:
            self._lanes.fill()
        finally:
            config["daemon"] = before
        if why := self._lanes.trouble:
            while self._waiting:
                self._waiting.popleft().answer.set_exception(Gone(why))

    def _next(self) -> Any:
        """The next event; a word of no meaning if none comes."""
        due = [time.monotonic() + _TICK, *(moment for lane in self._lanes if (moment := self._deadline(lane)))]
        if self._lanes.due is not None:
            due.append(self._lanes.due)
        with suppress(queue.Empty):
            return self._events.get(timeout=max(0.0, min(due) - time.monotonic()))
        return ()

    def _handle(self, event: Any) -> bool:
        """Act on an event: a task, a word, the end of tasks, a dead lane; False if it is the last."""
        if event is None:
            return False
        if isinstance(event, _Job):
            if event.parcel.number in self._unwanted:
                event.answer.cancel()
            else:
                self._waiting.append(event)
        elif isinstance(event, Lane):
            self._bury(event)
        elif event and isinstance(event[0], Lane):
            for number, outcome in event[1]:
                self._ended(event[0], number, outcome)
        elif event:
            word, told = event
            told.set_result(self._obey(word))
        return True

    # -- tasks -----------------------------------------------------------------------------------------

    def _give(self) -> None:
        idle = self._lanes.idle
        while self._waiting and idle:
            job = self._waiting.popleft()
            for key in job.parcel.over:
                self._forget(key)
                self._lanes.forget(key, at_once=True)
            try:
                self._submit(idle[0], job)
            except Unknown as unknown:
                job.answer.set_exception(unknown)
                continue
            except (FunctionError, DamagedError) as error:
                job.answer.set_result(Answer(idle[0].where, refused(error)))
                continue
            idle.pop(0)
            _note(self._begun, job.parcel.number)

    def _submit(self, lane: Lane, job: _Job) -> None:
        task = job.parcel.task
        if isinstance(task, ChunkTask):
            if (new := task.introduction) is not None:
                for key in self._known.add(task.key, new.size):
                    self._forget(key)
                self._functions[task.key] = replace(new, blobs=self._kept(task.key, new.blobs))
            elif task.key not in self._functions:
                raise Unknown(task.key)
            task = task._replace(introduction=None if lane.knows(task.key) else self._functions[task.key])
        job.local = self._lanes.submit(lane, task, job)
        self._running[job.local] = job

    def _kept(self, key: str, blobs: Collection[BlobFile]) -> tuple[BlobFile, ...]:
        """Large objects, in files of this host.

        Raises:
            FunctionError: If there is no place for them.
            DamagedError: If the bytes of one are not those of its name.
        """
        files = self._files[key] = [HostFile(Told(blob.digest, blob.size)) for blob in blobs]
        for file, blob in zip(files, blobs, strict=True):
            file.fill(blob.data)
        return tuple(BlobFile(file.told.digest, file.told.size, file.path) for file in files)

    def _forget(self, key: str) -> None:
        self._functions.pop(key, None)
        self._files.pop(key, None)

    def _ended(self, lane: Lane, number: int, outcome: Any) -> None:
        if isinstance(outcome, ChunkOutcome):
            outcome = _told(lane.read(outcome))
        elif isinstance(outcome, JobOutcome) and outcome.ran:
            now = time.monotonic()
            outcome = outcome._replace(ran=(now - outcome.ran[0], now - outcome.ran[1]))
        self._lanes.done(lane, number)
        if job := self._running.pop(number, None):
            job.answer.set_result(Answer(lane.where, outcome))

    def _bury(self, lane: Lane) -> None:
        if lane.discarded:
            return
        self._lanes.bury(lane)
        while not self._events.empty():  # what it had finished has come while it was buried
            self._handle_late(self._events.get())
        death = lane.death
        for number in list(lane.tasks):
            lane.tasks.pop(number)
            job = self._running.pop(number)
            to_blame = number == death.task or death.reading or death.killed_for
            if lane.stillborn or not to_blame:  # it had not come to it
                self._waiting.appendleft(job)
                continue
            ran = job.parcel.number if number == death.task else 0  # 0: it died while it read the task
            job.answer.set_result(Answer(lane.where, death=replace(death, task=ran)))

    def _handle_late(self, event: Any) -> None:
        """As ``_handle``, of what must not be lost while a lane is buried."""
        if not self._handle(event):
            self._events.put(event)

    # -- words -----------------------------------------------------------------------------------------

    def _obey(self, word: Word) -> bool:
        if word.number not in self._begun:
            _note(self._unwanted, word.number)  # it may be on its way
            for job in [job for job in self._waiting if job.parcel.number == word.number]:
                self._waiting.remove(job)
                job.answer.cancel()
            return True
        for lane in self._lanes:
            if any(job.parcel.number == word.number for job in lane.tasks.values()):
                self._tell(lane, word)
        return False

    def _tell(self, lane: Lane, word: Word) -> None:
        if isinstance(word, Kill):
            lane.kill(word.reason)
        elif isinstance(word, Stop):
            lane.stop(next(reversed(lane.tasks)))

    def _enforce(self) -> None:
        """Kill what has an item that is over its time, in C code or behind an alarm of the user's own."""
        for lane in self._lanes:
            if (deadline := self._deadline(lane)) and time.monotonic() >= deadline:
                lane.kill(ITEM_TIMEOUT)

    @staticmethod
    def _deadline(lane: Lane) -> float | None:
        job = lane.running
        limit = getattr(job.parcel.task, "item_timeout", 0.0) if job else 0.0
        item = lane.item if limit else None
        return None if item is None or lane.killed_for else item[1] + limit + OVERTIME


def _note(numbers: OrderedDict[int, None], number: int) -> None:
    numbers[number] = None
    while len(numbers) > _KEPT:
        numbers.popitem(last=False)


def _told(outcome: ChunkOutcome) -> ChunkOutcome:
    """The outcome as it travels: all of it in one piece, and when it began as seconds before now."""
    values: list[bytes | memoryview] = [bytes(value) for value in outcome.values]
    return replace(outcome, values=values, started=clock.SERVER.now() - outcome.started)
