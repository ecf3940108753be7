"""Runs the same thing on RQ's worker and on ours, and compares what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from redis import Redis

from taskq.redis.connection import connect
from taskq.redis.server import private_server
from tests.acceptance.worker import environment
from tests.waiting import HANGS, wait_until

RQ, TASKQ = "rq worker", "taskq worker"
RESULTS = "ecosystem:results"
"""The key of a list: what a package had to tell in the processes that run jobs, as JSON."""
URL = "RQ_REDIS_URL"
"""The variable by which all processes are told the server; RQ's worker and ours read it by themselves."""


@dataclass(frozen=True)
class Way:
    """A way to start a worker.

    Args:
        kind: The column of the table which it belongs to.
        command: What ``sys.executable`` is given.
        more: Further options, which tell it from other ways of its kind.
    """

    kind: str
    command: tuple[str, ...]
    more: tuple[str, ...] = ()


def rq_worker(*options: str) -> Way:
    return Way(RQ, ("-m", "rq.cli", "worker", *options))


def taskq_worker(*options: str, more: tuple[str, ...] = ()) -> Way:
    return Way(TASKQ, ("-m", "taskq", "worker", "--processes", "1", *options), more)


class Stage:
    """An empty server, on which one worker runs.

    Args:
        url: Of the server.
        folder: Where its processes are started.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.connection: Redis = connect(url)
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def running(self, *command: str) -> Iterator[None]:
        """Have this run beside the block; what it has said is shown if the block fails."""
        log = self._folder / f"{len(self._processes)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self._folder, env=environment(**{URL: self.url}), stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._processes.append(process)
        try:
            yield
        except BaseException:
            sys.stderr.write(f"--- {' '.join(command)}\n{log.read_text(errors='replace')}\n")
            raise
        finally:
            self._processes.remove(process)
            end(process)

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for what the processes are to bring about; fail if one of them ends."""

        def true_or_hopeless() -> object:
            ended = [process.args for process in self._processes if process.poll() is not None]
            assert not ended, f"ended before {what}: {ended}"
            return condition()

        wait_until(true_or_hopeless, what)

    def told(self) -> list[Any]:
        return [json.loads(one) for one in self.connection.lrange(RESULTS, 0, -1)]


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(HANGS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def tell(*what: dict[str, Any]) -> None:
    """Add to ``RESULTS``, from a process that a stage has started."""
    with connect(os.environ[URL]) as connection:
        connection.rpush(RESULTS, *map(json.dumps, what))


@dataclass(frozen=True)
class Trial:
    """What is to be run of a package.

    Args:
        package: Its name in the package index.
        runs: What is run, in words.
        ways: The ways to run a worker; the first one is RQ's.
        act: Uses the package while the worker runs; its result is compared.
        collect: Called when the worker has ended; its result is compared, too.
        sum_up: What has come out, in words, given both results.
        expected: What ``sum_up`` is to say.
    """

    package: str
    runs: str
    ways: tuple[Way, ...]
    act: Callable[[Stage], Any]
    collect: Callable[[Stage], Any]
    sum_up: Callable[[Any, Any], str]
    expected: str


def perform(trial: Trial, way: Way) -> list[Any]:
    """Run it in one of its ways; returns what has come out, of ``act`` and of ``collect``."""
    with tempfile.TemporaryDirectory() as folder, private_server() as url:
        stage = Stage(url, Path(folder))
        try:
            with stage.running(sys.executable, *way.command, *way.more):
                acted = trial.act(stage)
            return [acted, trial.collect(stage)]
        finally:
            stage.connection.close()


def main(trial: Trial) -> None:
    """Run it in all its ways, and print the row of the table, as JSON."""
    results = [perform(trial, way) for way in trial.ways]
    cells: dict[str, list[str]] = {}
    good = True
    for way, got in zip(trial.ways, results, strict=True):
        said = trial.sum_up(*got)
        differences = list(differing(results[0], got))
        good = good and said == trial.expected and not differences
        sys.stderr.writelines(f"{way.kind} {' '.join(way.more)}: {one}\n" for one in differences)
        shown = f"{said}, but {len(differences)} differences" if differences else said
        cells.setdefault(way.kind, []).append(
            " ".join([f"`{' '.join(way.more)}`:", shown] if way.more else [shown])
        )
    row = [trial.package, version(trial.package), trial.runs, *("; ".join(cells[kind]) for kind in (RQ, TASKQ))]
    json.dump({"row": row, "good": good}, sys.stdout)


def differing(wanted: Any, got: Any, path: str = "") -> Iterator[str]:
    """Where, and how, one result differs from the other."""
    if isinstance(wanted, dict) and isinstance(got, dict) and wanted.keys() == got.keys():
        for key in wanted:
            yield from differing(wanted[key], got[key], f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        for number, (one, other) in enumerate(zip(wanted, got, strict=True)):
            yield from differing(one, other, f"{path}[{number}]")
    elif isinstance(wanted, list) and isinstance(got, list):
        yield from (f"{path}: lacks {one!r}" for one in wanted if one not in got)
        yield from (f"{path}: has also {one!r}" for one in got if one not in wanted)
    elif wanted != got:
        yield f"{path}: {got!r} instead of {wanted!r}"
