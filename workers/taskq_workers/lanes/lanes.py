"""The row of lanes of one service: as many pool processes as it has, replaced when they die."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from taskq_workers import build
from taskq_workers.lanes import guard
from taskq_workers.lanes.lane import Lane, OnDeath, OnDone
from taskq_workers.lanes.lone_pool import context
from taskq_workers.lanes.oom import OomKills
from taskq_workers.link.flight import Flight
from taskq_workers.link.tasks import BatchTask, JobTask, Task
from taskq_workers.settings import Settings

log = logging.getLogger(__name__)

_STILLBORN = 3  # tries in a row of which no process came that was ever ready, after which it is one at a time
_PAUSES = (1.0, 60.0)  # seconds until the next of these tries: at first, and at most
MOST_LENT = 32
"""Processes that wait for other work, of one service, so that others may run. The next that begins to is told."""

_WEIGH = 0.1  # seconds between two looks at the memory of one process
_OTHER_BUILD = (
    "the installation of taskq has changed under this worker: a new pool process would be of another build than "
    "its service, and is not used. Restart the worker"
)
_INSTALLED_AGAIN = 30.0  # seconds until it is looked whether the former installation is back
_PATIENCE = (120, 3600)
"""Seconds for which a process may do nothing at all before it is ready, or has begun with the task that it has;
twice as many each time that one has not got ready, up to so many. User code runs at its start, too: it may wait
for a lock that a thread of the forkserver held, or for a file server."""
_AWAITED = 15
"""Times as long it may take if it does something: a machine may be so busy that it hardly gets to it."""
_NO_START = 0.2  # seconds until the next try where a process can't be started: no memory, no forkserver, ...


class _Awaited(NamedTuple):
    """What a process has not done yet. It is counted in looks: who was stopped together with it has not looked."""

    what: int  # as ``Lane.awaited`` says
    cpu: float  # seconds that it has had
    looks: int = 0
    still: int = 0  # of these the last ones in which it has had none

    def since(self, before: _Awaited | None) -> _Awaited:
        """The same, with what the last look has found."""
        if before is None or before.what != self.what:
            return self
        return self._replace(looks=before.looks + 1, still=before.still + 1 if before.cpu == self.cpu else 0)


class Lanes:
    """Makes, fills and replaces lanes; used by the thread that owns the service's state.

    (Where processes are elsewhere: ``engines/seats.py``.)

    Args:
        settings: The worker's.
        title: Begins the processes' titles.
        on_done: Called (in a thread of a Pool) with a lane, and of each of its tasks that has ended the number and
            the outcome.
        on_death: Called (in a thread of a Pool) with a lane whose process was found dead.
        record: Where what they run is noted, too.
        worker: Name of the service.
    """

    stretch = 1.0
    """How much longer than usual chunks are to run that taskq has cut: what it costs to give one differs."""

    distance = 1.0
    """How much longer than usual chunks may run that are queued behind running ones: the way to a lane differs."""

    def __init__(
        self, settings: Settings, title: str, on_done: OnDone, on_death: OnDeath, record: Flight | None = None,
        worker: str = "",
    ) -> None:  # fmt: skip
        self._settings = settings
        self._worker = worker
        self._title = title
        self._on_done = on_done
        self._on_death = on_death
        self._record = record
        self._oom = OomKills()
        self._next = 1
        self._wait_until = 0.0  # on the monotonic clock
        self._stillborn = 0  # processes in a row
        self._failed = 0  # tries in a row in which the system did not start one
        self._trouble = ""
        self._since = 0.0  # when that was found out, on the monotonic clock
        self._patience = _PATIENCE[0]
        self._awaited: dict[Lane, _Awaited] = {}
        self._row: dict[int, Lane] = {}
        self._places = frozenset(range(settings.processes))  # that are never empty for long
        self._worn: set[int] = set()  # places in the row whose lane has done enough
        self._successors: dict[int, Lane] = {}  # what will take these places, once it is ready
        self._leaving: list[Lane] = []  # what had them, and has something to finish
        self._lent: list[Lane] = []  # those that wait for other work, in the order in which they began to
        self._weigh_at: dict[int, float] = {}  # place -> when to look at its memory again, on the monotonic clock
        self.deaths: dict[int, int] = {}  # lane -> processes that died in it

    @cached_property
    def _ctx(self) -> Any:
        """How processes are started; made when there is one to be."""
        return context(self._settings.preload, self._settings.path, self._settings.build)

    def __iter__(self) -> Iterator[Lane]:
        """All lanes that have a process, also those which are being replaced."""
        return iter([*self._row.values(), *self._leaving])

    @property
    def open(self) -> list[Lane]:
        """The lanes that take tasks."""
        return [lane for lane in self._row.values() if not lane.closed]

    @property
    def idle(self) -> list[Lane]:
        """The lanes that have nothing to do."""
        return [lane for lane in self._row.values() if not (lane.closed or lane.tasks)]

    @property
    def size(self) -> int:
        """How many lanes there are when none is missing."""
        return self._settings.processes

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(lane.pid for lane in self)

    @property
    def changing(self) -> bool:
        """Whether a lane is missing, or is being replaced by another."""
        return bool(self._missing or self._worn or self._successors or self._leaving)

    @property
    def _missing(self) -> bool:
        return not self._row.keys() >= self._places

    @property
    def due(self) -> float | None:
        """When to try again to fill the row, on the monotonic clock; None: it is full."""
        return self._wait_until if self._missing else None

    def fill(self) -> None:
        """Start what is missing, and replace what has done enough; with a pause, if processes can't be started."""
        if self._trouble and any(lane.started > self._since and not lane.stillborn for lane in self):
            self._trouble, self._stillborn, self._wait_until = "", 0, 0.0
            self._patience = _PATIENCE[0]
        guard.keep_forkserver_going()
        if time.monotonic() < self._wait_until:
            return
        try:
            for index in range(self._settings.processes):
                if index not in self._row:
                    if self.trouble and self._row:
                        break  # one is on its way, and shows whether others are worth while
                    self._row[index] = self._new(index)
                    if self.trouble:
                        self._row[index].say_when_ready()
            self._replace_worn()
            self._lend()
            self._failed = 0
        except (OSError, EOFError) as error:  # EOF: the forkserver was killed meanwhile; the next is new
            self._note_no_start(error)

    def _new(self, index: int) -> Lane:
        title = f"{self._title} pool process {index}"
        told = self._on_done, self._on_death, self._record
        return Lane(index, self._ctx, self._settings, title, *told, worker=self._worker)

    # -- places that are lent ----------------------------------------------------------------------------

    def _lend(self) -> None:
        """Have a process more for each that waits for other work, as long as it does, and there is a place for it.

        There is none while as many as the service has as a rule run, and do not wait: also those which were beside
        them, and are to end with what they run. Each of them ends, or begins to wait, and then there is one.
        """
        lent = [lane for lane in self if lane.lent]
        if not lent and not self._lent and len(self._row) <= self._settings.processes:
            return  # as in nearly all turns
        self._lent = [lane for lane in self._lent if lane in lent]
        self._lent += [lane for lane in lent if lane not in self._lent]
        for lane in self:
            lane.refuse(lane in self._lent[MOST_LENT:])
        wanted = sum(self._row.get(lane.index) is lane for lane in self._lent[:MOST_LENT])
        extra = [index for index in self._row if index >= self._settings.processes]
        for index in itertools.count(self._settings.processes):
            if len(extra) >= wanted or sum(not lane.lent for lane in self) >= self._settings.processes:
                break
            if index not in self._row:
                self._row[index] = self._new(index)
                extra.append(index)
        for index in sorted(extra, reverse=True)[: max(0, len(extra) - wanted)]:
            lane = self._row[index]
            if not lane.lent:  # else it is one of those that wait
                lane.closed = True
                self._leaving.append(self._row.pop(index))

    # -- replacing what has done enough ----------------------------------------------------------------

    def _replace_worn(self) -> None:
        """Have each worn lane's place taken by a new one as soon as that is ready; nothing waits for its start."""
        for index in self._worn:
            if index not in self._successors:
                self._successors[index] = self._new(index)
                self._successors[index].say_when_ready()
        for index, successor in list(self._successors.items()):
            if not successor.stillborn:
                old = self._row.get(index)
                self._row[index] = self._successors.pop(index)
                self._worn.discard(index)
                if old is not None:
                    self._leaving.append(old)
        for lane in [lane for lane in self._leaving if lane.idle]:
            self._leaving.remove(lane)
            lane.discard()

    def _note_wear(self, lane: Lane, *, submitted: bool) -> None:
        limit = self._settings.wear
        if limit.tasks and submitted and lane.given >= limit.tasks:
            lane.closed = True
            self._worn.add(lane.index)
        if limit.memory and not submitted and time.monotonic() >= self._weigh_at.get(lane.index, 0.0):
            self._weigh_at[lane.index] = time.monotonic() + _WEIGH
            if (resident := lane.resident) > limit.memory and self._row.get(lane.index) is lane:
                log.info("pool process %d holds %.0f MiB: it is replaced", lane.pid, resident,
                         extra={"action": "recycled"})  # fmt: skip
                self._worn.add(lane.index)

    # -- tasks -----------------------------------------------------------------------------------------

    def submit(self, lane: Lane, task: Task, note: Any) -> int:
        """Give a lane a task; returns the task's number, which no other task has."""
        number = self._next
        self._next += 1
        lane.submit(number, task, note)
        self._note_wear(lane, submitted=True)
        return number

    def submit_batch(self, lane: Lane, jobs: Sequence[tuple[JobTask, Any]], seconds: float) -> int:
        """Give a lane several jobs at once, which it runs one after the other; returns the first one's number.

        Args:
            lane: One that has nothing to do.
            jobs: Of each its task, and its note.
            seconds: After so many no further one is begun.
        """
        first = self._next
        self._next += len(jobs)
        tasks = tuple((number, task) for number, (task, _note) in enumerate(jobs, first))
        lane.submit_batch(BatchTask(first, tasks, seconds), [note for _task, note in jobs])
        self._note_wear(lane, submitted=True)
        return first

    def forget(self, key: str, *, at_once: bool = False) -> None:
        """Have all processes forget a map that is over: with their next tasks, or at once."""
        for lane in self:
            lane.forget(key, at_once=at_once)

    def done(self, lane: Lane, number: int) -> Any:
        """A lane has ended a task; returns its note, None if it was forgotten before."""
        note = lane.done(number)
        self._note_wear(lane, submitted=False)
        return note

    def bury(self, lane: Lane) -> None:
        """Discard a lane whose process is dead; what it had finished is in the inbox when this returns."""
        lane.discard()
        lane.starved = not lane.killed_for and self._oom.lately()
        if self._row.get(lane.index) is lane:
            self.deaths[lane.index] = self.deaths.get(lane.index, 0) + 1
        for places in (self._row, self._successors):
            if places.get(lane.index) is lane:
                del places[lane.index]
        if lane in self._leaving:
            self._leaving.remove(lane)
        if lane.stillborn and lane.death.exit_code == build.OTHER:
            self._refuse()
            return
        self._stillborn = self._stillborn + 1 if lane.stillborn else 0
        if lane.stillborn and lane.killed_for:  # it has been waited for long enough to try no second one
            self._note_trouble(f"a pool process was not ready after {self._patience} s", self._stillborn)
            self._patience = min(2 * self._patience, _PATIENCE[1])
        elif self._stillborn >= _STILLBORN:
            died = f"{self._stillborn} pool processes in a row died at their start, by {lane.death.cause}"
            self._note_trouble(died, self._stillborn)

    def _note_no_start(self, error: Exception) -> None:
        self._failed += 1
        if self._failed >= _STILLBORN:
            self._note_trouble(f"no pool process can be started: {error}", self._failed)
            return
        self._wait_until = time.monotonic() + _NO_START
        log.error("a pool process can't be started: %r; tried again in %.1f s", error, _NO_START,
                  extra={"action": "no_start"})  # fmt: skip

    def _note_trouble(self, why: str, in_a_row: int) -> None:
        pause = min(_PAUSES[0] * 2.0 ** max(0, in_a_row - _STILLBORN), _PAUSES[1])
        self._trouble, self._since = why, time.monotonic()
        self._wait_until = self._since + pause
        log.error("%s; the next one starts in %.0f s", why, pause, extra={"action": "stillborn"})

    def look(self) -> None:
        """Note what the kernel has killed, and kill what is stuck; to be called about once a second."""
        self._oom.look()
        before, self._awaited = self._awaited, {}
        for lane in [*self, *self._successors.values()]:
            if lane.killed_for or (awaited := lane.awaited) is None:
                continue
            now = self._awaited[lane] = _Awaited(awaited, lane.cpu).since(before.get(lane))
            if max(now.still, now.looks / _AWAITED) >= self._patience:
                why = "it did not begin with a task" if awaited else "it did not get ready"
                log.error("pool process %d is killed: %s in %d s", lane.where.pid, why, now.looks,
                          extra={"action": "stuck"})  # fmt: skip
                lane.kill(why)

    def _refuse(self) -> None:
        """No process can be started: what is installed is not what this service was started from."""
        if not self.trouble:
            log.error("%s", _OTHER_BUILD, extra={"action": "other_build"})
        self._trouble, self._since = _OTHER_BUILD, time.monotonic()
        self._wait_until = time.monotonic() + _INSTALLED_AGAIN
        if all(lane.stillborn for lane in self):  # else those that work would end with it
            guard.stop_forkserver()

    @property
    def trouble(self) -> str:
        """Why no process can be started, for people; "" if there is one, or nothing is known against it."""
        return "" if not self._trouble or any(not lane.stillborn for lane in self) else self._trouble

    def close(self) -> None:
        """Kill all processes and free everything."""
        for lane in [*self, *self._successors.values()]:
            lane.discard()
        self._row.clear()
