"""The end of a map, as the process sees it that calls the map's callbacks.

RQ calls them before the end is on record, and the end is recorded when they return: a callback that waited for it
would wait for itself. All items are accounted for by then, so to this process, and to no other, the map has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rq.job import JobStatus

_ends: dict[str, tuple[str, bytes | None, JobStatus]] = {}  # map -> incarnation, when its run began, how it ends


@contextmanager
def about_to_be(status: JobStatus, job: Any) -> Iterator[None]:
    """For the length of the block this process calls the callbacks of a map (of any other job: nothing)."""
    incarnation = getattr(job, "incarnation", "")
    if incarnation:
        _ends[job.id] = incarnation, None, status
    try:
        yield
    finally:
        _ends.pop(job.id, None)


def note(map_id: str, incarnation: str, began: bytes, status: JobStatus) -> None:
    """As ``about_to_be``, for who does not call them himself: a stock worker does, after our code has returned.

    ``began``: what the job's hash says. It says another thing of the next run, which this process need not see.
    """
    _ends.clear()  # it has one job at a time
    _ends[map_id] = incarnation, began, status


def forget(map_id: str) -> None:
    """Its next run begins here."""
    _ends.pop(map_id, None)


def seen(job: Any, status: JobStatus) -> JobStatus:
    """The status of a map as this process is to see it; ``status``: what is on record."""
    if job.id not in _ends or status != JobStatus.STARTED:
        return status
    incarnation, began, end = _ends[job.id]
    if incarnation != job.incarnation:
        return status
    return end if began is None or began == job.connection.hget(job.key, "started_at") else status
