"""RQ's own workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from rq import Queue

from benchmarks import works
from benchmarks.peers import PROCESSES, commands

_LOOK = 0.005  # seconds between two looks at the registry


class RQSession:
    """For every queue with RQ's interface."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._done = 0  # jobs that are in the finished registry already

    def one(self):
        self.queue.enqueue(works.noop, 0).latest_result(timeout=10)
        self._done += 1

    def jobs(self, count):
        self._enqueue(works.noop, range(count))
        self._done += count
        while self.queue.finished_job_registry.count < self._done:
            time.sleep(_LOOK)

    def map(self, function, items, *, alone):  # noqa: ARG002
        jobs = self._enqueue(function, items)
        self._done += len(items)
        return [job.latest_result(timeout=60).return_value for job in jobs]

    def _enqueue(self, function, items):
        # Results outlive the measurement, so that the registry's length only grows.
        return self.queue.enqueue_many(
            [self.queue.prepare_data(function, (item,), result_ttl=3600) for item in items]
        )


@contextmanager
def _session(url: str, *arguments: list[str]) -> Iterator[RQSession]:
    # The module given as configuration is imported before the fork, and so is NumPy with it.
    options = ["--url", url, "--quiet", "--config", "benchmarks.arrays"]
    with commands.running(*([commands.script("rq"), *some, *options] for some in arguments)):
        yield RQSession(Queue(connection=Redis.from_url(url)))


def worker(url: str):
    return _session(url, *[["worker"]] * PROCESSES)


def simple_worker(url: str):
    return _session(url, *[["worker", "--worker-class", "rq.worker.SimpleWorker"]] * PROCESSES)


def worker_pool(url: str):
    return _session(url, ["worker-pool", "--num-workers", str(PROCESSES)])
