"""A Dask cluster of a test's own, whose processes can be killed one by one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.acceptance.worker import ROOT


class Cluster:
    """A scheduler and workers, each a process without a nanny, that only the test starts anew."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.workers: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.start_scheduler()

    @property
    def engine(self) -> str:
        return f"dask://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        self.scheduler = self._start("scheduler", "--port", str(self.port))

    def start_worker(self, threads: int = 2, **environment: str) -> subprocess.Popen[bytes]:
        address = f"tcp://127.0.0.1:{self.port}"
        # For as long as a scheduler may be away in a test.
        arguments = (address, "--nthreads", str(threads), "--no-nanny")
        worker = self._start("worker", *arguments, **environment)
        self.workers.append(worker)
        return worker

    def _start(self, what: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + what, "--host", "127.0.0.1", "--no-dashboard"]
        return subprocess.Popen(
            [*command, *arguments], cwd=ROOT, env={**self.environment, **environment},
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()
        if process in self.workers:
            self.workers.remove(process)

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            self.kill(process)


@contextmanager
def cluster(workers: int = 1, threads: int = 2) -> Iterator[Cluster]:
    """One for the length of a ``with`` block."""
    made = Cluster()
    try:
        for _ in range(workers):
            made.start_worker(threads)
        yield made
    finally:
        made.close()
