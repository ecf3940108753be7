"""What is measured of taskq by itself; each function returns the rows of a table."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

import taskq
from benchmarks import harness, processes, works
from benchmarks.measure import seconds
from benchmarks.peers import PROCESSES
from benchmarks.peers.taskq import worker
from benchmarks.report import Row, number
from benchmarks.works import Scale
from taskq.redis import keys, services

_GONE = 15.0  # seconds a worker may take to end
_HANG = 60.0  # seconds after which something that should happen does not
_MIB = 2**20
_TIMES = 5  # for what is measured several times in a row


@contextmanager
def queue(*options: str) -> Iterator[taskq.Queue]:
    """A queue on a server of its own, with a worker that is ready, its processes included.

    Args:
        options: More of those of ``taskq worker``.
    """
    spared = processes.descendants()
    try:
        with harness.server() as url, _worker(url, *options):
            q = taskq.Queue(url=url)
            until(lambda: services.live(q.connection), "the worker is ready")
            q.map(works.nap, [0.05] * 2 * PROCESSES, chunksize=1).get(timeout=_HANG)
            yield q
            q.connection.close()
    finally:
        processes.kill_all_but(spared)


@contextmanager
def _worker(url: str, *options: str) -> Iterator[None]:
    process = subprocess.Popen(worker(url, *options), stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(_GONE)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until it is true, as briefly as possible, but not for ever."""
    deadline = time.monotonic() + _HANG
    while not condition():
        if time.monotonic() > deadline:
            raise harness.FailedError(f"not true after {_HANG:.0f} s: {what}")
        time.sleep(0.002)


def start(rounds: int) -> list[Row]:
    """From the command to a service that takes jobs, and to the result of a first one."""
    registered, answered = [], []
    for _ in range(rounds):
        with harness.server() as url:
            q = taskq.Queue(url=url)
            job = q.enqueue(works.noop, 0)
            began = time.perf_counter()
            with _worker(url):
                until(lambda: services.live(q.connection), "the worker is ready")  # noqa: B023
                registered.append(time.perf_counter() - began)
                job.latest_result(timeout=int(_HANG))
                answered.append(time.perf_counter() - began)
            q.connection.close()
    return [
        ("`taskq worker` ready for work", f"{statistics.median(registered):.2f} s"),
        ("... and the result of a job that waited for it", f"{statistics.median(answered):.2f} s"),
    ]


def local(rounds: int) -> list[Row]:
    """``taskq.local()``: until its queue is there, and until all of it is gone again."""
    up, down = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        with taskq.local(PROCESSES) as q:
            up.append(time.perf_counter() - began)
            q.map(works.noop, range(PROCESSES)).get(timeout=_HANG)
            began = time.perf_counter()
        down.append(time.perf_counter() - began)
    return [
        ("`taskq.local()` up", f"{statistics.median(up):.2f} s"),
        ("... and down", f"{statistics.median(down):.2f} s"),
    ]


def idle(q: taskq.Queue, scale: Scale) -> list[Row]:
    """What the service and its pool processes cost that have nothing to do."""
    info = services.live(q.connection)[0]
    tree = {psutil.Process(pid) for pid in (info.pid, *info.pids)}

    def commands() -> int:
        stats: Any = q.connection.info("stats")
        return stats["total_commands_processed"]

    seen, cpu, began = commands(), processes.cpu(tree), time.perf_counter()
    time.sleep(2 * scale.idle)
    took = time.perf_counter() - began
    return [
        ("idle service, of a core", f"{processes.used_since(cpu) / took:.2%}"),
        ("idle service, Redis commands/s", number((commands() - seen - 1) / took)),
    ]


def latency(q: taskq.Queue, scale: Scale) -> list[Row]:
    """Here with its tail."""

    def once() -> None:
        q.enqueue(works.noop, 1).latest_result(timeout=5)

    times = sorted(seconds(once) * 1000 for _ in range(3 * scale.samples))
    return [
        ("one no-op job after the other, median", f"{statistics.median(times):.2f} ms"),
        ("one no-op job after the other, 99th percentile", f"{times[int(len(times) * 0.99)]:.2f} ms"),
    ]


def enqueue(q: taskq.Queue, scale: Scale) -> list[Row]:
    """How fast jobs are put on a queue, medians; nobody takes them from this one."""
    other = taskq.Queue("untaken", connection=q.connection)
    count = scale.most_jobs // 2

    def many() -> None:
        other.enqueue_many([other.prepare_data(works.noop, (n,)) for n in range(count)])

    def singly() -> None:
        for n in range(count // 10):
            other.enqueue(works.noop, n)

    def rate(put: Callable[[], None], jobs: int) -> str:
        times = []
        for _ in range(_TIMES):
            times.append(seconds(put))
            other.empty()
        return f"{number(jobs / statistics.median(times))} jobs/s"

    rows = [
        (f"`enqueue_many`, {count:,} jobs", rate(many, count)),
        ("`enqueue`, one by one", rate(singly, count // 10)),
    ]
    other.delete()
    return rows


def memory(q: taskq.Queue, scale: Scale) -> list[Row]:
    """Memory while a generator of small items is pushed and run."""
    items = scale.huge
    process = psutil.Process(services.live(q.connection)[0].pid)
    q.map(works.noop, range(items // 100)).get()
    seen: list[tuple[str, float, float]] = []

    def look(when: str) -> None:
        redis: Any = q.connection.info("memory")
        seen.append((when, process.memory_info().rss / _MIB, redis["used_memory"] / _MIB))

    look("idle")
    began = time.perf_counter()
    job = q.map(works.noop, (n for n in range(items)))
    pushed = time.perf_counter() - began
    look("pushed")
    for tenth in (1, 5, 9):
        until(lambda: job.progress.done >= items * tenth / 10, f"{tenth * 10} % done")  # noqa: B023
        look(f"{tenth * 10} % done")
    job.wait(timeout=_HANG)
    took = time.perf_counter() - began
    look("done")
    rows = [(when, f"{service:.0f} MiB", f"{redis:.0f} MiB") for when, service, redis in seen]
    job.delete()
    return [*rows, (f"{items:,} items: pushed in {pushed:.1f} s, done in {took:.1f} s", "", "")]


def gaps(q: taskq.Queue, rounds: int) -> list[Row]:
    """From a kill -9 in mid-map to the start of the next chunk by a process that is new."""
    rows = []
    items = 150
    for what in ("pool process", "service"):
        gone, doubled, lost = [], 0, 0
        for _ in range(rounds):
            until(lambda: services.live(q.connection), "the service is there")
            job = q.map(works.nap, [0.02] * items, chunksize=1)
            until(lambda: job.progress.done >= items // 8, "the map is on its way")  # noqa: B023
            info = services.live(q.connection)[0]
            old = set(info.pids)
            at = time.time()
            os.kill(info.pids[0] if what == "pool process" else info.pid, signal.SIGKILL)
            lost += items - len(job.get(timeout=_HANG))
            doubled += len(job.result_list) - items
            entries: Any = q.connection.xrevrange(keys.TIMELINE, count=2 * items)
            mine = [entry for _id, entry in entries if entry[b"job"].decode() == job.id]
            starts = [float(e[b"start"]) for e in mine if int(e[b"pid"]) not in old and float(e[b"start"]) > at]
            gone.append(min(starts) - at)
        median, worst = statistics.median(gone), max(gone)
        rows.append((what, f"{median * 1000:.0f} ms", f"{worst * 1000:.0f} ms", str(lost), str(doubled)))
    return rows
