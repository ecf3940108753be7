"""A lane: a ``multiprocessing.Pool`` of one process, about whose death everything is known.

One ``Pool(N)`` is faster at tiny tasks, but its processes share a lock and a pipe: after a death nobody knows
who held what, and the whole pool has to go. Of a ``Pool(1)`` it is known which task ran (a number in shared
memory) and which ones wait behind it; and with nobody else at the other end of its pipes, it takes no lock that a
death could leave locked. A lane whose process has died is discarded, never repaired, in a few milliseconds.
"""

from __future__ import annotations

import math
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psutil

from taskq.payload.outcome import ChunkOutcome
from taskq.redis import keeper
from taskq_workers import clock
from taskq_workers.lanes import guard, lone_pool
from taskq_workers.lanes.death import Death
from taskq_workers.link import flight, ledger, marker, tray
from taskq_workers.link.flight import Flight
from taskq_workers.link.known import LARGE, Known
from taskq_workers.link.ledger import Ledger
from taskq_workers.link.lending import Lending
from taskq_workers.link.marker import Marker
from taskq_workers.link.tasks import NOT_RUN, BatchTask, ChunkTask, JobOutcome, JobTask, Task
from taskq_workers.link.tray import Clearing
from taskq_workers.process import process
from taskq_workers.settings import HOST, Settings

_RECALL = 0.02  # seconds after which what waits behind a running task may be asked back
_UNKNOWN = 255  # multiprocessing's exit code of a process whose forkserver can't tell it any more
_ENDS = 0.05  # seconds in which a forkserver that is ending is gone
_SETTLED = 0.005  # seconds after which what was asked, and what was said before, has been seen by the other side

OnDone = Callable[["Lane", list[tuple[int, Any]]], None]
OnDeath = Callable[["Lane"], None]


def _bytes_in(task: Task) -> int:
    """How many bytes the task has at least when it travels, if it is one of those which wait for nothing."""
    if isinstance(task, JobTask):
        return sum(map(len, task.fields.values()))
    if isinstance(task, ChunkTask) and task.introduction is None:
        return len(task.body)
    return sys.maxsize


@dataclass(frozen=True)
class Place:
    """Where a lane's process is."""

    host: str
    pid: int


