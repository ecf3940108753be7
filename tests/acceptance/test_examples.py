"""The examples, each run as its reader would run it: what they print, and that nothing of them is left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

import taskq
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LIMIT = 5 * HANGS  # seconds; an example waits for one thing after the other
LOOK = 0.2  # seconds between looks at the processes, which live for longer; each takes some 10 ms

SUMS = r"Results: \[(\d{8}, ){7}\d{8}\]"


@dataclass
class Example:
    """Runs examples in a folder of its own.

    That folder is also how their processes are known: all of them have it, or a folder in it, for their
    working directory. (Their environment would not tell: a process that sets its title overwrites it.)
    """

    folder: Path
    titles: set[str] = field(default_factory=set)  # of all processes that were seen

    def run(self, name: str, *arguments: str) -> str:
        """What it prints; fails if it fails, takes too long or leaves anything."""
        temporary = self.folder / "tmp"
        temporary.mkdir()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TASKQ_")}
        environment |= {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(EXAMPLES / name), *arguments]
        output, errors = self.folder / "stdout", self.folder / "stderr"
        with (
            output.open("wb") as stdout,
            errors.open("wb") as stderr,
            subprocess.Popen(
                command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
            ) as process,
        ):
            deadline = time.monotonic() + LIMIT
            while process.poll() is None and time.monotonic() < deadline:
                self.titles |= {title(one) for one in self.processes()}
                time.sleep(LOOK)
            in_time = process.poll() is not None
            if not in_time:
                self.kill_all()
        told = f"{output.read_text()}\n--- stderr\n{errors.read_text()}"
        assert in_time, f"{name} did not end within {LIMIT} s:\n{told}"
        assert process.returncode == 0, told
        assert "Traceback" not in told, told
        wait_until(lambda: not self.processes(), f"no process of {name} is left")
        assert list(temporary.iterdir()) == [], "temporary files are left"
        return output.read_text()

    def processes(self) -> list[psutil.Process]:
        """Those of the example that are alive, its own included."""
        return [process for process in psutil.process_iter() if self._has(process)]

    def _has(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(self.folder)
        except psutil.Error:  # gone, or somebody else's
            return False

    def kill_all(self) -> None:
        for process in self.processes():
            process.kill()


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


@pytest.fixture
def example() -> Iterator[Example]:
    # Not pytest's tmp_path: the path of a unix socket may have 104 characters only.
    with tempfile.TemporaryDirectory() as folder:
        example = Example(Path(folder).resolve())
        yield example
        example.kill_all()


def part(text: str, start: str, end: str = "") -> str:
    """From the heading ``start`` up to the heading ``end``, or to the end."""
    _, found, rest = f"\n{text}".partition(f"\n{start}")
    assert found, f"no {start!r} in:\n{text}"
    return found + (rest.partition(f"\n{end}")[0] if end else rest)


def test_threads_and_daemons(example: Example) -> None:
    printed = example.run("threads_and_daemons.py")
    join, daemon, queued = part(printed, "1.", "2."), part(printed, "2.", "3."), part(printed, "3.")

    assert join.index("thread started") < join.index("'hello from a thread'") < join.index("has ended")
    assert "daemon thread started" in daemon
    assert "has ended" in daemon
    assert "hello" not in daemon
    assert queued.index("job enqueued") < queued.index("has ended") < queued.index("'hello from a job', says")
    assert "'hello from a job' (finished)" in queued
    assert seen(example, r"taskq: manager"), "the look at processes must be able to see what could be left"
    assert seen(example, r"taskq: service 0 pool process 0")
    assert seen(example, r"(redis|valkey)-server")


def test_manager_list(example: Example) -> None:
    printed = example.run("manager_list.py")
    manager, queued = part(printed, "1.", "2."), part(printed, "2.")

    assert re.search(SUMS, manager)
    assert "gone with its manager" in manager
    assert re.search(SUMS, queued)
    assert "<ResultList 'taskq:list:{sums}' 8 items>" in queued
    assert queued.count("finished") == 8


def test_pool_map(example: Example) -> None:
    printed = example.run("pool_map.py")
    pool, queued = part(printed, "Pool(8).map", "q.map"), part(printed, "q.map", "undisturbed")

    assert len(re.findall(SUMS, pool)) == 1
    assert "which was at item 3" in pool
    assert "still waiting" in pool
    assert len(re.findall(SUMS, queued)) == 2
    assert "which was at item 3" in queued
    assert "8 of 8 done, 0 failed" in queued
    assert re.search(r"undisturbed: Pool\(8\)\S+ [\d.]+ s, q.map\S+ [\d.]+ s", printed)


def test_printer_service(example: Example) -> None:
    printed = example.run("printer_service.py")
    printers, services = part(printed, "with_cotyledon", "with_taskq"), part(printed, "with_taskq")

    assert re.search(r"\d+ printer_service.py: master process", printers)
    assert all(re.search(rf"\d+ printer_service.py: printer worker\({k}\)", printers) for k in (0, 1))
    restarted(printers)
    assert "Doing stuff" in printers[printers.index("has its place") :]
    assert "stopped, exit code 0" in printers

    assert re.search(r"\d+ taskq: manager", services)
    assert all(re.search(rf"\d+ taskq: service {k} \[default\]", services) for k in (0, 1))
    assert re.search(r"\d+ taskq: service \d pool process \d", services)
    restarted(services)
    done = [int(n) for n in re.findall(r"Doing stuff (\d+)", services)]
    assert set(done) == set(range(12))
    assert len(done) > 12, "the killed service was at nothing, so nothing had to be handed on"
    assert f"Results: {[n * n for n in range(12)]}" in services
    assert "12 in the result list, 0 failed" in services


def test_printers_stop_by_themselves(example: Example) -> None:
    assert "Doing stuff" in example.run("printer_service.py", "--seconds", "1")
    assert seen(example, r"printer worker\(1\)")


def test_tasks_need_to_be_importable_by_the_workers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)  # the workers look where this program does
    with taskq.local() as q:
        assert q.map("tasks.square", range(100)).get(timeout=HANGS) == [n * n for n in range(100)]
        words = q.enqueue("tasks.word_count", "to be or not to be").latest_result(timeout=HANGS)
        assert words is not None
        assert words.return_value == {"to": 2, "be": 2, "or": 1, "not": 1}
        failures = q.map("tasks.reciprocal", [4, 0, 2]).get(timeout=HANGS, errors="return")
        assert failures[::2] == [0.25, 0.5]
        assert isinstance(failures[1], ZeroDivisionError)
    assert "tasks" not in sys.modules


def test_the_table_names_every_example() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in readme] == []


def seen(example: Example, pattern: str) -> bool:
    return any(re.search(pattern, one) for one in example.titles)


def restarted(printed: str) -> None:
    killed = re.search(r"kill -9 (\d+) \(.+\): (\d+) has its place", printed)
    assert killed, printed
    assert killed[1] != killed[2]
