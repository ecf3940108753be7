"""The search that is killed: ``python -m tests.again.search URL LEDGER``; says when it begins, and is through."""

from __future__ import annotations

import sys
import time

import joblib
import numpy as np
from sklearn.model_selection import GridSearchCV

import taskq.joblib
from taskq import Queue
from tests.again.estimator import Noted
from tests.again.grid import CANDIDATES, SPLITS

__all__ = ["taskq"]


def main() -> None:
    url, ledger = sys.argv[1:]
    table = np.random.default_rng(7).normal(size=(300, 1000))  # 2.4 MB, which travel once
    y = (table[:, 0] > 0).astype(int)
    search = GridSearchCV(
        Noted(ledger), {"threshold": list(np.linspace(-1, 1, CANDIDATES))}, cv=SPLITS, refit=False
    )
    with joblib.parallel_config("taskq", queue=Queue(url=url), resume="grid-7"):
        print("begins", flush=True)
        began = time.perf_counter()
        search.fit(table, y)
        print(f"through {time.perf_counter() - began:.3f} {search.best_params_['threshold']:.3f}", flush=True)


if __name__ == "__main__":
    main()
