"""taskq on a Dask cluster, beside taskq on the same cores, ``Client.map`` and joblib on the same cluster, and Ray.

    .venv-bench/bin/python -m benchmarks.engines

Each work is done by all of them in turn, round after round, so that what else the machine does is alike for all.
The cluster has as many workers as there are cores, with a nanny and one thread each; what is said of ratios are
medians of the rounds' own.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from benchmarks import works
from taskq import Queue
from taskq.redis.connection import connect
from taskq.redis.server import private_server

CORES = 2
NAPS, NAP = 120, 0.05
INTEGERS = 50_000  # of which the sum is computed: about 25 ms
NOOPS = 200_000
MOST_JOBLIB = 10_000  # items; each is a task to it
GUILTY = 3  # the item that kills its process
WAIT = 180.0  # seconds after which who has not answered never will
KILLED = 40.0  # the same, where an item has killed its process: some lose sight of it

Map = Callable[[Callable[[Any], Any], list[Any]], list[Any]]


def dies(n: int) -> int:
    if n == GUILTY:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


@contextmanager
def _worker(url: str, *options: str) -> Iterator[Map]:
    """taskq, as a user starts it."""
    queue = Queue(connection=connect(url))
    command = [sys.executable, "-m", "taskq_workers", "worker", "--url", url, "--log-level", "error", *options]
    process = subprocess.Popen(command)
    try:
        queue.map(works.noop, range(CORES)).get(timeout=WAIT)
        yield lambda function, items: queue.map(function, items).get(timeout=WAIT, errors="return")
    finally:
        process.terminate()
        process.wait()


def _joblib(function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    import joblib

    with joblib.parallel_config(backend="dask"):
        return list(joblib.Parallel()(joblib.delayed(function)(item) for item in items))


@contextmanager
def _ray() -> Iterator[dict[str, Map]]:
    """Its Pool, on as many processes; nothing if it is not installed."""
    if find_spec("ray") is None:
        yield {}
        return
    from benchmarks.peers import ray

    with ray.start("") as session:
        yield {"Ray Pool": lambda function, items: list(session.map(function, items, alone=False))}


def _seconds(run: Map, function: Callable[[Any], Any], items: list[Any]) -> float:
    began = time.perf_counter()
    assert len(run(function, items)) == len(items)
    return time.perf_counter() - began


def measure(systems: dict[str, Map], rounds: int) -> None:
    """Print a line for each system: what each work took, and how many times as long as taskq on these cores."""
    compute = [INTEGERS] * NAPS
    table: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
        f"{NAPS} x {NAP * 1000:.0f} ms asleep": (time.sleep, [NAP] * NAPS),
        f"{NAPS} x computing": (works.compute_some, compute),
        f"{NOOPS:,} no-ops": (works.noop, list(range(NOOPS))),
    }
    for title, (function, items) in table.items():
        took: dict[str, list[float]] = {name: [] for name in systems}
        names = [name for name in systems if name != "joblib on Dask" or len(items) < MOST_JOBLIB]
        for _ in range(rounds):
            for name in names:
                took[name].append(_seconds(systems[name], function, items))
        here = took["taskq on these cores"]
        for name in names:
            ratio = statistics.median(one / other for one, other in zip(took[name], here, strict=True))
            median = statistics.median(took[name])
            print(f"{title:22} {name:22} {median:7.3f} s  {ratio:6.2f}x  {len(items) / median:12,.0f} items/s",
                  flush=True)  # fmt: skip


def kill(systems: dict[str, Map]) -> None:
    """Print what becomes of a map one item of which kills its process."""
    for name, run in systems.items():
        said = [f"no end in {KILLED:.0f} s"]
        began = time.perf_counter()
        # It may never end, and nothing can stop it.
        thread = threading.Thread(target=lambda run=run, said=said: said.insert(0, _outcome(run)), daemon=True)
        thread.start()
        thread.join(KILLED)
        print(f"{'one of 20 kills':22} {name:22} {time.perf_counter() - began:7.3f} s  {said[0]}", flush=True)


def _outcome(run: Map) -> str:
    try:
        results = run(dies, list(range(20)))
    except BaseException as error:  # noqa: BLE001 - what it says is what is to be seen
        return f"{type(error).__name__}: {error}".splitlines()[0][:80]
    return f"{sum(one == n for n, one in enumerate(results))} of 20 results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=CORES, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
        private_server() as here, private_server() as there,
        _worker(here, "--processes", str(CORES)) as local,
        _worker(there, "--engine", cluster.scheduler_address.replace("tcp", "dask")) as seats,
        _ray() as ray,
    ):  # fmt: skip
        systems: dict[str, Map] = {
            "taskq on these cores": local,
            "taskq on Dask": seats,
            "Client.map": lambda function, items: client.gather(client.map(function, items, pure=False)),
            **ray,
            "joblib on Dask": _joblib,  # the last one: what it does when its worker is killed may never end
        }
        measure(systems, options.rounds)
        kill(systems)


if __name__ == "__main__":
    main()
