"""joblib's backend "taskq" beside loky, and what it takes to begin and end a Pool of one's own.

    .venv-bench/bin/python -m benchmarks.searches [--rounds 15]

A grid search of 48 fits by each, warm, in turn, round after round, so that what else the machine does is alike for
both; what is said of the ratio is the median of the rounds' own. The processes are this program's own: as many as
there are cores, with one thread each.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from typing import Any

import joblib
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

import taskq
import taskq.joblib

BACKENDS = ("taskq", "loky")
GRID = {"C": [0.1, 1, 10, 100], "gamma": [1, 0.1, 0.01, 0.001]}
SPLITS = 3
GUILTY = 3  # the call that kills its process
WANTED = 1.1  # times loky

__all__ = ["taskq"]


def search(backend: str, table: Any, labels: Any) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    with joblib.parallel_config(backend, n_jobs=joblib.cpu_count()):
        GridSearchCV(SVC(), GRID, cv=SPLITS, refit=False).fit(table, labels)
    return time.perf_counter() - began


def searches(rounds: int) -> None:
    """Print how long each takes, for fits of some milliseconds and of some tens."""
    for samples in (300, 1500):
        table, labels = make_classification(n_samples=samples, n_features=20, random_state=0)
        took: dict[str, list[float]] = {backend: [] for backend in BACKENDS}
        for number in range(rounds + 1):  # the first does not count: processes begin, and import
            for backend in BACKENDS if number % 2 else BACKENDS[::-1]:
                took[backend].append(search(backend, table, labels))
        ours, theirs = (took[backend][1:] for backend in BACKENDS)
        ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
        print(
            f"GridSearchCV, 48 fits of {samples} samples, warm: taskq {statistics.median(ours):.3f} s, loky "
            f"{statistics.median(theirs):.3f} s, {ratio:.2f} x (wanted: {WANTED} x at most)", flush=True,
        )  # fmt: skip


def pools(rounds: int) -> None:
    """Print what it takes to start and to stop a Pool with processes of its own."""
    starts, stops = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        with taskq.Pool(2) as pool:
            ready = time.perf_counter()
            pool.apply(abs, (-1,))
            done = time.perf_counter()
        pool.join()
        starts.append(ready - began)
        stops.append(time.perf_counter() - done)
    print(
        f"with taskq.Pool(2), no server: starts in {statistics.median(starts):.2f} s (wanted: 0.6), stops in "
        f"{statistics.median(stops):.2f} s (wanted: 0.5)", flush=True,
    )  # fmt: skip


def kills(n: int) -> int:
    if n == GUILTY:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def killed() -> None:
    """Print what becomes of a call that kills its process."""
    for backend in BACKENDS:
        began = time.perf_counter()
        with joblib.parallel_config(backend, n_jobs=joblib.cpu_count()):
            try:
                joblib.Parallel()(joblib.delayed(kills)(n) for n in range(20))
            except Exception as error:  # noqa: BLE001 - what it says is what is to be seen
                said = f"{type(error).__name__}: {error}".splitlines()[0][:100]
        print(f"one of 20 calls kills: {backend} after {time.perf_counter() - began:.2f} s: {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    os.environ.pop("TASKQ_URL", None)
    searches(options.rounds)
    killed()
    pools(options.rounds)


if __name__ == "__main__":
    main()
