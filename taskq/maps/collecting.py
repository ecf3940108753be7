"""Waits for the end of a map, and reads its results meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from taskq.maps.doubts import Doubts, not_in_time
from taskq.maps.gathering import Gathering
from taskq.maps.info import MapInfo
from taskq.maps.outage import through_outages
from taskq.maps.reader import discarded
from taskq.maps.waited import Waited
from taskq.maps.waiting import Events

_REDRAW = 0.1  # seconds between two looks of the progress bar
_READ = (0.05, 0.005, 1.0)  # seconds until a look for new results: the first, one after much came, and at most
_MUCH = 0.01  # seconds it takes to read

T = TypeVar("T")
OnProgress = Callable[[], object] | None


def until_end(job: Waited, timeout: float | None, doubts: Doubts, on_progress: OnProgress = None) -> bool:
    """Wait until the map has ended; returns whether it has, and not the timeout.

    Args:
        job: The map's.
        timeout: Seconds; None: for ever.
        doubts: Looked at while nothing is heard.
        on_progress: Called at the beginning, and whenever there is some.
    """

    def wait(left: float | None) -> bool:
        with Events(job.connection, job.store.keys, left, progress=on_progress is not None) as events:
            while not job.ready():
                if on_progress:
                    on_progress()
                if not events.next(pace=_REDRAW, on_quiet=doubts.look):
                    return bool(job.ready())
        return True

    return through_outages(job.connection, timeout, wait)


def collected(
    job: Waited, timeout: float | None, doubts: Doubts, end: Callable[[Gathering], T], *, despite_failures: bool
) -> T:
    """What ``end`` makes of the results of a map that has ended; all is read anew after an outage.

    Raises:
        WaitTimeoutError: If the map has not ended in time.
        OptionError: If it keeps no results.
    """

    def ask(left: float | None) -> T:
        gathering = _gather(job, left, doubts, despite_failures=despite_failures)
        if gathering is None:
            raise not_in_time(job, timeout)
        return end(gathering)

    return through_outages(job.connection, timeout, ask)


def _gather(job: Waited, timeout: float | None, doubts: Doubts, *, despite_failures: bool) -> Gathering | None:
    """Wait, and read results as they come meanwhile; None if the map has not ended in time.

    With a timeout nothing is read ahead: what was read would be lost with it, and read again the next time.
    """
    first, again, last = _READ
    info = job.store.info()
    if info.terms.discards:
        raise discarded(job.id)
    gathering, pace = Gathering(job.store, info.items), first if timeout is None and info.sealed else last
    with Events(job.connection, job.store.keys, timeout, progress=False) as events:
        while not job.ready():
            if not events.next(look_again=pace, on_quiet=doubts.look):
                return _whole(gathering, info, job) if job.ready() else None
            if events.told_end:
                continue  # what is left is read together with what else there is to know then
            if timeout is not None or (job.store.failed() and not despite_failures):
                pace = last  # nothing is to be read before the end
                continue
            if not info.sealed:
                if not (info := job.store.info()).sealed:
                    continue  # nobody knows how much is to come
                gathering, pace = Gathering(job.store, info.items), first
            began = time.monotonic()
            gathering.read_all()
            # What is read in no time can wait: the look itself takes time from those who work.
            pace = again if time.monotonic() - began > _MUCH else min(2 * pace, last)
    return _whole(gathering, info, job)


def _whole(gathering: Gathering, info: MapInfo, job: Waited) -> Gathering:
    """The same; or one for all items, if more of them could come when it was begun."""
    return gathering if info.sealed else Gathering(job.store, job.store.info().items)
