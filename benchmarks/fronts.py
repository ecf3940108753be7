"""Pools and executors beside taskq's own: what a call, many calls, a grid search, start and end of each take.

    .venv-bench/bin/python -m benchmarks.fronts [--rounds 5]

Each has two processes, and is started anew in each round by a process of its own, one after the other, so that
what else the machine does is alike for all. taskq's have no worker to go to: they bring a server and one along.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from benchmarks import alone, works
from benchmarks.measure import seconds
from benchmarks.peers import PROCESSES
from benchmarks.report import Row, number, table, times

SUBMITS = 2000
HEAD = ("", "start, s", "stop, s", "a call, ms", f"{SUBMITS:,} calls, s", "first of imap, ms", "grid search, s")
_CALLS, _SEARCHES = 300, 3
_LIMIT = 180.0  # seconds for all of one in a round


class PoolFront:
    """What has the methods of ``multiprocessing.Pool``."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def call(self) -> None:
        self._pool.apply(works.noop, (1,))

    def many(self, count: int) -> None:
        for found in [self._pool.apply_async(works.noop, (n,)) for n in range(count)]:
            found.get()

    def some(self, count: int) -> Iterator[object]:
        return iter(self._pool.imap(works.noop, range(count)))

    def end(self) -> None:
        self._pool.close()
        self._pool.join()


class ExecutorFront:
    """What has those of ``concurrent.futures.Executor``, or Dask's client."""

    def __init__(self, executor: Any, **options: Any) -> None:
        self._executor, self._options = executor, options

    def call(self) -> None:
        self._executor.submit(works.noop, 1, **self._options).result()

    def many(self, count: int) -> None:
        for found in [self._executor.submit(works.noop, n, **self._options) for n in range(count)]:
            found.result()

    def some(self, count: int) -> Iterator[object]:
        for found in self._executor.map(works.noop, range(count), **self._options):
            yield found.result() if hasattr(found, "result") else found

    def end(self) -> None:
        if hasattr(self._executor, "shutdown"):
            self._executor.shutdown()


def _of(front: Callable[[Any], Any], module: str, name: str) -> Callable[[], Any]:
    """What starts one that begins as a Pool does; it is imported only where it is measured."""

    @contextmanager
    def start() -> Iterator[Any]:
        with getattr(import_module(module), name)(PROCESSES) as made:
            yield front(made)

    return start


@contextmanager
def _ray() -> Iterator[PoolFront]:
    from ray.util.joblib import register_ray

    from benchmarks.peers import ray

    register_ray()
    with ray.start("") as session:
        yield PoolFront(session.pool)


@contextmanager
def _dask() -> Iterator[ExecutorFront]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=PROCESSES, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield ExecutorFront(client, pure=False)


FRONTS: dict[str, tuple[Callable[[], Any], str]] = {
    "taskq.Pool": (_of(PoolFront, "taskq", "Pool"), "taskq"),
    "taskq.Executor": (_of(ExecutorFront, "taskq", "Executor"), ""),
    "multiprocessing.Pool": (_of(PoolFront, "multiprocessing", "Pool"), "multiprocessing"),
    "ProcessPoolExecutor": (_of(ExecutorFront, "concurrent.futures", "ProcessPoolExecutor"), ""),
    "loky": (_of(ExecutorFront, "joblib.externals.loky", "ProcessPoolExecutor"), "loky"),
    "Ray's Pool": (_ray, "ray"),
    "Dask's Client": (_dask, "dask"),
}
"""Each with joblib's backend of the same processes."""


