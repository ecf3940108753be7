"""``taskq status``."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
import rq
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from taskq import refusals, services
from taskq.connection import connect, hide_password
from taskq.errors import ServerError
from taskq.queue import Queue
from workers.cli.options import url_option

_WIDE = 200  # columns where nobody looks, so that names stay whole


@click.command()
@url_option
def status(url: str) -> None:
    """Show the queues and the live services.

    \b
    taskq status --url redis://localhost:6379/0
    """
    connection = connect(url, retries=0)
    try:
        tables = (_queues(connection), _services(connection))
        refused = refusals.counted(connection)
    except (RedisError, OSError) as error:
        raise ServerError(f"no Redis at {hide_password(url)}: {error}") from error
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    for table in tables:
        console.print(table)
    if refused:
        what = (
            f"{refused[refusals.SIGNATURE]} not signed, {refused[refusals.IMPORT]} not allowed by --allow-import"
        )
        console.print(f"Refused jobs and chunks: {what}")


def _queues(connection: Any) -> Table:
    table = Table("queue", "waiting", "running", "finished", "failed", title="Queues", title_justify="left")
    for queue in sorted(rq.Queue.all(connection), key=lambda queue: queue.name):
        known = Queue(queue.name, connection=connection)
        registries = (known.started_job_registry, known.finished_job_registry, known.failed_job_registry)
        counts = (registry.get_job_count(cleanup=False) for registry in registries)
        table.add_row(queue.name, *map(str, (len(known), *counts)))
    return table


def _services(connection: Any) -> Table:
    table = Table("service", "host", "pid", "processes", "queues", "up", title="Services", title_justify="left")
    for info in services.live(connection):
        up = f"{time.time() - info.started:.0f} s"
        table.add_row(info.name, info.host, str(info.pid), str(info.processes), " ".join(info.queues), up)
    return table
