"""The real command, and real servers, as processes that a test may do anything to; at its end none is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import redis

from taskq.redis import services
from taskq.redis.connection import connect
from taskq.redis.server import find_program
from taskq.redis.services import ServiceInfo
from tests.waiting import HANGS, LONG, wait_until

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "taskq", "worker")
SCRIPT = (str(Path(sys.executable).with_name("taskq")), "worker")


def environment(**variables: str) -> dict[str, str]:
    """This one's without what a developer's own settings may be; output is buffered, as it is in earnest."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("TASKQ_")}
    own.pop("PYTHONUNBUFFERED", None)
    return {**own, "PYTHONPATH": str(ROOT), **variables}


def run(*arguments: str, stdin: str = "", cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of taskq's, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "taskq", *arguments],
        input=stdin, cwd=cwd, env=environment(**variables), capture_output=True, text=True,
        timeout=LONG, check=False,
    )  # fmt: skip


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def processes_in(folder: Path) -> list[psutil.Process]:
    """All that work in this folder, or below it."""

    def inside(process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder)
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if inside(process)]


def kill_all(find: Callable[[], list[psutil.Process]]) -> None:
    """Kill until there is none: one that was found may have started another meanwhile."""

    def none_left() -> bool:
        left = find()
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        return not left

    wait_until(none_left, "all processes are killed")


class Worker:
    """``taskq worker``, in a session of its own: whoever is in that session is one of its processes.

    Args:
        url: Of Redis.
        arguments: Of the command.
        log: File for its output.
        services: How many services it is told, or left, to start.
        command: What ``arguments`` are for.
        cwd: Where it is started.
        variables: Of its environment.
    """

    def __init__(
        self, url: str, *arguments: str, log: Path, services: int = 1, command: Sequence[str] = COMMAND,
        cwd: Path = ROOT, **variables: str,
    ) -> None:  # fmt: skip
        self.services = services
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, *arguments],
                cwd=cwd, env=environment(TASKQ_URL=url, **variables), stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._connection = connect(url)

    # -- who is there --------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The manager's."""
        return self.process.pid

    @property
    def processes(self) -> list[psutil.Process]:
        """All of the tree that are alive, orphans included."""
        found = []
        for pid in filter(self._has, psutil.pids()):  # not all of the machine's are looked at, again and again
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return found

    def _has(self, pid: int) -> bool:
        try:
            return os.getsid(pid) == self.pid and alive(pid)
        except ProcessLookupError:
            return False

    def titled(self, words: str) -> list[int]:
        return [process.pid for process in self.processes if words in title(process)]

    @property
    def service_pids(self) -> list[int]:
        return [pid for pid in self.titled("taskq: service") if pid not in self.pool_pids]

    @property
    def pool_pids(self) -> list[int]:
        return self.titled("pool process")

    @property
    def infos(self) -> list[ServiceInfo]:
        """What its live services say of themselves."""
        prefix = f"taskq-{socket.gethostname()}-{self.pid}-"
        return [info for info in services.live(self._connection) if info.name.startswith(prefix)]

    # -- what it does --------------------------------------------------------------------------------

    @property
    def output(self) -> str:
        return self._log.read_text()

    def wait_until_ready(self) -> Worker:
        def ready() -> bool:
            assert self.process.poll() is None, self.output
            # The lease comes first, RQ's register after it.
            known = self._connection.smembers("rq:workers")
            return sum(f"rq:worker:{info.name}".encode() in known for info in self.infos) == self.services

        wait_until(ready, "all services are registered")
        return self

    def wait_until_output(self, words: str, count: int = 1) -> None:
        wait_until(lambda: self.output.count(words) >= count, f"it says {words!r}")

    def wait_until_gone(self) -> None:
        wait_until(lambda: self.process.poll() is not None and not self.processes, "the tree is gone")

    def signal(self, signum: int) -> None:
        self.process.send_signal(signum)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(HANGS)

    def kill_tree(self) -> None:
        """SIGKILL to all, the manager first, so that it replaces nobody."""
        if self.process.poll() is None:
            self.process.kill()
        kill_all(lambda: self.processes)
        self.process.wait()

    def freeze(self) -> None:
        """SIGSTOP to all, the manager first."""
        for process in sorted(self.processes, key=lambda process: process.pid != self.pid):
            process.suspend()

    def thaw(self) -> None:
        for process in self.processes:
            process.resume()

    def close(self) -> None:
        self.kill_tree()
        self._connection.close()
        print(f"--- worker {self.pid}\n{self.output}")  # noqa: T201 - pytest shows it if the test failed


class Workers:
    """Starts workers of one test; all of them are gone at its end."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._folder = folder
        self._started: list[Worker] = []

    def start(self, *arguments: str, url: str | None = None, services: int = 1, **options: Any) -> Worker:
        log = self._folder / f"worker-{len(self._started)}.log"
        worker = Worker(url or self.url, *arguments, log=log, services=services, **options)
        self._started.append(worker)
        return worker

    def ready(
        self, processes: int = 2, *arguments: str, services: int = 1, grace: float = LONG, **options: Any
    ) -> Worker:
        """One whose services are registered, and which lets end what runs, unless ``grace`` says otherwise.

        Its pool processes have their titles: without them ``pool_pids`` would not know them all.
        """
        given = ("--processes", str(processes), "--services", str(services), "--grace", str(grace), *arguments)
        worker = self.start(*given, services=services, **options).wait_until_ready()
        wait_until(lambda: len(worker.pool_pids) >= processes * services, "all pool processes have their titles")
        return worker

    def close(self) -> None:
        for worker in self._started:
            worker.close()


class Server:
    """A Redis server that a test may kill and start again, on the same socket and files.

    ``before``: what its command line begins with, such as the path of a configuration file. ``program``: instead
    of the one that there is.
    """

    def __init__(
        self, folder: Path, *options: str, before: tuple[str, ...] = (), program: str | None = None
    ) -> None:
        self._program = program or find_program()
        self._options = options
        self._before = before
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.path = folder / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def start(self) -> None:
        log = self._folder / "server.log"
        command = [self._program, *self._before, "--port", "0", "--unixsocket", str(self.path), "--save", "",
                   "--dir", str(self._folder), "--logfile", str(log), *self._options]  # fmt: skip
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        wait_until(self._answers, "the server answers")

    def _answers(self) -> bool:
        try:
            with connect(self.url, retries=0) as connection:
                return bool(connection.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:  # it is starting, or reads its files
            return False

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        """Whether it was started, and not ended since."""
        return self._process is not None

    def end(self, signum: int) -> None:
        """End it by this signal; it must not be frozen, unless that is SIGKILL."""
        assert self._process is not None
        self._process.send_signal(signum)
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self.end(signal.SIGKILL)


def runs_of(ledger: Path) -> list[int]:
    """The items in a ledger of ``jobs.run_once``, sorted."""
    return sorted(n for file in ledger.parent.glob(f"{ledger.name}.*") for n in runs_in(file))


def runs_in(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def repeated(ledger: Path) -> list[int]:
    """The items that ran more than once."""
    runs = runs_of(ledger)
    return [n for n in sorted(set(runs)) for _ in range(runs.count(n) - 1)]
