"""The script that is killed: ``python -m tests.again.script URL LEDGER SCENE``; prints a line when it is through.

attach    one map of many items, which are read slowly
memo      maps one after the other, each of which has half of its items in common with the one before
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial

from taskq import Queue
from tests.jobs import run_once

ITEMS = 1000
SECONDS = 0.02  # that an item takes
READING = 1.5  # that it takes to read all items
STEP = 100  # items that a map of the scene ``memo`` has more than the one before


def read() -> Iterator[int]:
    for n in range(ITEMS):
        time.sleep(READING / ITEMS)
        yield n


def attach(queue: Queue, ledger: str) -> list[int]:
    job = queue.map(partial(run_once, ledger, seconds=SECONDS), read(), job_id="nightly", if_exists="attach")
    return job.get()


def memo(queue: Queue, ledger: str) -> list[int]:
    results = {}
    for end in range(STEP, ITEMS + 1, STEP):
        items = range(max(0, end - 2 * STEP), end)
        job = queue.map(partial(run_once, ledger, seconds=SECONDS), items, memo="scan", key=str, chunksize=3)
        results.update(zip(items, job.get(), strict=True))
    return [results[n] for n in range(ITEMS)]


if __name__ == "__main__":
    url, ledger, scene = sys.argv[1:]
    found = {"attach": attach, "memo": memo}[scene](Queue(url=url), ledger)
    print("through" if found == [n * n for n in range(ITEMS)] else found)