class Lane:
    """One pool process and the tasks it has been given; where that process is elsewhere, see ``engines/seat.py``.

    Args:
        index: Its number in the service, from 0.
        ctx: From ``context()``.
        settings: The worker's: what its process must know of them.
        on_done: Called (in a thread of the Pool) with the lane, and of each task that has ended its number and
            outcome.
        on_death: Called (in a thread of the Pool) when the process is found dead.
        record: Where what it runs is noted, too.
        worker: Name of the service.
    """

    remote = False
    """Whether its process is at another place, where only that place can look at it."""

    takes_batches = True
    """Whether several short jobs may travel to it together."""

    def __init__(
        self, index: int, ctx: Any, settings: Settings, title: str, on_done: OnDone, on_death: OnDeath,
        record: Flight | None = None, *, worker: str = "",
    ) -> None:  # fmt: skip
        self._begin(index, on_done)
        self._slot = record.slot() if record else None
        memory = ledger.allot(ctx)
        numbers = marker.allot(ctx) if self._slot is None else self._slot.where
        own = numbers if self._slot is None else self._slot.numbers
        self._marker, self._lending = Marker(own), Lending(own)
        self._ledger = Ledger(memory)
        user = settings.rq.user
        laid = tray.allot()
        self._clearing = Clearing(laid)
        trust, logs = settings.trust, settings.logs
        initargs = (settings.url, trust, logs, title, numbers, memory, laid, settings.path, user, worker)
        try:
            self._pool = lone_pool.start(ctx, lambda: on_death(self), lambda: on_done(self, []), initargs)
        finally:
            if laid is not None:
                laid.handed_over()
        self._pool.name_threads(f"lane {index}")
        self._forkserver = guard.forkserver_pid()
        self.pid: int = self._pool.process.pid

    def _begin(self, index: int, on_done: OnDone) -> None:
        """What is known of it before it has a process."""
        self.index = index
        self.started = time.monotonic()
        self.tasks: OrderedDict[int, Any] = OrderedDict()  # number -> what the dispatcher knows of it
        self.starved = False  # see ``Death``
        self.lost = ""  # why nothing will be heard of its tasks, though no process may have died; "": one has
        self.killed_for = ""  # why the service killed it; "" if it did not
        self.killed_at = 0.0  # when that was, on the monotonic clock
        self._unheard_task = 0  # the task for which it was killed, as its outcome could not be sent
        self.given = 0  # tasks, so far
        self.discarded = False
        self.closed = False  # it is to be replaced, and gets no more tasks
        self._known_maps = Known()
        self._introduced: set[str] = (
            set()
        )  # of maps that are not over: also those whose functions it knows no more
        self._over: list[str] = []  # known to the process, until it gets its next task
        self._on_done = on_done
        self._labels: dict[int, str] = {}  # number -> what the record says of the task
        self._batch = 0  # the number of the one that runs; 0: none
        self._recall_at = 0.0  # on the monotonic clock: when to look after what waits behind a task
        self._recalled = False  # the process was asked not to begin it

    @property
    def stillborn(self) -> bool:
        """Whether its process has not even got ready to run anything."""
        return self._marker.stillborn

    @property
    def orphaned(self) -> bool:
        """Whether its forkserver has ended, and its process with it, so that nobody knows what that died of.

        To be asked of one whose process is dead. What the flight record does not tell of is not asked after.
        """
        if self._slot is None or self._pool.process.exitcode != _UNKNOWN:
            return False
        deadline = time.monotonic() + _ENDS
        while not (ended := guard.has_ended(self._forkserver)) and time.monotonic() < deadline:
            time.sleep(_ENDS / 50)  # what it had open is closed a moment before it is gone
        return ended

    @property
    def idle(self) -> bool:
        return not self.tasks

    @property
    def lent(self) -> bool:
        """Whether what runs there waits for other work, so that another process may run meanwhile."""
        return not self.idle and self._lending.lent

    def refuse(self, refused: bool, *, here: bool = False) -> None:
        """Say whether what runs there may not wait for other work; ``here``: since nothing may on this host."""
        self._lending.refuse(refused, here=here)

    @property
    def where(self) -> Place:
        """The host and the process."""
        return Place(HOST, self.pid)

    @property
    def resident(self) -> float:
        """MiB that its process holds in memory; 0.0 if it is dead."""
        try:
            return float(psutil.Process(self.pid).memory_info().rss) / 2**20
        except psutil.Error:
            return 0.0

    @property
    def cpu(self) -> float:
        """Seconds of CPU that its process has had; 0.0 if it is dead."""
        try:
            return float(sum(psutil.Process(self.pid).cpu_times()[:2]))
        except psutil.Error:
            return 0.0

    def say_when_ready(self) -> None:
        """Have a task of no meaning, numbered 0, reported as done when the process has come up."""
        self._pool.apply_async(process.hello, callback=lambda _none: self._on_done(self, [(0, None)]))

    def knows(self, key: str) -> bool:
        """Whether its process has been introduced to this map; counts along with ``process.py``."""
        return key in self._known_maps

    def forget(self, key: str, *, at_once: bool = False) -> None:
        """Have its process forget a map that is over, with its next task; or at once, also if that frees much."""
        size = self._known_maps.forget(key) or 0
        if key not in self._introduced or self.discarded:
            return
        self._introduced.discard(key)
        self._over.append(key)
        if at_once or size >= LARGE:
            self._pool.apply_async(process.forget, (self._over,))
            self._over = []

    def submit(self, number: int, task: Task, note: Any) -> None:
        """Give it a task; ``note`` is kept in ``tasks`` until the task is done."""
        if isinstance(task, ChunkTask) and task.introduction is not None:
            self._known_maps.add(task.key, task.introduction.size)
            self._introduced.add(task.key)
        over, self._over = tuple(self._over), []
        at_once = self._has_read_all and _bytes_in(task) <= lone_pool.AT_ONCE
        self.tasks[number] = note
        self._record({number: task})
        self._recall_at, self._recalled = time.monotonic() + _RECALL, False
        self.given += 1
        self._clearing.sweep()
        give = self._pool.apply_at_once if at_once else self._pool.apply_async
        give(
            process.run,
            (number, task, over),
            callback=lambda outcome: self._on_done(self, [(number, outcome)]),
            # Only if Pool can't bring the outcome here: nobody would ever hear of the task again.
            error_callback=lambda error: self._unheard(error, number),
        )

    @property
    def _has_read_all(self) -> bool:
        """Whether nothing that was given to the process is still on its way there."""
        waiting = self._pool.unanswered
        return not waiting or (waiting == len(self.tasks) == 1 and self._marker.task in self.tasks)

    def submit_batch(self, batch: BatchTask, notes: Sequence[Any]) -> None:
        """Give it several jobs at once, as it has nothing to do; ``notes``: of each, as for ``submit``."""
        numbers = [number for number, _task in batch.jobs]
        self.tasks.update(zip(numbers, notes, strict=True))
        self._record(dict(batch.jobs))
        self.given += len(numbers)
        self._batch, self._recall_at, self._recalled = batch.number, time.monotonic() + _RECALL, False
        self._pool.apply_async(
            process.run_batch,
            (batch,),
            callback=lambda unkept: self._batch_ended(numbers, unkept),
            error_callback=self._unheard,
        )

    def _batch_ended(self, numbers: list[int], unkept: list[tuple[int, JobOutcome]]) -> None:
        ends = dict.fromkeys(numbers, NOT_RUN) | dict(self._ledger.read()) | dict(unkept)
        self._on_done(self, [*reversed(ends.items())])  # so that each not run can go to the front of a queue

    def _unheard(self, error: BaseException, number: int = 0) -> None:
        self._unheard_task = number
        self.kill(f"its outcome could not be sent: {error!r:.200}")

    def is_first_of_batch(self, number: int) -> bool:
        """Whether this is the first job of the batch that the process has."""
        return number == self._batch

    @property
    def has_batch(self) -> bool:
        """Whether what it has is a batch; else it has at most one task besides the one that runs."""
        return self._batch > 0

    @property
    def recall_due(self) -> float | None:
        """When ``recall`` may be called, on the monotonic clock; None: nothing waits behind a task."""
        return self._recall_at if len(self.tasks) > 1 else None

    def recall(self) -> list[tuple[int, Any]]:
        """Part with all but the task that runs.

        Returns:
            As for ``on_done``, that these tasks will not be run here, the last one first; and the ends of those of
            a batch that have run. Empty at first, when the process has only been asked to begin nothing more; call
            again when it is due.
        """
        last = next(reversed(self.tasks))
        if not self._batch and self._marker.task >= last:
            self._recall_at = math.inf  # it runs already, and its predecessor's end is on the way
            return []
        if not self._recalled:
            self._marker.recall(self._batch or last)
            self._recalled, self._recall_at = True, time.monotonic() + _SETTLED
            return []
        if time.monotonic() < self._recall_at:
            return []
        if not self._batch:
            return [(last, NOT_RUN)]
        running = max(self._marker.task, self._batch)  # the first one stays until the process answers
        ends = {number: NOT_RUN for number in self.tasks if number > running}
        before = {number: end for number, end in self._ledger.read() if number < running and number in self.tasks}
        return [*reversed((before | ends).items())]

    def done(self, number: int) -> Any:
        """Forget a task; returns its note, None if there is none."""
        note = self.tasks.pop(number, None)
        if not self.tasks:
            self._batch = 0
            if self._slot is not None:
                self._labels.clear()
                self._slot.say(())
        return note

    def _record(self, tasks: Mapping[int, Task]) -> None:
        """Say in the flight record what the process has now, before it gets it."""
        if self._slot is None:
            return
        labels = {number: text for number, text in self._labels.items() if number in self.tasks}
        for number, task in tasks.items():
            note = self.tasks[number]
            if isinstance(task, ChunkTask):
                incarnation = note.store.keys.incarnation
                labels[number] = flight.label(
                    number, flight.CHUNK, task.job_id, incarnation, str(task.range), self.index
                )
            elif (execution := getattr(note, "execution", None)) is not None:  # else it is an errand
                labels[number] = flight.label(number, flight.JOB, execution.job_id, execution.id)
        self._labels = labels
        self._slot.say(labels.values())

    @property
    def task(self) -> int:
        """The number of the task that runs, or ran last; 0: none has."""
        return self._marker.task

    @property
    def running(self) -> Any:
        """The note of the task that runs; None if none of its tasks does."""
        return self.tasks.get(self._marker.task)

    @property
    def awaited(self) -> int | None:
        """What its process has not begun: the number of a task, 0: to be ready; None: it works, or has none."""
        if self.stillborn:
            return 0
        return next(iter(self.tasks)) if self.tasks and self.running is None else None

    @property
    def since(self) -> float:
        """When the task that runs began, on the monotonic clock."""
        return time.monotonic() - self._marker.seconds

    @property
    def item(self) -> tuple[int, float] | None:
        """The index of the item that runs, and when it began, on the monotonic clock; None: none does."""
        index, since = self._marker.running_item
        return None if index < 0 else (index, since)

    def stop(self, number: int) -> None:
        """Ask a task to end before its next item."""
        self._marker.stop(number)

    def stop_all(self) -> None:
        """Ask every task, also those to come, to end before its next item."""
        self._marker.stop_all()

    def read(self, outcome: ChunkOutcome) -> ChunkOutcome:
        """The outcome of a chunk, in Unix time, with all of its values, also those that did not travel with it."""
        values, started = self._clearing.take(outcome.values), clock.SERVER.at(outcome.started)
        return replace(outcome, values=values, started=started)

    def kill(self, reason: str) -> None:
        """Kill the process; its death is then reported as any other.

        One that has died already, though nobody has heard of it, has died of something else: we were stopped
        meanwhile, and what ran there is over its time by now.
        """
        if not self._pool.has_ended:
            self.killed_for, self.killed_at = reason, time.monotonic()
        keeper.kill_group(self.pid)

    def discard(self) -> None:
        """Free everything; afterwards ``tasks`` holds what will never be done here."""
        if not self.discarded:
            self.discarded = True  # its death may be reported all the same, if it was alive until now
            self._pool.discard()
            if self._slot is not None:
                self._slot.close()
            if self._batch:  # what it had run of it is not lost with the process
                self._on_done(self, [(number, end) for number, end in self._ledger.read() if number in self.tasks])

    @property
    def death(self) -> Death:
        """How its process died, once it is dead."""
        index, _since = self._marker.running_item
        seconds = self._marker.seconds
        return Death(
            task=self._unheard_task or self._marker.task,  # it may be at the next one by the time it is killed
            item=None if index < 0 else index,
            began=clock.SERVER.now() - seconds,
            seconds=seconds,
            exit_code=self._pool.process.exitcode,
            killed_for=self.killed_for,
            starved=self.starved,
            initializing=index == marker.INITIALIZER,
            reading=self._marker.reading,
        )
