"""The place of the test: a Redis server with an append-only file, and hosts with a supervisor each."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from taskq.redis.schema import SCHEMA
from tests.acceptance.worker import ROOT, Server, Worker, alive, kill_all, title
from tests.waiting import HANGS, wait_until

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")  # what was acknowledged survives kill -9
QUEUES = ("high", "default")
SKEW = ROOT / "tests" / "acceptance" / "skew"
NEXT_VERSION = "next-version"
GRACE = 2.0  # seconds, of the workers
ORPHANS_END = HANGS  # seconds which a dead service's pool processes are given; 2 are promised, on an idle machine
_RESTART = 0.1  # seconds a supervisor waits, as systemd does


@dataclass
class Parts:
    """The processes of one host that are alive, by their part in it."""

    managers: list[psutil.Process] = field(default_factory=list)
    services: list[psutil.Process] = field(default_factory=list)
    forkservers: list[psutil.Process] = field(default_factory=list)
    pool: list[psutil.Process] = field(default_factory=list)
    others: list[psutil.Process] = field(default_factory=list)

    def add(self, process: psutil.Process) -> None:
        words = title(process)
        if "pool process" in words:
            self.pool.append(process)
        elif "multiprocessing.forkserver" in words:
            self.forkservers.append(process)
        elif "taskq: service" in words:
            self.services.append(process)
        elif "taskq: manager" in words:
            self.managers.append(process)
        else:
            self.others.append(process)

    @property
    def all(self) -> list[psutil.Process]:
        return [*self.managers, *self.services, *self.forkservers, *self.pool, *self.others]


class Host:
    """One host's supervisor: starts its worker again whenever that has ended, as docker or systemd would."""

    def __init__(self, number: int, url: str, folder: Path, *options: str) -> None:
        self.number = number
        self.upgraded = False  # whether the next worker is one of the next version
        self.killed: set[int] = set()  # managers that were killed on purpose
        self.codes: list[str] = []  # exit codes that nobody can explain
        self._url = url
        self._folder = folder
        self._options = options
        self._ended: float | None = None
        self._clock = folder / f"clock-{number}"
        self.workers: list[Worker] = []
        self.set_clock(0.0)
        self._start()

    def set_clock(self, ahead: float) -> None:
        """Have it be so many seconds ahead."""
        new = self._clock.with_suffix(".new")
        new.write_text(str(ahead))
        new.rename(self._clock)  # at once, for it may be read at any moment

    def _start(self) -> None:
        log = self._folder / f"host-{self.number}-{len(self.workers)}.log"
        self.workers.append(Worker(self._url, *QUEUES, *self._options, log=log, **self._variables()))

    def _variables(self) -> dict[str, str]:
        if self.number == 0:
            next_version = f"{self._folder / NEXT_VERSION}{os.pathsep}{ROOT}"
            return {"PYTHONPATH": next_version, "PYTHONSAFEPATH": "1"} if self.upgraded else {}
        return {"PYTHONPATH": f"{SKEW}{os.pathsep}{ROOT}", "SKEW": str(self._clock)}

    def tend(self) -> None:
        """To be called often."""
        worker = self.workers[-1]
        if worker.process.poll() is None:
            return
        if self._ended is None:
            self._ended = time.monotonic()
            self._look_at_code(worker)
        elif time.monotonic() > self._ended + _RESTART:
            self._ended = None
            self._start()

    def _look_at_code(self, worker: Worker) -> None:
        code = worker.process.returncode
        early_or_late = code == -signal.SIGHUP  # while Python starts, or ends, nothing of ours handles it
        if code and not early_or_late and not (code == -signal.SIGKILL and worker.pid in self.killed):
            self.codes.append(f"manager {worker.pid} of host {self.number} ended with exit code {code}")

    def parts(self) -> Parts:
        """All that lives of any worker that was ever started here."""
        sessions = {worker.pid for worker in self.workers}
        parts = Parts()
        for process in psutil.process_iter():
            with suppress(ProcessLookupError, psutil.Error):
                if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                    parts.add(process)
        return parts

    def stop(self) -> None:
        """SIGTERM, and the end of it; what does not end is found by ``parts``."""
        worker = self.workers[-1]
        with suppress(AssertionError):  # it may have been started just now, and not be ready for signals yet
            wait_until(lambda: worker.pid in {manager.pid for manager in self.parts().managers})
        if worker.process.poll() is None:
            worker.signal(signal.SIGTERM)
            with suppress(AssertionError):
                wait_until(lambda: worker.process.poll() is not None)
        self._look_at_code(worker)

    def close(self) -> None:
        kill_all(lambda: self.parts().all)
        for worker in self.workers:
            worker.process.wait()


