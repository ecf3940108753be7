"""Many processes that sleep, and what a chunk and a plain job cost the service and the server."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import psutil

import taskq
from benchmarks import alone, works
from benchmarks.measure import seconds
from benchmarks.report import Row, number
from benchmarks.works import Scale
from taskq.redis import services

HEAD = ("sleeping processes", "items", "time / ideal, median")
_NAP = 0.1  # seconds
_EACH = 30  # items for each process
_TIMES = 3


def sleeping(processes: int) -> Row:
    """A map of items that sleep, on a service with so many processes."""
    items = [_NAP] * (_EACH * processes)
    with alone.queue("--processes", str(processes)) as q:
        job = q.map(works.nap, items[: 2 * processes], chunksize=1)
        job.get()  # all of them have been started
        took = statistics.median(seconds(lambda: q.map(works.nap, items).get()) for _ in range(_TIMES))
    return str(processes), f"{len(items):,} of {_NAP:g} s", f"{took / (_EACH * _NAP):.3f}"


def values(q: taskq.Queue, scale: Scale) -> list[Row]:
    """No-op maps of items that have to be pickled, each from the call to the list of results."""
    count = scale.most_items
    kinds = {
        "`range`": range(count),
        "list of floats": [n / 7 for n in range(count)],
        "list of dicts of two entries": [{"id": n, "name": f"item {n}"} for n in range(count)],
    }
    rows = []
    for kind, items in kinds.items():
        took = statistics.median(seconds(lambda: q.map(works.noop, items).get()) for _ in range(_TIMES))  # noqa: B023
        rows.append((f"no-op map of a {kind}, {count:,} items", f"{number(count / took)} items/s"))
    return rows


def costs(q: taskq.Queue, scale: Scale) -> list[Row]:
    """Processor time of the service, without its pool processes, and of the server."""
    chunks, jobs = scale.most_jobs // 4, scale.most_jobs // 4

    def chunked() -> None:
        q.map(works.noop, range(chunks), chunksize=1).get()

    def plain() -> None:
        done = q.finished_job_registry.count + jobs
        q.enqueue_many([q.prepare_data(works.noop, (n,), result_ttl=3600) for n in range(jobs)])
        alone.until(lambda: q.finished_job_registry.count >= done, "all jobs are done")

    return [*_cost(q, "a chunk of one item", chunked, chunks), *_cost(q, "a plain job", plain, jobs)]


def _cost(q: taskq.Queue, what: str, work: Callable[[], None], count: int) -> list[Row]:
    service = psutil.Process(services.live(q.connection)[0].pid)
    work()  # processes have imported what they need, and scripts are loaded
    before = _used(service), _served(q)
    work()
    after = _used(service), _served(q)
    return [
        (f"{what}: processor time of {who}", f"{(then - now) / count * 1e6:.0f} µs")
        for who, now, then in zip(("the service", "the server"), before, after, strict=True)
    ]


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _served(q: taskq.Queue) -> float:
    info: Any = q.connection.info("cpu")
    return info["used_cpu_user"] + info["used_cpu_sys"]
