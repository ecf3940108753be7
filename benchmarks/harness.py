"""Sessions of all systems, in turn and interleaved; each bounded in time, whatever the system does.

harness ──socket── session process ──── worker processes of the system
   └─ a server of its own for each session
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from benchmarks import processes
from benchmarks.peers import System
from benchmarks.works import Scale, Work
from taskq.redis.connection import connect
from taskq.redis.server import private_server

_START = 300.0  # seconds a system may take until both of its workers have worked
_STOP = 15.0  # seconds it may take to end
_SETTLE = 1.0  # seconds until a system that has worked is idle
_SAMPLE = 0.05  # seconds between two looks at the memory


class FailedError(Exception):
    """A system failed at something; the message is what the report says."""


@dataclass
class Growth:
    """What a map of this many items took."""

    items: int
    seconds: float
    memory: int  # bytes, at the peak, more than before


@dataclass
class Idle:
    cpu: float  # share of a core
    commands: float  # of Redis, a second


@dataclass
class Findings:
    """All that was measured of one system, and why the rest was not."""

    values: dict[str, list[float]] = field(default_factory=dict)  # work -> one for each round
    growth: list[Growth] = field(default_factory=list)
    idle: Idle | None = None
    failures: dict[str, str] = field(default_factory=dict)  # work, or "start" -> reason


# Celery's results are published, too: by default the server drops a client which 32 MiB of them wait for, and
# Celery then waits for ever.
_UNLIMITED = ("--client-output-buffer-limit", "pubsub", "0", "0", "0")


def make_ready(memory: int) -> None:
    """Use so many bytes, and give them back.

    A virtual machine may have given to its host what was free for some seconds, and takes several times as long to
    get it back as to give it to a process: that would be counted to whoever happens to need it first.
    """
    _ = b"\1" * memory


@contextmanager
def server() -> Iterator[str]:
    """URL of a private server, on loopback: not all systems speak to unix sockets, so none does here.

    Anybody on this machine could reach it, so it has a password.
    """
    with private_server(*_UNLIMITED) as url, connect(url) as connection:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        password = connection.acl_genpass()
        connection.config_set("requirepass", password)
        connection.auth(password)
        connection.config_set("port", port)
        yield f"redis://:{password}@127.0.0.1:{port}/0"


class Running:
    """A session process, and what the harness sees of it from outside."""

    def __init__(self, start: str, limit: float) -> None:
        self._start = start
        self._limit = limit
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            url = stack.enter_context(server())
            self._connection = stack.enter_context(connect(url))
            spared = processes.descendants()
            stack.callback(processes.kill_all_but, spared)
            self._spared = spared
            self._log = stack.enter_context(tempfile.TemporaryFile())
            ours, theirs = socket.socketpair()
            self._wire = stack.enter_context(Connection(ours.detach()))
            command = [sys.executable, "-m", "benchmarks.session", self._start, url, str(theirs.fileno())]
            self._process = stack.enter_context(
                subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=self._log,
                    stderr=self._log, cwd=Path(__file__).parents[1], start_new_session=True,
                )
            )  # fmt: skip
            stack.callback(self._stop)
            theirs.close()
            self.started = self._receive(_START)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def work(self, work: Work, scale: Scale) -> float:
        make_ready(scale.memory)
        self._wire.send(("work", work.name, scale))
        return self._receive(self._limit)

    def grow(self, items: int, scale: Scale) -> Growth:
        """A map of this size, with the memory of the system, its caller and Redis."""
        make_ready(scale.memory)
        before = peak = self._memory()
        self._wire.send(("growth", items))
        deadline = time.monotonic() + self._limit
        while not self._wire.poll(_SAMPLE) and time.monotonic() < deadline:
            peak = max(peak, self._memory())
        peak = max(peak, self._memory())
        return Growth(items, self._receive(_SAMPLE, self._limit), peak - before)

    def idle(self, seconds: float) -> Idle:
        """What it costs while nothing is to be done."""
        time.sleep(_SETTLE)
        mine = processes.descendants() - self._spared
        commands, cpu = self._commands(), processes.cpu(mine)
        time.sleep(seconds)
        used = processes.used_since(cpu)
        return Idle(used / seconds, (self._commands() - commands - 1) / seconds)  # one is our own

    def _commands(self) -> int:
        info: Any = self._connection.info("stats")
        return info["total_commands_processed"]

    def _memory(self) -> int:
        info: Any = self._connection.info("memory")
        return info["used_memory"] + processes.memory(processes.descendants() - self._spared)

    def _receive(self, wait: float, limit: float | None = None) -> float:
        if not self._wire.poll(wait):
            self._process.kill()
            raise FailedError(f"no answer within {limit or wait:g} s")
        try:
            kind, answer = self._wire.recv()
        except (EOFError, ConnectionError):
            raise FailedError(f"ended by itself{self._last_words()}") from None
        if kind == "failed":
            raise FailedError(answer)
        return answer

    def _last_words(self) -> str:
        written = os.pread(self._log.fileno(), 2**20, 0)  # without moving the position at which others write
        lines = written.decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def _stop(self) -> None:
        try:
            self._wire.send(None)
            self._process.wait(_STOP)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()


class Harness:
    """Runs works on systems, and collects what comes of it.

    Args:
        limit: Seconds that one measurement may take.
    """

    def __init__(self, systems: Sequence[System], works: Sequence[Work], scale: Scale, limit: float) -> None:
        self._works = works
        self._scale = scale
        self._limit = limit
        self.findings = {system: Findings(failures=dict(system.unable)) for system in systems}

    def round(self) -> None:
        """Each work on each system, once."""
        for system, found in self.findings.items():
            works = [work for work in self._works if work.name not in found.failures]
            # One session for all, but for systems that are set up in two ways.
            kinds = (
                [(system.start_tiny, True), (system.start, False)] if system.start_tiny else [(system.start, None)]
            )
            for start, tiny in kinds:
                left = [work for work in works if tiny is None or work.tiny == tiny]
                while left and "start" not in found.failures:
                    left = self._some(system, start, found, left)

    def _some(self, system: System, start: str, found: Findings, left: list[Work]) -> list[Work]:
        """The works in one session; those that are left after one that did it harm."""
        try:
            with Running(start, self._limit) as running:
                for number, work in enumerate(left, 1):
                    try:
                        value = running.work(work, self._scale)
                    except FailedError as error:
                        found.failures[work.name] = _report(f"{system.title}: {work.title}", str(error))
                        return left[number:]
                    _report(f"{system.title}: {work.title}", f"{value:,.4g} {work.unit}")
                    found.values.setdefault(work.name, []).append(value)
        except FailedError as error:
            found.failures["start"] = _report(f"{system.title}: start", str(error))
        return []

    def once(self) -> None:
        """What needs no rounds: idling, and growing maps."""
        for system, found in self.findings.items():
            if "start" in found.failures:
                continue
            try:
                with Running(system.start_tiny or system.start, self._limit) as running:
                    found.idle = running.idle(self._scale.idle)
                    self._grow(system, found, running)
            except FailedError as error:
                found.failures["growth"] = _report(f"{system.title}: growth", str(error))

    def _grow(self, system: System, found: Findings, running: Running) -> None:
        for items in self._scale.sizes:
            if found.growth:
                last = found.growth[-1]
                expected = last.seconds * items / last.items
                if expected > self._scale.growth_limit:
                    found.failures["growth"] = f"{items:,} items would take about {expected:,.0f} s"
                    return
            found.growth.append(running.grow(items, self._scale))
            _report(f"{system.title}: {items:,} items", f"{found.growth[-1].seconds:.3g} s")


def _report(what: str, came: str) -> str:
    print(f"{what}: {came}", file=sys.stderr, flush=True)
    return came
