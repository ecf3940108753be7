"""How long the end of a map takes beside a host that is slowed to a quarter: ``make tail``.

Two workers, of which one takes four times as long for each item. The tail is the time from the moment when the
last item has begun, so that nothing is pending any more, until all results are there; in times that an item
usually takes.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import click

import taskq
from benchmarks import harness, processes
from benchmarks.alone import until
from benchmarks.report import table
from taskq.redis import services

PROCESSES = 4  # of each worker
SLOW = "TASKQ_BENCH_SLOW"
TIMES = 4  # as long
_GONE = 60.0  # seconds a worker may take to end
HEAD = ("maps", "speculate", "tail, median", "tail, worst", "second runs of a map", "results")


def work(seconds: float, ledger: str, n: int) -> int:
    """Sleep, as long as this host takes; a line in the ledger says when."""
    with Path(ledger).open("a", encoding="utf-8") as file:
        file.write(f"{n} {time.monotonic()}\n")
    time.sleep(seconds * float(os.environ.get(SLOW, "1")) * random.uniform(0.9, 1.1))
    return n


@contextmanager
def _worker(url: str, slow: float) -> Iterator[None]:
    command = [*_command(url), "--processes", str(PROCESSES)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**os.environ, SLOW: str(slow)})
    try:
        yield
    finally:
        process.terminate()
        process.wait(_GONE)


def _command(url: str) -> list[str]:
    return [sys.executable, "-m", "taskq", "worker", "--url", url, "--services", "1", "--log-level", "warning"]


def _one(q: taskq.Queue, seconds: float, items: int, *, speculate: bool) -> tuple[float, int, bool]:
    """Of one map its tail, how often something ran a second time, and whether each result is there once."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder, "ledger")
        job = q.map(partial(work, seconds, str(ledger)), range(items), chunksize=1, speculate=speculate)
        right = job.get(timeout=600) == list(range(items)) and len(job.result_list) == items
        ended = time.monotonic()
        runs: dict[int, float] = {}
        counts: Counter[int] = Counter()
        for line in ledger.read_text(encoding="utf-8").splitlines():
            n, moment = line.split()
            counts[int(n)] += 1
            runs.setdefault(int(n), float(moment))
        job.delete()
    return (ended - max(runs.values())) / seconds, counts.total() - items, right


@click.command()
@click.option("--seconds", default=0.5, show_default=True, help="An item takes on the host that is not slow.")
@click.option("--items", default=48, show_default=True)
@click.option("--maps", default=10, show_default=True, help="Of each kind.")
def main(seconds: float, items: int, maps: int) -> None:
    """Measure maps of both kinds in turn, and print a table."""
    found: dict[bool, list[tuple[float, int, bool]]] = {False: [], True: []}
    spared = processes.descendants()
    try:
        with ExitStack() as stack:
            url = stack.enter_context(harness.server())
            for slow in (1, TIMES):
                stack.enter_context(_worker(url, slow))
            q = taskq.Queue(url=url)
            stack.callback(q.connection.close)
            until(lambda: len(services.live(q.connection)) == 2, "both workers are ready")  # noqa: PLR2004 - both
            _one(q, 0.05, items, speculate=False)  # they import what they need
            for _ in range(maps):
                for speculate, tails in found.items():
                    tails.append(_one(q, seconds, items, speculate=speculate))
            click.echo(_told(found, f"{maps} of {items} items of {seconds:g} s"))
    finally:
        processes.kill_all_but(spared)


def _told(found: dict[bool, list[tuple[float, int, bool]]], what: str) -> str:
    rows = []
    for speculate, seen in found.items():
        tails = [tail for tail, _runs, _right in seen]
        second = statistics.mean(runs for _tail, runs, _right in seen)
        right = "each once" if all(right for _tail, _runs, right in seen) else "WRONG"
        told = f"{statistics.median(tails):.2f}", f"{max(tails):.2f}"
        rows.append((what, str(speculate), *told, f"{second:.1f}", right))
    return table(HEAD, rows)


if __name__ == "__main__":
    main()
