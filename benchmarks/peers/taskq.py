"""taskq."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.peers import PROCESSES, commands, rq
from taskq import Queue


class TaskqSession(rq.RQSession):
    """RQ's interface for jobs, and a map."""

    def map(self, function, items, *, alone):  # noqa: ARG002 - it finds out by itself
        self._done += 1
        return self.queue.map(function, items).get()


def worker(url: str, *options: str) -> list[str]:
    """The command."""
    return [sys.executable, "-m", "taskq", "worker", "--url", url, "--services", "1",
            "--processes", str(PROCESSES), "--log-level", "warning", *options]  # fmt: skip


@contextmanager
def start(url: str) -> Iterator[TaskqSession]:
    with commands.running(worker(url)):
        yield TaskqSession(Queue(url=url))
