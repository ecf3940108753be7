"""A few numbers in memory that a lane shares with its pool process: what runs there, and what should stop.

Neither side ever waits for the other: each number has one writer, and is read whenever somebody wants to know.

    number   written by     says
    TASK     pool process   the task that runs, or ran last; 0: none has; UNBORN: not ready for the first one
    BEGAN    pool process   when that task began, in ns of the monotonic clock, which all processes share
    ITEM     pool process   index of the item that runs, if items are timed; else of one that ran shortly before;
                            NONE: no item runs; INITIALIZER: the map's initializer does
    SINCE    pool process   when that item began, as BEGAN
    STOP     service        tasks which should end before their next item (two: a lane has no more); ALL: any
    FIRST,   service        the tasks that were taken back, while the process has not come to them: it may have any
    LAST                    number of these still before it, behind one that runs long
    READS    pool process   1: it reads a task, or has read one that has not begun
    WAITS,   both           whether the process's place is lent, and may be: see ``lending.py``
    REFUSED
"""

from __future__ import annotations

import time
from array import array
from ctypes import c_longlong
from typing import Any, NamedTuple

UNBORN = -1
ALL = -1
NONE = -1
INITIALIZER = -2

NUMBERS = 11
_TASK, _BEGAN, _ITEM, _SINCE, _STOP, _STOP_TOO, _FIRST, _LAST, _READS, WAITS, REFUSED = range(NUMBERS)


class Marker:
    """Both sides' view of the numbers.

    Args:
        numbers: As ``allot`` made them.
    """

    def __init__(self, numbers: Any) -> None:
        self._numbers = numbers

    # -- of the pool process ---------------------------------------------------------------------------

    def begin(self, task: int) -> None:
        """A task begins; 0: the process is ready for the first."""
        self._numbers[_ITEM] = NONE
        self._numbers[_BEGAN] = time.monotonic_ns()
        self._numbers[_TASK] = task
        self._numbers[_READS] = 0

    def reads(self, task: bool) -> None:
        """Whether a task has come, and is read; else it waits for one."""
        self._numbers[_READS] = task

    def item(self, index: int) -> None:
        """An item begins."""
        self._numbers[_SINCE] = time.monotonic_ns()
        self._numbers[_ITEM] = index

    def initializer(self) -> None:
        """The initializer of the task's map begins."""
        self.item(INITIALIZER)

    def rest(self) -> None:
        """The task's last item has ended."""
        self._numbers[_ITEM] = NONE

    def stops(self, task: int) -> bool:
        """Whether the service wants this task to end before its next item."""
        numbers = self._numbers
        asked = numbers[_STOP] in (task, ALL) or numbers[_STOP_TOO] == task
        return asked or numbers[_FIRST] <= task <= numbers[_LAST]

    # -- of the service --------------------------------------------------------------------------------

    @property
    def stillborn(self) -> bool:
        """Whether the process has not even got ready to run anything."""
        return int(self._numbers[_TASK]) == UNBORN

    @property
    def task(self) -> int:
        """The number of the task that runs, or ran last; 0: none has."""
        return max(0, int(self._numbers[_TASK]))

    @property
    def reading(self) -> bool:
        """Whether it reads a task, or has read one that has not begun."""
        return bool(self._numbers[_READS])

    @property
    def seconds(self) -> float:
        """How long ago that task began."""
        return (time.monotonic_ns() - self._numbers[_BEGAN]) / 1e9  # type: ignore[no-any-return]

    @property
    def running_item(self) -> tuple[int, float]:
        """The index of the item that runs, NONE or INITIALIZER; and when it began, on the monotonic clock."""
        return int(self._numbers[_ITEM]), self._numbers[_SINCE] / 1e9

    def stop(self, task: int) -> None:
        """Ask a task to end before its next item."""
        slot = _STOP if self._numbers[_STOP] < self._numbers[_STOP_TOO] else _STOP_TOO
        if self._numbers[_STOP] != ALL and task not in (self._numbers[_STOP], self._numbers[_STOP_TOO]):
            self._numbers[slot] = task  # in place of the older one

    def recall(self, task: int) -> None:
        """Ask the process not to begin this task, nor those that were taken back before and it has not come to."""
        numbers = self._numbers
        if not numbers[_LAST] or self.task > numbers[_LAST]:  # it has passed all of these
            numbers[_FIRST] = task  # before LAST: until that is written, there are none
        numbers[_LAST] = task

    def stop_all(self) -> None:
        """Ask every task, also those to come, to end before its next item."""
        self._numbers[_STOP] = ALL


def fresh() -> array[int]:
    """The numbers of a process that is not ready yet."""
    return array("q", [UNBORN, 0, NONE, 0, 0, 0, 0, 0, 0, 0, 0])


def allot(ctx: Any) -> Any:
    """Shared memory for one marker; to be handed to the process at its start."""
    return ctx.RawArray(c_longlong, fresh().tolist())


class Left(NamedTuple):
    """What the numbers of a process say, of which nothing else is left.

    Args:
        task: That runs, or ran last; 0: none has.
        item: Its index; None: unknown; or ``INITIALIZER``.
        seconds: For how long the task has run.
        waits: It waits for other work.
    """

    task: int
    item: int | None
    seconds: float
    waits: bool


def read(numbers: Any) -> Left:
    """What they say now."""
    item = None if numbers[_ITEM] == NONE else numbers[_ITEM]
    seconds = (time.monotonic_ns() - numbers[_BEGAN]) / 1e9
    return Left(max(0, numbers[_TASK]), item, max(0.0, seconds), bool(numbers[WAITS]))
