"""A list that many processes append to: ``Manager().list()``, and the same on a queue.

``compute`` is the same function in both. What changes is who runs it (eight processes of ours; eight jobs for
the workers, which retry, time out and restart) and where the list lives (in a process that ends with this
program; in Redis).

    python examples/manager_list.py
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import MutableSequence

import taskq
from taskq import Queue
from taskq.redis.urls import url_of


def compute(results: MutableSequence[int]) -> None:
    results.append(sum([random.randint(1, 100) for i in range(1000000)]))


def with_manager() -> None:
    with multiprocessing.Manager() as manager:
        results = manager.list()
        workers = [multiprocessing.Process(target=compute, args=(results,)) for x in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        print(f"    Results: {results}")
    try:
        print(f"    the list afterwards: {len(results)} items")
    except (OSError, EOFError) as error:
        print(f"    the list afterwards: {type(error).__name__}, gone with its manager")


def with_queue(q: Queue) -> None:
    results = q.result_list("sums")
    jobs = [q.enqueue(compute, results) for x in range(8)]
    for job in jobs:
        job.latest_result(timeout=300)
    print(f"    Results: {list(results)}")
    # Another connection, as another program would have it, on any host: the name is all it needs.
    elsewhere = Queue(url=url_of(q.connection)).result_list("sums")
    print(f"    the list afterwards: {elsewhere}")
    print(f"    the jobs: {', '.join(job.get_status() for job in jobs)}")


def main() -> None:
    print("1. multiprocessing.Manager().list() and 8 processes")
    started = time.monotonic()
    with_manager()
    print(f"    {time.monotonic() - started:.2f} s")

    with taskq.local() as q:
        print("2. q.result_list('sums') and 8 jobs")
        started = time.monotonic()
        with_queue(q)
        print(f"    {time.monotonic() - started:.2f} s")


if __name__ == "__main__":
    main()