def measured(name: str, calls: int = SUBMITS) -> list[float | None]:
    """The columns of one, in seconds; ``calls`` are many."""
    start, backend = FRONTS[name]
    began = time.perf_counter()
    with start() as front:
        front.call()
        started = time.perf_counter() - began
        front.many(calls // 10)
        call = statistics.median(seconds(front.call) for _ in range(min(calls, _CALLS)))
        many = seconds(lambda: front.many(calls))
        first = statistics.median(_first(front, calls) for _ in range(3))
        search = _search(backend) if backend else None
        ended = time.perf_counter()
        front.end()
    return [started, time.perf_counter() - ended, call, many, first, search]


def _first(front: PoolFront | ExecutorFront, calls: int) -> float:
    """Seconds until the first of many has its result; the others are waited for afterwards."""
    began = time.perf_counter()
    found = front.some(calls)
    next(found)
    took = time.perf_counter() - began
    assert sum(1 for _ in found) == calls - 1
    return took


def _search(backend: str) -> float:
    """Of 48 fits of some milliseconds by scikit-learn, warm."""
    from benchmarks import searches

    table, labels = searches.data(300)
    return statistics.median([searches.search(backend, table, labels) for _ in range(_SEARCHES + 1)][1:])


def plain_job() -> float:
    """Seconds of a plain job of taskq's, from its push to its result."""
    with alone.queue() as q:
        once = lambda: q.enqueue(works.noop, 1).latest_result(timeout=5)  # noqa: E731
        return statistics.median([seconds(once) for _ in range(_CALLS + 20)][20:])


def compare(rounds: int) -> str:
    """The section of the page."""
    found: dict[str, list[list[float | None]]] = {name: [] for name in FRONTS}
    failed: dict[str, str] = {}
    jobs = []
    for _ in range(rounds):
        jobs.append(plain_job())
        for name in FRONTS:
            if name not in failed:
                try:
                    found[name].append(in_a_process(name))
                except (subprocess.SubprocessError, ValueError) as error:
                    failed[name] = f"{type(error).__name__}: {str(error)[:200]}"
    rows = [_row(name, found[name], found["taskq.Pool"]) for name in FRONTS if name not in failed]
    notes = [f"- **{name}** failed: {why}\n" for name, why in failed.items()]
    job = statistics.median(jobs) * 1000
    return f"""## Pools and executors

No-op calls, through the methods that each has; two processes each, medians of {rounds} rounds. In brackets: the
median of the rounds' own ratios to `taskq.Pool`, which brings a server and a worker of its own here. *Start* is
until the first call has its result. A grid search is scikit-learn's, 48 fits of some milliseconds, warm, by
joblib's backend of that name. A plain job of taskq's took {number(job)} ms in the same rounds, from its push to
its result.

{table(HEAD, rows)}
{"".join(notes)}"""


def in_a_process(name: str, calls: int = SUBMITS) -> list[float | None]:
    """The columns of one, in a process that starts nothing else.

    Raises:
        subprocess.SubprocessError: If it fails, or takes too long.
        ValueError: If it says something else.
    """
    environment = {key: value for key, value in os.environ.items() if key != "TASKQ_URL"}
    command = [sys.executable, "-m", "benchmarks.fronts", "--one", name, "--calls", str(calls)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_LIMIT, check=True)
    figures: list[float | None] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _row(name: str, figures: Sequence[Sequence[float | None]], ours: Sequence[Sequence[float | None]]) -> Row:
    cells = [name]
    for column, factor in enumerate((1, 1, 1000, 1, 1000, 1)):
        values = [(one[column], our[column]) for one, our in zip(figures, ours, strict=False)]
        known = [(one, our) for one, our in values if one is not None and our is not None]
        if not known:
            cells.append("-")
            continue
        cell = number(statistics.median(one for one, _ in known) * factor)
        ratio = statistics.median(one / our for one, our in known)
        cells.append(cell if figures is ours else f"{cell} ({times(ratio)})")
    return tuple(cells)


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--one", type=click.Choice(list(FRONTS)), help="Measure this one, here, and print JSON.")
@click.option("--calls", type=int, default=SUBMITS, hidden=True)
def main(*, rounds: int, one: str | None, calls: int) -> None:
    print(json.dumps(measured(one, calls)) if one else compare(rounds))


if __name__ == "__main__":
    main()
