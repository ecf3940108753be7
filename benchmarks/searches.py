"""joblib's backend "taskq" beside loky: grid searches, and a call that kills its process.

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

import taskq.joblib

BACKENDS = ("taskq", "loky")
GRID = {"C": [0.1, 1, 10, 100], "gamma": [1, 0.1, 0.01, 0.001]}
SPLITS = 3
GUILTY = 3  # the call that kills its process
WANTED = 1.1  # times loky

__all__ = ["taskq"]  # imported for the backend that it registers


def data(samples: int) -> tuple[Any, Any]:
    """A table of so many samples, and their labels."""
    return make_classification(n_samples=samples, n_features=20, random_state=0)  # type: ignore[no-any-return]


def search(backend: str, table: Any, labels: Any) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    with joblib.parallel_config(backend, n_jobs=joblib.cpu_count()):
        GridSearchCV(SVC(), GRID, cv=SPLITS, refit=False).fit(table, labels)
    return time.perf_counter() - began


def searches(rounds: int) -> None:
    """Print how long each takes, for fits of some milliseconds and of some tens."""
    for samples in (300, 1500):
        table, labels = data(samples)
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


if __name__ == "__main__":
    main()
