"""``taskq top``: a live screen."""

from __future__ import annotations

import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from taskq.redis import checked, clock, keys
from taskq.views import activity, backlog
from taskq.views.activity import Activity, ProcessActivity
from taskq.views.backlog import MapLine, QueueLine
from taskq.views.metrics import field
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import reached
from taskq_workers.cli.status import queues_table
from taskq_workers.cli.tables import add_rows, duration, megabytes, table

_BAR = 24  # columns
_FRAME = 17  # lines of headings and borders
_BUSY, _IDLE = "█", "·"


@dataclass(frozen=True)
class Snapshot:
    """All that the screen shows, at one moment. ``items``: ended so far, of all maps; ``at``: Unix time."""

    at: float
    items: float
    queues: list[QueueLine]
    services: list[Activity]


def look(connection: Any) -> Snapshot:
    """Take a snapshot."""
    outcomes = (field("taskq_items", "done"), field("taskq_items", "failed"))
    with connection.pipeline(transaction=False) as pipe:
        pipe.hmget(keys.METRICS, outcomes)
        pipe.time()
        reply, now = pipe.execute(raise_on_error=False)
    items = sum(map(checked.seconds, checked.reply(reply, [None, None])))
    return Snapshot(clock.read(now), items, backlog.read_queues(connection), activity.live(connection))


def frame(now: Snapshot, before: Snapshot | None = None, lines: int = 1000) -> Group:
    """The screen; rates are those since the snapshot ``before``. Maps that don't fit ``lines`` are counted."""
    maps = [one for queue in now.queues for one in queue.maps]
    room = max(1, lines - _FRAME - len(now.queues) - len(now.services))
    shown = maps[:room]
    parts: list[Any] = [_head(now, before), _maps(shown)]
    if len(maps) > len(shown):
        parts.append(Text(f"... and {len(maps) - len(shown)} more"))
    return Group(*parts, _services(now), queues_table(now.queues, fold=False))


def _head(now: Snapshot, before: Snapshot | None) -> Text:
    seconds = now.at - before.at if before else 0.0
    rate = (now.items - before.items) / seconds if before and seconds > 0 else 0.0
    busy = sum(one.busy for one in now.services)
    cores = sum(len(one.processes) for one in now.services)
    chunks = sum(queue.waiting + queue.claimed for queue in now.queues)
    head = Text("taskq top", style="bold")
    head.append(
        f"  {rate:,.0f} items/s  {busy}/{cores} cores busy  {chunks:,} chunks outstanding", style="not bold"
    )
    return head


def _maps(maps: list[MapLine]) -> Table:
    made = table("Maps", "map", "function", "status", "progress", "", "failed", "items/s", "left", fold=False)
    for one in maps:
        progress = one.progress
        bar = ProgressBar(total=max(1, progress.total), completed=progress.ended, width=_BAR)
        left = "" if progress.seconds_left is None else duration(progress.seconds_left)
        failed = Text(str(progress.failed), style="red" if progress.failed else "")
        row = (one.id, one.name, one.status, bar, f"{progress.ended:,}/{progress.total:,}", failed,
               f"{progress.rate:,.1f}", left)  # fmt: skip
        add_rows(made, [row])
    return made


def _services(now: Snapshot) -> Table:
    """A service a line; of each pool process one mark: does it run something?"""
    made = table("Services", "host", "pid", "pool processes", "busy", "longest", "memory", "deaths", fold=False)
    for one in now.services:
        marks = Text("".join(_BUSY if process.job else _IDLE for process in one.processes), style="green")
        memory = one.memory + sum(process.memory for process in one.processes)
        deaths = sum(process.deaths for process in one.processes)
        running = f"{one.busy}/{len(one.processes)}"
        died = Text(str(deaths), style="red" if deaths else "")
        add_rows(
            made, [(one.host, one.pid, marks, running, _longest(one.processes, now.at), megabytes(memory), died)]
        )
    return made


def _longest(processes: tuple[ProcessActivity, ...], now: float) -> str:
    """How long the chunk or job has run that runs longest."""
    since = [process.since for process in processes if process.job]
    return duration(now - min(since)) if since else ""


@click.command()
@url_option
@click.option("--interval", type=click.FloatRange(min=0.1), default=1.0, show_default=True,
              help="Seconds between two looks.")  # fmt: skip
@click.option("--once", is_flag=True, help="Print one screen and end; also where stdout is no terminal.")
def top(url: str, interval: float, once: bool) -> None:
    """Show, live, what runs: maps, services, how busy the cores are. The key q, or Ctrl-C, ends it.

    \b
    Examples:
      taskq top
      taskq top --once
    """
    console = Console(width=None if sys.stdout.isatty() else 200)
    with reached(url) as connection:
        snapshot = look(connection)
        if once or not sys.stdout.isatty():
            console.print(frame(snapshot))
            return
        with (
            suppress(KeyboardInterrupt),
            _keys() as pressed,
            Live(console=console, screen=True, auto_refresh=False) as live,
        ):
            before = None
            while True:
                live.update(frame(snapshot, before, console.height), refresh=True)
                if pressed(interval) == "q":
                    return
                before, snapshot = snapshot, look(connection)


@contextmanager
def _keys() -> Iterator[Any]:
    """A function which waits for a key, so many seconds at most; where stdin is no terminal, none comes."""
    if not sys.stdin.isatty():
        yield time.sleep
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)  # keys come one by one, and Ctrl-C is still a signal
    try:
        yield lambda seconds: sys.stdin.read(1) if select.select([sys.stdin], [], [], seconds)[0] else ""
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
