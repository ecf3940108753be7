"""Virtual time, and tasks that share one thread: whoever waits lets another go on.

A task is a greenlet, so what runs in it is the product's own blocking code. It belongs to a process, the unit that
is killed and paused, which belongs to a host, the unit that has clocks.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

from taskq.redis.clock import Clock

MANY = 100_000  # steps; a world takes some thousand
EPOCH = 1_700_000_000.0  # Unix time at which every world begins


class Killed(BaseException):
    """Ends a task whose process was killed; nothing that it still does reaches anybody."""


class Stuck(Exception):  # noqa: N818 - what the world is
    """Something goes round in circles."""


class Host:
    """A machine: its wall clock may be wrong, and its monotonic one began when it was booted.

    Args:
        name: For people.
        offset: Seconds by which its wall clock is ahead.
    """

    def __init__(self, name: str, offset: float = 0.0) -> None:
        self.name = name
        self.offset = offset
        self.booted = 1000.0 + 7.0 * len(name)  # seconds on its monotonic clock when the world began


class Process:
    """What is killed or paused as one."""

    def __init__(self, loop: Loop, name: str, host: Host) -> None:
        self.loop = loop
        self.name = name
        self.host = host
        self.alive = True
        self.resumes = 0.0  # until then nothing of it moves
        self.tasks: dict[Task, None] = {}  # in their order: a set's is another each time
        self.servers_clock = Clock()
        self.own: dict[str, Any] = {}  # as a task's
        self.on_death: list[Callable[[], object]] = []

    def kill(self) -> None:
        """End it here and now, with all that it has in hand."""
        if not self.alive:
            return
        self.alive = False
        for task in list(self.tasks):
            task.end()
        for told in self.on_death:
            told()

    def pause(self, seconds: float) -> None:
        self.resumes = max(self.resumes, self.loop.now + seconds)

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        """Have something done in it; nothing, if it is dead by then."""
        self.loop.at(self.loop.now + seconds, call, self)


class Task:
    """One thread of control."""

    def __init__(self, process: Process, run: Callable[[], object]) -> None:
        self.process = process
        self._run = run
        self.greenlet = greenlet(self._main)
        self.waits = 0  # number of the wait it is in; an older wake is too late
        self.ended = False
        self.own: dict[str, Any] = {}  # what is kept for this thread alone
        process.tasks[self] = None
        process.loop.tasks[self] = None

    def _main(self) -> None:
        try:
            self._run()
        except Killed:
            pass
        except BaseException as error:
            if self.process.alive:
                self.process.loop.crashed(self, error)
        finally:
            self._leave()

    def _leave(self) -> None:
        self.ended = True
        self.process.tasks.pop(self, None)
        self.process.loop.tasks.pop(self, None)

    def end(self) -> None:
        """Leave it where it is, for ever."""
        if self.ended or getcurrent() is self.greenlet:
            return
        if not self.greenlet:  # not begun
            self._leave()
            return
        current, loop = self.process.loop.current, self.process.loop
        loop.current, before = self, getcurrent()
        self.greenlet.parent = before
        self.greenlet.throw(Killed)
        loop.current = current


class Event:
    """Something that tasks wait for."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: list[tuple[Task, int]] = []
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        waiting, self._waiting = self._waiting, []
        for task, number in waiting:
            self._loop.at(
                self._loop.now, lambda task=task, number=number: self._loop.wake(task, number), task.process
            )

    def clear(self) -> None:
        self._set = False

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is set, or for so long; whether it is."""
        if not self._set:
            task = self._loop.current
            self._waiting.append((task, task.waits + 1))
            self._loop.park(seconds)
            self._waiting = [one for one in self._waiting if one[0] is not task]
        return self._set


class Loop:
    """The clock, and what is to happen when."""

    def __init__(self) -> None:
        self.now = 0.0  # seconds since the world began
        self.current: Any = None  # the task that runs; None: none does
        self.acting: Process | None = None  # whose turn it is, if no task of it runs
        self.tasks: dict[Task, None] = {}  # all that have not ended
        self.steps = 0
        self._due: list[tuple[float, int, Callable[[], object], Process | None]] = []
        self._order = itertools.count()
        self._main = getcurrent()
        self.on_crash: Callable[[Task, BaseException], object] = lambda task, error: None

    def crashed(self, task: Task, error: BaseException) -> None:
        self.on_crash(task, error)

    def at(self, moment: float, call: Callable[[], object], process: Process | None = None) -> None:
        """Have something done at a moment; by a process, if given: not while it is paused, nor once it is dead."""
        heapq.heappush(self._due, (moment, next(self._order), call, process))

    def spawn(self, process: Process, run: Callable[[], object], delay: float = 0.0) -> Task:
        task = Task(process, run)
        self.at(self.now + delay, lambda: self.wake(task, 0), process)
        return task

    def wake(self, task: Task, number: int) -> None:
        """Let a task go on, if it is still in this wait."""
        if task.ended or task.waits != number:
            return
        task.waits += 1
        self.current, before = task, self.current
        task.greenlet.parent = getcurrent()
        task.greenlet.switch()
        self.current = before

    def park(self, seconds: float | None) -> None:
        """Let others go on, until somebody wakes the current task, or for so many seconds."""
        task = self.current
        if not task.process.alive:
            raise Killed
        task.waits += 1
        number = task.waits
        if seconds is not None:
            self.at(self.now + max(1e-5, seconds), lambda: self.wake(task, number), task.process)
        self._main.switch()
        if not task.process.alive:
            raise Killed

    def sleep(self, seconds: float) -> None:
        self.park(seconds)

    def run(self, until: float, done: Callable[[], bool]) -> bool:
        """Let the world go on until it is done, or a moment has come; whether it is done.

        Raises:
            Stuck: If it goes round in circles.
        """
        while self._due and not done():
            self.steps += 1
            if self.steps > MANY:
                raise Stuck(f"{self.steps} steps, and it is only {self.now:.3f}")
            moment, order, call, process = heapq.heappop(self._due)
            if process is not None:
                if not process.alive:
                    continue
                if process.resumes > moment:
                    heapq.heappush(self._due, (process.resumes, order, call, process))
                    continue
            if moment > until:
                self.now = until
                return False
            self.now = max(self.now, moment)
            self.acting = process
            call()
        return done()

    def close(self) -> None:
        """End all that still goes on, here and now: else it would be in whatever world is the current one then."""
        self._due.clear()
        for task in list(self.tasks):
            task.process.alive = False
            task.end()
