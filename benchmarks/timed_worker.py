"""``taskq worker`` whose services write down the longest turn of their dispatcher.

A turn is what the dispatcher does without looking at its inbox; whatever comes meanwhile waits as long. Garbage
collection, and whatever else holds the process up, is part of it, above all the wait for a server that is
busy with what others have sent. So what the turn has computed itself is written down, too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskq_workers.cli import main
from taskq_workers.service.dispatcher import Dispatcher

VARIABLE = "TASKQ_BENCH_TURNS"
"""The file: a line for each turn of some length, with when it began, its seconds, and those of its CPU."""

LEAST = 0.005  # seconds of a turn that is worth a line


def timed(turn: Callable[..., Any], path: Path) -> Callable[..., Any]:
    def step(*args: Any, **kwargs: Any) -> Any:
        began, at, computed = time.perf_counter(), time.time(), time.thread_time()
        try:
            return turn(*args, **kwargs)
        finally:
            took = time.perf_counter() - began
            if took > LEAST:
                with path.open("a") as file:
                    file.write(f"{at} {took} {time.thread_time() - computed}\n")

    return step


if __name__ == "__main__":
    path = Path(os.environ[VARIABLE])
    Dispatcher._turn = timed(Dispatcher._turn, path)  # type: ignore[method-assign]  # noqa: SLF001
    main()
