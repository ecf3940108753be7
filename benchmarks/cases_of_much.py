"""Maps of very many chunks, of very many failures, with a huge function; very many maps, and very many jobs.

Each is a function of a server's URL and a size, called in a process of its own; it returns how many bytes a look
at the map makes the server send, or 0 where there is no one map to look at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from rq.command import send_stop_job_command

from benchmarks import works
from benchmarks.alone import until
from taskq import MapJob, Queue
from taskq.errors import TaskqError

_WHILE = 20.0  # seconds a case that would go on for long is looked at


@dataclass(frozen=True)
class Case:
    """A line of the table."""

    name: str
    title: str
    count: int
    run: Callable[[str, int], int]
    explained: str


def noop(url: str) -> None:
    """So that what a first job costs is not counted."""
    Queue(url=url).map(works.noop, range(100)).get()


def look(job: MapJob) -> int:
    """Bytes that the server sends for a look at it, to this caller's connection."""

    def sent() -> int:
        return int(job.connection.client_info()["tot-net-out"])

    sent()
    before = sent()
    told = sent() - before  # what it costs to ask
    before = sent()
    str(job.progress)
    repr(job)
    return sent() - before - told


def chunks(url: str, count: int) -> int:
    queue = Queue(url=url)
    job = queue.map(works.noop, range(count), chunksize=1)

    def claims() -> int:
        return queue.connection.hlen(job.store.keys.claims)

    until(lambda: job.progress.done > count / 1000, "it has begun")
    over = time.monotonic() + _WHILE
    while time.monotonic() < over and job.progress.done < count / 4:
        time.sleep(0.05)
    bytes_of_a_look = look(job)
    send_stop_job_command(queue.connection, job.id)
    until(lambda: job.get_status() == "stopped" and not claims(), "it is closed")
    job.requeue()
    until(lambda: job.get_status() == "started", "it runs again")
    job.cancel()
    until(lambda: job.get_status() == "canceled" and not claims(), "it is closed again")
    job.delete()
    return bytes_of_a_look


def failures(url: str, count: int) -> int:
    job = Queue(url=url).map(works.fails, range(count))
    with suppress(TaskqError, ValueError):
        job.get()
    assert len(job.errors) == count
    assert next(iter(job.errors)) == 0
    return look(job)


def function(url: str, mebibytes: int) -> int:
    data = b"x" * (mebibytes * 2**20)
    job = Queue(url=url).map(lambda n: (time.sleep(0.05), len(data) + n)[1], range(100), chunksize=1)
    assert sum(job.get()) == 100 * len(data) + sum(range(100))
    return look(job)


def maps(url: str, count: int) -> int:
    queue = Queue(url=url)
    for _ in range(count):
        job = queue.map(works.noop, range(2))
    bytes_of_a_look = look(job)
    time.sleep(_WHILE)
    return bytes_of_a_look


def jobs(url: str, count: int) -> int:
    queue = Queue(url=url)
    for first in range(0, count, 1000):  # each is one transaction, for which the server leaves all others waiting
        queue.enqueue_many([queue.prepare_data(works.noop, (n,)) for n in range(first, min(first + 1000, count))])
    time.sleep(_WHILE)
    return 0


CASES = (
    Case("chunks", "a map of {count:,} chunks", 1_000_000, chunks,
         f"pushed, run for {_WHILE:g} s, stopped, run again, cancelled, deleted"),
    Case("failures", "a map of {count:,} failing items", 1_000_000, failures,
         "`get()` raises the first one's error; then the first of `job.errors`"),
    Case("function", "a function of {count} MiB", 100, function, "100 items of 50 ms each, one in a chunk"),
    Case("maps", "{count:,} maps", 100_000, maps, f"of two items each, pushed one by one; {_WHILE:g} s more"),
    Case("jobs", "{count:,} plain jobs", 1_000_000, jobs, f"by `enqueue_many` of 1,000; {_WHILE:g} s more"),
)  # fmt: skip


def explained() -> str:
    return "".join(f"- **{case.title.format(count=case.count)}**: {case.explained}\n" for case in CASES)