def install_next_version(folder: Path) -> None:
    """A copy of taskq of which everybody is told that it writes the next schema."""
    for package in (ROOT / "taskq", ROOT / "workers" / "taskq_workers"):
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "taskq" / "redis" / "schema.py"
    text, count = re.subn(rf"^SCHEMA = {SCHEMA}$", f"SCHEMA = {SCHEMA + 1}", file.read_text(), flags=re.MULTILINE)
    assert count == 1
    file.write_text(text)


class Site:
    """The server and all hosts.

    Args:
        folder: For logs and the ledger.
        sockets: A folder with a short path, for the server's socket and files.
        lease: Seconds.
    """

    def __init__(self, folder: Path, sockets: Path, lease: float) -> None:
        self.ledger = folder / "ledger"
        self.ledger.mkdir(parents=True)
        (folder / "flags").mkdir()
        self.server = Server(sockets, *DURABLE)
        self.server.start()
        self.url = self.server.url
        self.rollbacks: list[float] = []  # Unix times since which what was written is gone
        install_next_version(folder / NEXT_VERSION)
        options = ("--grace", str(GRACE), "--lease", str(lease), "--processes", "2")
        self.hosts = [
            Host(0, self.url, folder, *options, "--services", "2"),
            Host(1, self.url, folder, *options, "--services", "1"),
        ]
        self.victims: set[int] = set()  # pool processes that were killed, so that their chunk is blamed
        self.orphans: list[str] = []
        self._bereaved: list[tuple[float, int, list[psutil.Process]]] = []

    def tend(self) -> None:
        for host in self.hosts:
            host.tend()
        now = time.monotonic()
        for one in list(self._bereaved):
            died, service, pool = one
            if not any(alive(process.pid) and process.is_running() for process in pool):
                self._bereaved.remove(one)
            elif now > died + ORPHANS_END:
                self._bereaved.remove(one)
                left = [process.pid for process in pool if process.is_running()]
                self.orphans.append(f"{left} live {ORPHANS_END} s after their service {service} was killed")

    def past(self) -> Callable[[], None]:
        """Remember what the server has on its disk now; what is returned has it come back like that."""
        files = self.server.path.parent / "appendonlydir"
        copy = files.with_name(f"past-{len(self.rollbacks)}-{time.monotonic_ns()}")
        since = time.time()
        self.server.freeze()
        shutil.copytree(files, copy)
        self.server.thaw()

        def come_back() -> None:
            runs = self.server.running  # else whoever has ended it will start it
            self.server.kill()
            shutil.rmtree(files)
            copy.rename(files)
            self.rollbacks.append(since)
            if runs:
                self.server.start()

        return come_back

    def bereave(self, service: psutil.Process, pool: list[psutil.Process]) -> None:
        """Note that a service was killed, and that its pool processes are now to end."""
        self._bereaved.append((time.monotonic(), service.pid, pool))

    def blamed(self) -> set[tuple[str, int]]:
        """(job, item) of all that a killed pool process ran last."""
        last = set()
        for pid in self.victims:
            file = self.ledger / str(pid)
            if file.exists() and (lines := file.read_text().splitlines()):
                job, n = lines[-1].split()
                last.add((job, int(n)))
        return last

    def runs(self) -> dict[tuple[str, int], int]:
        """How often each (job, item) was run, as the ledger has it."""
        counted: dict[tuple[str, int], int] = {}
        for file in self.ledger.iterdir():
            for line in file.read_text().splitlines():
                job, n = line.split()
                counted[job, int(n)] = counted.get((job, int(n)), 0) + 1
        return counted

    def close(self) -> None:
        for host in self.hosts:
            host.close()
        self.server.kill()


def pool_of(service: psutil.Process, parts: Parts) -> list[psutil.Process]:
    """The pool processes of one service: children of its forkserver."""

    def parent(process: psutil.Process) -> int:
        try:
            return int(process.ppid())
        except psutil.Error:
            return 0

    own = {process.pid for process in parts.forkservers if parent(process) == service.pid}
    return [process for process in parts.pool if parent(process) in own]
