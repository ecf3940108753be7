"""``taskq demo``: all of it at work, with nothing installed but the package."""

from __future__ import annotations

import multiprocessing
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import taskq
from taskq.redis import keys
from taskq_workers.computing import compute, shorter
from taskq_workers.settings import usable_cores

SMALL, LARGE = 8, 200


@click.command()
@click.option("--processes", type=int, default=None, help="Pool processes. [default: the cores it may use]")
@click.option("--items", type=int, default=LARGE, show_default=True, help="Items of the second map.")
def demo(processes: int | None, items: int) -> None:
    """Start a private server and real workers, map the seed's compute over 8 items, then a larger map.

    Shows the results, what ran where, and the time beside a bare multiprocessing.Pool of the same size. Leaves
    nothing behind.
    """
    console = Console()
    processes = processes or usable_cores()
    began = time.perf_counter()
    with taskq.local(processes=processes) as queue:
        ready = time.perf_counter() - began
        console.print(f"A private server and a service with {processes} pool processes, ready in {ready:.2f} s.\n")
        first = _map(console, queue, compute, range(SMALL))
        console.print(f"[dim]>>>[/dim] job.get()\n{first.results}")
        console.print(f"[dim]>>>[/dim] job.result_list\n{first.job.result_list!r}\n")
        second = _map(console, queue, shorter, range(items))
        console.print(f"[dim]>>>[/dim] job\n{second.job!r}")
        console.print(f"[dim]>>>[/dim] job.return_value()\n{second.job.return_value()}\n")
        console.print(_what_ran_where(queue, {run.job.id: run.function.__name__ for run in (first, second)}))
    console.print(_beside_a_pool(console, processes, (first, second)))


@dataclass(frozen=True)
class Run:
    """One map of the demo, and how long it took from push to results."""

    function: Callable[[int], int]
    job: taskq.MapJob
    results: list[int]
    seconds: float


def _map(console: Console, queue: taskq.Queue, function: Callable[[int], int], items: range) -> Run:
    console.print(f"[dim]>>>[/dim] job = q.map({function.__name__}, range({len(items)}))")
    console.print("[dim]>>>[/dim] job.wait(progress=True)")
    began = time.perf_counter()
    job = queue.map(function, items)
    job.wait(progress=True)
    results = job.get()
    return Run(function, job, results, time.perf_counter() - began)


def _what_ran_where(queue: taskq.Queue, names: dict[str, str]) -> Table:
    table = Table(
        "host", "pool process", "map", "chunks", "items", "busy", title="What ran where", title_justify="left"
    )
    rows: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0, 0, 0.0])
    entries: Any = queue.connection.xrange(keys.TIMELINE)
    for _id, raw in entries:
        entry = {name.decode(): value.decode() for name, value in raw.items()}
        row = rows[entry["host"], f"{entry['lane']} (pid {entry['pid']})", names[entry["job"]]]
        row[0] += 1
        row[1] += int(entry["items"])
        row[2] += float(entry["end"]) - float(entry["start"])
    for (host, process, name), (chunks, count, busy) in sorted(rows.items(), key=lambda row: (row[0][2], row[0])):
        table.add_row(host, process, name, str(int(chunks)), str(int(count)), f"{busy:.2f} s")
    return table


def _beside_a_pool(console: Console, processes: int, runs: tuple[Run, ...]) -> Table:
    table = Table("map", "taskq", "Pool.map", "ratio", title="Time, the two in turn", title_justify="left")
    with console.status("the same on a bare multiprocessing.Pool ..."), multiprocessing.Pool(processes) as pool:
        pool.map(abs, range(processes))  # started and warm, as the workers were
        for run in runs:
            began = time.perf_counter()
            pool.map(run.function, range(len(run.results)))
            bare = time.perf_counter() - began
            name = f"{run.function.__name__} x {len(run.results)}"
            table.add_row(name, f"{run.seconds:.2f} s", f"{bare:.2f} s", f"{run.seconds / bare:.2f}")
    return table
