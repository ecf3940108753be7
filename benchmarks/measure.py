"""What is measured; each function returns rows of a table."""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Callable
from typing import Any

import psutil

import taskq
from benchmarks import works
from taskq import keys, services

ROUNDS = 5
Row = tuple[str, ...]


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def beside_a_pool(q: taskq.Queue, processes: int) -> list[Row]:
    """The same maps on taskq and on a bare Pool, in turn; results in the caller's hands both times."""
    rows = []
    with multiprocessing.Pool(processes) as pool:
        for name, function, items in (
            ("1 M no-op items", works.noop, range(1_000_000)),
            ("seed's compute x 16", works.compute, range(16)),
        ):
            pool.map(function, items[:processes])
            q.map(function, items[:processes]).get()
            pairs = [
                (seconds(lambda: q.map(function, items).get()), seconds(lambda: pool.map(function, items)))  # noqa: B023
                for _ in range(ROUNDS)
            ]
            ours = statistics.median(pair[0] for pair in pairs)
            bare = statistics.median(pair[1] for pair in pairs)
            ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
            rate = f"{len(items) / ours:,.0f} items/s"
            rows.append((name, f"{ours:.3f} s ({rate})", f"{bare:.3f} s", f"{ratio:.2f}"))
    return rows


def latency(q: taskq.Queue) -> list[Row]:
    """One no-op job on an idle worker, from enqueue to the result in the caller's hands."""

    def once() -> None:
        q.enqueue(works.noop, 1).latest_result(timeout=5)

    for _ in range(50):
        once()
    times = sorted(seconds(once) * 1000 for _ in range(500))
    return [("one no-op job", f"{statistics.median(times):.2f} ms", f"{times[-5]:.2f} ms")]


def memory(q: taskq.Queue, items: int = 10_000_000) -> list[Row]:
    """Memory while a generator of small items is pushed and run."""
    process = psutil.Process(services.live(q.connection)[0].pid)
    q.map(works.noop, range(100_000)).get()
    seen: list[tuple[str, float, float]] = []

    def look(when: str) -> None:
        redis: Any = q.connection.info("memory")
        seen.append((when, process.memory_info().rss / 2**20, redis["used_memory"] / 2**20))

    look("idle")
    began = time.perf_counter()
    job = q.map(works.noop, (n for n in range(items)))
    pushed = time.perf_counter() - began
    look("pushed")
    for tenth in (1, 5, 9):
        while job.progress.done < items * tenth / 10:
            time.sleep(0.01)
        look(f"{tenth * 10} % done")
    job.wait()
    took = time.perf_counter() - began
    look("done")
    rows = [(when, f"{service:.0f} MiB", f"{redis:.0f} MiB") for when, service, redis in seen]
    job.delete()
    return [*rows, (f"{items:,} items: pushed in {pushed:.1f} s, done in {took:.1f} s", "", "")]


def gaps(q: taskq.Queue) -> list[Row]:
    """From a kill -9 in mid-map to the start of the next chunk by a process that is new."""
    rows = []
    for what in ("pool process", "service"):
        gone, doubled = [], 0
        for _ in range(ROUNDS):
            job = q.map(works.nap, [0.02] * 150, chunksize=1)
            while job.progress.done < 20:  # noqa: PLR2004
                time.sleep(0.005)
            info = services.live(q.connection)[0]
            old = set(info.pids)
            at = time.time()
            os.kill(info.pids[0] if what == "pool process" else info.pid, signal.SIGKILL)
            assert len(job.get(timeout=60)) == len(job.result_list) == 150  # noqa: PLR2004
            entries: Any = q.connection.xrevrange(keys.TIMELINE, count=300)
            mine = [entry for _id, entry in entries if entry[b"job"].decode() == job.id]
            starts = [float(e[b"start"]) for e in mine if int(e[b"pid"]) not in old and float(e[b"start"]) > at]
            gone.append(min(starts) - at)
            doubled += len(mine) - 150
        worst = f"{max(gone) * 1000:.0f} ms"
        rows.append((what, f"{statistics.median(gone) * 1000:.0f} ms", worst, "0", str(doubled)))
    return rows
