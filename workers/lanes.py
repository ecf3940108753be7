"""The row of lanes of one service: as many pool processes as it has, replaced when they die."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from workers.events import Died, Done, Event
from workers.lane import Lane, context
from workers.settings import Settings
from workers.tasks import Task

log = logging.getLogger(__name__)

_STILLBORN = (3, 1.0)  # after so many processes in a row which died at their start, wait so many seconds

_NO_START = 0.2  # seconds until the next try where a process can't be started: no memory, no forkserver, ...


class Lanes:
    """Makes, fills and replaces lanes; used by the dispatcher's thread only.

    Args:
        settings: The worker's.
        title: Begins the processes' titles.
        post: Puts an event into the dispatcher's inbox; called from the Pools' threads.
    """

    def __init__(self, settings: Settings, title: str, post: Callable[[Event], None]) -> None:
        self._settings = settings
        self._title = title
        self._post = post
        self._ctx = context()
        self._next = 1
        self._wait_until = 0.0  # on the monotonic clock
        self._stillborn = 0  # processes in a row
        self._row: dict[int, Lane] = {}

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._row.values()))

    @property
    def idle(self) -> list[Lane]:
        return [lane for lane in self if lane.idle]

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(lane.pid for lane in self)

    @property
    def due(self) -> float | None:
        """When to try again to fill the row, on the monotonic clock; None: it is full."""
        return self._wait_until if len(self._row) < self._settings.processes else None

    def fill(self) -> None:
        """Start what is missing; with a pause, if they can't be started or all die at their start."""
        if time.monotonic() < self._wait_until:
            return
        for index in range(self._settings.processes):
            if index not in self._row:
                title = f"{self._title} pool process {index}"
                try:
                    self._row[index] = Lane(index, self._ctx, self._settings, title, self._on_done, self._on_death)
                except (OSError, EOFError) as error:  # EOF: the forkserver was killed meanwhile; the next is new
                    self._wait_until = time.monotonic() + _NO_START
                    log.error("a pool process can't be started: %r; tried again in %.1f s", error, _NO_START,
                              extra={"action": "no_start"})  # fmt: skip
                    return

    def submit(self, lane: Lane, task: Task, note: Any) -> int:
        """Give a lane a task; returns the task's number, which no other task has."""
        number = self._next
        self._next += 1
        lane.submit(number, task, note)
        return number

    def bury(self, lane: Lane) -> None:
        """Discard a lane whose process is dead; what it had finished is in the inbox when this returns."""
        lane.discard()
        if self._row.get(lane.index) is lane:
            del self._row[lane.index]
        self._stillborn = self._stillborn + 1 if lane.marker.stillborn else 0
        count, pause = _STILLBORN
        if self._stillborn >= count:
            self._wait_until = time.monotonic() + pause
            log.error(
                "%d pool processes in a row died at their start, the last by %s; the next one starts in %.0f s",
                self._stillborn,
                lane.cause_of_death(),
                pause,
                extra={"action": "stillborn"},
            )

    def close(self) -> None:
        """Kill all processes and free everything."""
        for lane in list(self):
            lane.discard()
        self._row.clear()

    def _on_done(self, lane: Lane, number: int, outcome: Any) -> None:
        self._post(Done(lane, number, outcome))

    def _on_death(self, lane: Lane) -> None:
        self._post(Died(lane))
