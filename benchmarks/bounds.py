"""What very much of something costs: ``make bounds``; writes docs/bounds.md.

Each line has a server and a worker of its own, and a caller in a process of its own, so that the memory of each is
seen from outside. The server says which of its scripts took longest (its slow log), and what it sent.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from multiprocessing import resource_tracker
from pathlib import Path
from threading import Event, Thread
from typing import Any

import click
import psutil

from benchmarks import cases_of_much, harness, processes, timed_worker
from benchmarks.alone import until
from benchmarks.page import machine
from benchmarks.peers.taskq import worker
from benchmarks.report import number, table
from taskq.redis import lua, scripting, services
from taskq.redis.connection import connect

PAGE = Path(__file__).parents[1] / "docs" / "bounds.md"
_SAMPLE = 0.02  # seconds between two looks at the memory
_MIB = 2**20
_GONE = 60.0  # seconds a worker may take to end
_LIMIT = 1800.0  # seconds one line may take
HEAD = ("what", "service, MiB", "server, MiB", "caller, MiB", "longest script, ms", "longest turn, ms",
        "computed in a turn, ms", "a look at it, bytes", "took, s")  # fmt: skip


class Peaks:
    """The most memory that each of some processes has, above what it had at the start."""

    def __init__(self, **pids: int) -> None:
        self._watched = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before = {name: process.memory_info().rss for name, process in self._watched.items()}
        self._most = dict(self._before)
        self._over = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE):
            for name, process in self._watched.items():
                self._most[name] = max(self._most[name], process.memory_info().rss)

    def end(self) -> dict[str, str]:
        self._over.set()
        self._thread.join()
        return {
            name: f"{before / _MIB:.0f} + {(self._most[name] - before) / _MIB:.0f}"
            for name, before in self._before.items()
        }


@dataclass
class Place:
    """A server and a worker that is ready."""

    url: str
    service: int  # pid
    server: int  # pid
    turns: Path
    connection: Any

    def longest_script(self) -> str:
        """Milliseconds, and which it was."""
        calls = [entry for entry in self.connection.slowlog_get(1000) if entry["command"][:4].upper() == b"EVAL"]
        if not calls:
            return "< 1"
        longest = max(calls, key=lambda entry: entry["duration"])
        return f"{longest['duration'] / 1000:.1f} ({self._names().get(longest['command'].split()[1], '?')})"

    def _names(self) -> dict[bytes, str]:
        files = [
            file.name.removesuffix(".lua") for file in resources.files(lua).iterdir() if file.name.endswith(".lua")
        ]
        return {scripting.sha(lua.whole(name)).encode(): f"{name}.lua" for name in files}

    def longest_turn(self, since: float) -> tuple[str, str]:
        """Milliseconds, of those that began after a moment (Unix time): of the longest, and the most of CPU."""
        turns = [[float(word) for word in line.split()] for line in self.turns.read_text().splitlines()]
        turns = [turn for turn in turns if turn[0] > since]
        most = (max((turn[column] for turn in turns), default=0.0) for column in (1, 2))
        whole, computed = (f"{one * 1000:.0f}" if one else f"< {timed_worker.LEAST * 1000:.0f}" for one in most)
        return whole, computed


@contextmanager
def place() -> Iterator[Place]:
    spared = processes.descendants()
    with tempfile.TemporaryDirectory() as folder, harness.server() as url:
        turns = Path(folder, "turns")
        turns.touch()
        command = [sys.executable, "-m", timed_worker.__name__, *worker(url, "--log-level", "error")[3:]]
        environment = {**os.environ, timed_worker.VARIABLE: str(turns)}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
        try:
            with connect(url) as connection:
                until(lambda: services.live(connection), "the worker is ready")
                connection.config_set("slowlog-log-slower-than", 1000)
                connection.config_set("slowlog-max-len", 1000)
                info = services.live(connection)[0]
                yield Place(url, info.pid, connection.info("server")["process_id"], turns, connection)
        finally:
            process.terminate()
            process.wait(_GONE)
            processes.kill_all_but(spared)


def line(title: str, case: Callable[..., Any], count: int) -> tuple[str, ...]:
    """Run a case in a process of its own; what it cost."""
    with place() as here, multiprocessing.get_context("spawn").Pool(1) as caller:
        pid = caller.apply(os.getpid)
        caller.apply(cases_of_much.noop, (here.url,))
        since = time.time()
        here.connection.slowlog_reset()
        peaks = Peaks(service=here.service, server=here.server, caller=pid)
        began = time.perf_counter()
        look = caller.apply_async(case, (here.url, count)).get(_LIMIT)
        took = time.perf_counter() - began
        most = peaks.end()
        cells = (title.format(count=count), most["service"], most["server"], most["caller"],
                 here.longest_script(), *here.longest_turn(since))  # fmt: skip
    return (*cells, number(look) if look else "-", f"{took:.0f}")


@click.command()
@click.option("--quick", is_flag=True, help="A hundredth of it: to see that all of it works. Writes no page.")
@click.option("--case", "cases", multiple=True, help="Only this one; may be given several times. Writes no page.")
def main(*, quick: bool, cases: tuple[str, ...]) -> None:
    rows = []
    resource_tracker.ensure_running()  # else it would be taken for something that a worker has left
    with processes.adopting_orphans():
        for case in cases_of_much.CASES:
            if cases and case.name not in cases:
                continue
            rows.append(line(case.title, case.run, max(1, case.count // (100 if quick else 1))))
            print(table(HEAD, rows[-1:]).splitlines()[-1], flush=True)
    text = f"""# Bounds

Written by `make bounds`, measured on {machine()}. Memory is resident: what was there before, and the most that
came on top. A turn of the dispatcher lasts as long as the server lets it wait; *computed* is its thread's CPU.
A *look* is what the server sends for `job.progress` and `repr(job)`.

{table(HEAD, rows)}
{cases_of_much.explained()}"""
    print(text)
    if not (quick or cases):
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
