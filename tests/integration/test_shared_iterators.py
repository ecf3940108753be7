"""Several threads take the results of one iterator: each result is given to one of them, and to no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskq import Queue
from taskq.testing import running_worker
from tests import jobs
from tests.waiting import wait_until

N = 300


def _mapped(queue: Queue) -> Any:
    return queue.map(jobs.square, range(N), chunksize=1)


WAYS: dict[str, Callable[[Queue], Iterator[int]]] = {
    "imap": lambda queue: queue.imap(jobs.square, range(N)),
    "imap_unordered": lambda queue: queue.imap_unordered(jobs.square, range(N)),
    "in_order": lambda queue: _mapped(queue).in_order(),
    "as_completed": lambda queue: _mapped(queue).as_completed(),
    "results_by_index": lambda queue: _mapped(queue).results_by_index(),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_result_is_given_once(real_queue: Queue, way: str) -> None:
    taken: list[Any] = []
    errors: list[BaseException] = []

    def take(results: Iterator[Any]) -> None:
        try:
            taken.extend(results)
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    with running_worker(real_queue):
        results = WAYS[way](real_queue)
        threads = [threading.Thread(target=take, args=(results,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: not any(one.name.startswith("taskq imap") for one in threading.enumerate()))
    assert not errors
    values = [value[1] if isinstance(value, tuple) else value for value in taken]
    assert sorted(values) == sorted(n * n for n in range(N))


def test_one_that_another_thread_closes_ends(real_queue: Queue) -> None:
    taken: list[int] = []
    results = real_queue.imap(jobs.square, range(N))
    thread = threading.Thread(target=lambda: taken.extend(results))
    thread.start()
    wait_until(lambda: real_queue.connection.keys("taskq:{*"), "it waits for a worker")
    results.close()
    thread.join()
    assert taken == []
    wait_until(lambda: not any(one.name.startswith("taskq imap") for one in threading.enumerate()))
