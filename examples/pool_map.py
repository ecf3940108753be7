"""``Pool(8).map(compute, range(8))`` beside ``q.map(compute, range(8)).get()``: the same call, the same list.

And what only the second survives: ``kill -9`` of a process in mid-map, as when memory has run out.

    python examples/pool_map.py
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import taskq

VICTIM = 3  # the item whose process is killed


def compute(n: int) -> int:  # noqa: ARG001 - as Pool.map wants it
    return sum([random.randint(1, 100) for i in range(1000000)])


def compute_in_the_open(folder: str, n: int) -> int:
    """``compute``, after a note of the process which it runs in; the victim waits there to be killed, once."""
    note = Path(folder, f"{n}.pid")
    again = note.exists()
    (new := note.with_suffix(".new")).write_text(str(os.getpid()))
    new.rename(note)
    if n == VICTIM and not again:
        time.sleep(3600)
    return compute(n)


def kill_at(item: int, folder: str) -> None:
    """``kill -9`` the process which this item runs in, as soon as it does."""
    note, deadline = Path(folder, f"{item}.pid"), time.monotonic() + 300
    while not note.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(int(note.read_text()), signal.SIGKILL)
    print(f"    kill -9 {note.read_text()}, which was at item {item}", flush=True)


def with_pool(folder: str) -> float:
    """Returns the seconds which the undisturbed map took."""
    with multiprocessing.Pool(processes=8) as pool:
        started = time.monotonic()
        print(f"    Results: {pool.map(compute, range(8))}")
        seconds = time.monotonic() - started

        answer = pool.map_async(partial(compute_in_the_open, folder), range(8))
        kill_at(VICTIM, folder)
        answer.wait(patience := max(2.0, 2 * seconds))  # pool.map() has no timeout: it would sit there still
        print(f"    the killed map after {patience:.1f} s: {'complete' if answer.ready() else 'still waiting'}")
    return seconds


def with_queue(folder: str) -> float:
    with taskq.local() as q:
        started = time.monotonic()
        print(f"    Results: {q.map(compute, range(8)).get()}")
        seconds = time.monotonic() - started

        job = q.map(partial(compute_in_the_open, folder), range(8))
        threading.Thread(target=kill_at, args=(VICTIM, folder)).start()
        print(f"    Results: {job.get(timeout=300)}")
        done = job.progress
        print(f"    the killed map: {done.done} of {done.total} done, {done.failed} failed")
    return seconds


def main() -> None:
    seconds = {}
    for title, example in (("Pool(8).map(...)", with_pool), ("q.map(...).get()", with_queue)):
        print(title, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            seconds[title] = example(folder)
    print("undisturbed:", ", ".join(f"{title} {took:.2f} s" for title, took in seconds.items()))


if __name__ == "__main__":
    main()
