"""``imap`` over an endless generator: ``make endless SECONDS=60``.

How soon the first value comes on an idle worker; how far the generator is read ahead of what was taken; and
whether the memory of server, service and producer, which is this process, stays what it is.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click
import psutil

import taskq
from benchmarks import alone, works
from benchmarks.report import table
from taskq.redis import services

BUFFER = 1000
FIRSTS = 20  # times that the first value is waited for
_MIB = 2**20
_SETTLED = 0.2  # of the time, until which memory may grow


@dataclass
class Ahead:
    """How much was read of an endless generator, and taken of the results."""

    read: int = 0
    taken: int = 0
    most: int = 0  # read and not taken

    def items(self) -> Iterator[int]:
        for n in itertools.count():
            self.read = n + 1
            yield n

    def took(self) -> None:
        self.taken += 1
        self.most = max(self.most, self.read - self.taken)


@dataclass
class Memories:
    """MiB of each, about once a second."""

    service: psutil.Process
    connection: Any
    seen: dict[str, list[float]] = field(default_factory=lambda: {"producer": [], "service": [], "server": []})
    _next: float = 0.0

    def look(self, now: float) -> None:
        if now < self._next:
            return
        self._next = now + 1.0
        self.seen["producer"].append(psutil.Process().memory_info().rss / _MIB)
        self.seen["service"].append(self.service.memory_info().rss / _MIB)
        self.seen["server"].append(self.connection.info("memory")["used_memory"] / _MIB)

    def rows(self) -> list[tuple[str, ...]]:
        rows = []
        for name, values in self.seen.items():
            settled = int(len(values) * _SETTLED)
            first, last = max(values[: settled + 1]), max(values[settled:])
            rows.append((f"{name}, MiB: at most, in the first fifth and after it", f"{first:.1f}, {last:.1f}"))
        return rows


def first_values(q: taskq.Queue) -> list[float]:
    """Milliseconds, sorted: of items of nothing, and of items of 5 ms."""
    found = []
    for function, item in ((works.noop, 0), (works.nap, 0.005)):
        for _ in range(FIRSTS):
            began = time.perf_counter()
            with q.imap(function, itertools.repeat(item), buffersize=BUFFER) as values:
                next(values)
                found.append((time.perf_counter() - began) * 1000)
            alone.until(lambda: not q.connection.exists("taskq:open:default"), "nothing is left of it")
    return found


@click.command()
@click.option("--seconds", default=60.0, show_default=True)
def main(seconds: float) -> None:
    """Measure, and print a table."""
    with alone.queue() as q:
        firsts = first_values(q)
        memories = Memories(psutil.Process(services.live(q.connection)[0].pid), q.connection)
        ahead, until = Ahead(), time.monotonic() + seconds
        with q.imap(works.noop, ahead.items(), buffersize=BUFFER) as values:
            while (now := time.monotonic()) < until:
                memories.look(now)
                next(values)
                ahead.took()
    rows: list[tuple[str, ...]] = []
    for what, times in (("no-op items", firsts[:FIRSTS]), ("items of 5 ms", firsts[FIRSTS:])):
        told = f"{statistics.median(times):.0f} ms, {max(times):.0f} ms"
        rows.append((f"first value on an idle worker, {what}: median, worst of {FIRSTS}", told))
    rows.append((f"values in {seconds:g} s", f"{ahead.taken:,}"))
    rows.append((f"read and not taken, at most, by buffersize={BUFFER}", f"{ahead.most:,}"))
    click.echo(table(("what", "measured"), [*rows, *memories.rows()]))


if __name__ == "__main__":
    main()
