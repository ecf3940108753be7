"""An array that all items need: taskq beside itself without sharing, multiprocessing.Pool and joblib's memmapping.

    .venv-bench/bin/python -m benchmarks.shared [--mb 50] [--items 200] [--rounds 3]

Each item adds up the array. All work is done in turn, round after round; the table says seconds, medians of the
rounds' ratios to the first line, how many copies of the array are on the server and were read from it, and by how
much the memory grew that a process has for itself. ``--none``: what a map pays that shares nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

import taskq
from benchmarks.works import noop
from taskq.redis.server import private_server

PROCESSES = 2
_LOOKS = range(16, 20)  # of 20 items, those which measure
Row = tuple[float, float, float, float]  # seconds; copies on the server, and read from it; MiB of a process


def private() -> float:
    """MiB of this process's memory that no other has."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1024


def look(array: Any, n: int) -> tuple[float, int, float]:
    """What an item does, and now and then how much memory its process has: to ask the kernel takes longer."""
    return float(array.sum()), os.getpid(), private() if n % 20 in _LOOKS else 0.0


def _grown(before: list[Any], after: list[Any]) -> float:
    """MiB, of the process in which it is most."""
    was, now = ({pid: mib for _, pid, mib in some if mib} for some in (before, after))
    return max((now[pid] - was[pid] for pid in now if pid in was), default=float("nan"))


def _on_taskq(queue: taskq.Queue, push: Callable[[], taskq.MapJob[Any]], size: int) -> Row:
    def stands() -> tuple[int, int]:
        info = queue.connection.info("all")
        return info["used_memory"], info["total_net_output_bytes"]

    before = queue.map(look, repeat(np.zeros(1000)), range(20), chunksize=1).get()
    used, read = stands()
    began = time.perf_counter()
    job = push()
    copies = (stands()[0] - used) / size
    after = job.get()
    seconds = time.perf_counter() - began
    row = seconds, copies, (stands()[1] - read) / size, _grown(before, after)
    job.delete()
    return row


def _on_pool(array: Any, items: range) -> Row:
    with multiprocessing.get_context("forkserver").Pool(PROCESSES) as pool:
        before = pool.map(partial(look, np.zeros(1000)), range(20), chunksize=1)
        began = time.perf_counter()
        after = pool.map(partial(look, array), items)
        return time.perf_counter() - began, 0.0, 0.0, _grown(before, after)


def _on_joblib(array: Any, items: range) -> Row:
    import joblib

    parallel = joblib.Parallel(PROCESSES)
    before = parallel(joblib.delayed(look)(np.zeros(1000), n) for n in range(20))
    began = time.perf_counter()
    after = parallel(joblib.delayed(look)(array, n) for n in items)
    return time.perf_counter() - began, 0.0, 0.0, _grown(before, after)


def _compare(mb: int, count: int, rounds: int) -> None:
    array = np.random.default_rng(0).random(mb * 125_000)
    items, size = range(count), array.nbytes
    rows: dict[str, list[Row]] = {}
    with taskq.local(processes=1, services=PROCESSES) as queue:
        pushes: dict[str, Callable[[], taskq.MapJob[Any]]] = {
            "in a partial": lambda: queue.map(partial(look, array), items),
            "beside each item": lambda: queue.map(look, repeat(array), items),
            "share=False": lambda: queue.map(partial(look, array), items, share=False),
        }
        ways: dict[str, Callable[[], Row]] = {
            **{f"taskq, {name}": partial(_on_taskq, queue, push, size) for name, push in pushes.items()},
            "multiprocessing.Pool": lambda: _on_pool(array, items),
            "joblib, memmapping": lambda: _on_joblib(array, items),
        }
        for _ in range(rounds):
            for name, way in ways.items():
                rows.setdefault(name, []).append(way())
    first = [row[0] for row in next(iter(rows.values()))]
    print(f"| {mb} MB, {count} items | seconds | times | on the server | read from it | MiB more of a process |")
    print("|---|---|---|---|---|---|")
    for name, found in rows.items():
        ratio = statistics.median(row[0] / base for row, base in zip(found, first, strict=True))
        seconds, copies, read, grown = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"| {name} | {seconds:.2f} | {ratio:.2f} | {copies:.2f} | {read:.2f} | {grown:.0f} |")


def _none(rounds: int) -> None:
    """Pushes that share nothing, with and without looking whether they do, in turn."""
    items = {"range(200,000)": range(200_000), "tuples": [(n, str(n)) for n in range(50_000)],
             "arrays of 4 KiB": [np.full(512, n) for n in range(4000)]}  # fmt: skip
    with private_server() as url:
        queue = taskq.Queue(url=url)
        for name, some in items.items():
            ratios = []
            for number in range(rounds):
                took = {}
                for share in (True, False) if number % 2 else (False, True):
                    began = time.process_time()
                    queue.map(noop, some, share=share).delete()
                    took[share] = time.process_time() - began
                ratios.append(took[True] / took[False])
            print(f"{name}: {statistics.median(ratios):.3f} times the producer's CPU time of share=False")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--mb", type=int, default=50)
    options.add_argument("--items", type=int, default=200)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--none", action="store_true", help="what a map pays that shares nothing")
    told = options.parse_args()
    if told.none:
        _none(told.rounds)
    else:
        _compare(told.mb, told.items, told.rounds)


if __name__ == "__main__":
    main()
