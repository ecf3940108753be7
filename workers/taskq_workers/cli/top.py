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
from taskq.views.short_ids import SHOWN
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import reached
from taskq_workers.cli.status import queues_table
from taskq_workers.cli.tables import Column, cut, duration, megabytes, short, table

_BARS = 24, 10  # columns of a map's bar: as a rule, and on a terminal of less than _ROOMY
_ROOMY = 100
_FRAME = 12  # lines of headings and borders
_BUSY, _IDLE = "█", "·"

_MAPS = (
    Column("map", long=SHOWN), Column("function", long=6), Column("status"), Column("progress"),
    Column("", number=True), Column("failed", number=True, rare=True), Column("items/s", number=True),
    Column("left", rare=True),
)  # fmt: skip
_SERVICES = (
    Column("host", long=6), Column("pid", number=True), Column("pool processes"), Column("busy", number=True),
    Column("longest", rare=True), Column("memory", number=True), Column("deaths", number=True, rare=True),
)  # fmt: skip


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


def frame(now: Snapshot, before: Snapshot | None = None, lines: int = 1000, width: int = _ROOMY) -> Group:
    """The screen; rates are those since the snapshot ``before``. Maps that don't fit ``lines`` are counted."""
    maps = [one for queue in now.queues for one in queue.maps]
    room = max(1, lines - _FRAME - len(now.queues) - len(now.services))
    shown = maps[:room]
    parts: list[Any] = [_head(now, before), _maps(shown, _BARS[width < _ROOMY])]
    if len(maps) > len(shown):
        parts.append(Text(f"... and {len(maps) - len(shown)} more"))
    return Group(*parts, _services(now), queues_table(now.queues))


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


def _maps(maps: list[MapLine], bar: int) -> Table:
    rows = []
    for one in maps:
        progress = one.progress
        shown = ProgressBar(total=max(1, progress.total), completed=progress.ended, width=bar)
        left = "" if progress.seconds_left is None else duration(progress.seconds_left)
        more = "" if progress.sealed else "+"
        failed = Text(str(progress.failed), style="red" if progress.failed else "")
        items = f"{progress.ended:,}/{progress.total:,}{more}"
        rows.append((cut(short(one.id)), cut(one.name), one.status, shown, items, failed, f"{progress.rate:,.1f}",
                     left))  # fmt: skip
    return table("Maps", _MAPS, rows)


def _services(now: Snapshot) -> Table:
    """A service a line; of each pool process one mark: does it run something?"""
    rows = []
    for one in now.services:
        marks = Text("".join(_BUSY if process.job else _IDLE for process in one.processes), style="green")
        memory = one.memory + sum(process.memory for process in one.processes)
        deaths = sum(process.deaths for process in one.processes)
        running = f"{one.busy}/{len(one.processes)}"
        died = Text(str(deaths), style="red" if deaths else "")
        rows.append((one.host, one.pid, marks, running, _longest(one.processes, now.at), megabytes(memory), died))
    return table("Services", _SERVICES, rows)


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
            console.print(frame(snapshot, width=console.width))
            return
        with (
            suppress(KeyboardInterrupt),
            _keys() as pressed,
            Live(console=console, screen=True, auto_refresh=False) as live,
        ):
            before = None
            while True:
                live.update(frame(snapshot, before, console.height, console.width), refresh=True)
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
