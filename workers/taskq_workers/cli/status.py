"""``taskq status``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click
from rich.table import Table

from taskq.redis import clock, refusals, services
from taskq.redis.services import ServiceInfo
from taskq.views import activity, backlog
from taskq.views.activity import Activity
from taskq.views.backlog import MapLine, QueueLine
from taskq.views.short_ids import SHOWN
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import reached
from taskq_workers.cli.said import put_json
from taskq_workers.cli.tables import Column, duration, megabytes, short, show, table
from taskq_workers.service import version

_QUEUES = (
    Column("queue", long=6), Column("waiting", number=True), Column("running", number=True),
    Column("finished", number=True), Column("failed", number=True, rare=True),
    Column("deferred", number=True, rare=True), Column("scheduled", number=True, rare=True),
    Column("chunks", number=True, rare=True), Column("waited", rare=True), Column("behind", rare=True, long=6),
)  # fmt: skip
_SERVICES = (
    Column("service", long=6), Column("host", long=6), Column("pid", number=True),
    Column("processes", number=True), Column("queues", long=6), Column("busy", number=True),
    Column("memory", number=True), Column("deaths", number=True, rare=True), Column("up"),
)  # fmt: skip
_MAPS = (
    Column("map", long=SHOWN), Column("function", long=6), Column("queue", long=6), Column("status"),
    Column("done", number=True), Column("failed", number=True, rare=True), Column("total", number=True),
    Column("items/s", number=True), Column("left", rare=True), Column("chunks", number=True, rare=True),
)  # fmt: skip


@click.command()
@url_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document: queues, services, maps.")
def status(url: str, as_json: bool) -> None:
    """Show the queues, the live services with their pool processes, and the maps that run or wait.

    With --json: {"queues": [{"name", "jobs": {status: count}, "chunks_waiting", "chunks_claimed", "next_waited":
    seconds, or null where no job waits, "next_behind": what is before it}], "services": [{"name", "host", "pid",
    "queues", "processes", "busy", "memory", "cpu", "started", "schema", "build", "trouble": why it takes nothing,
    "pool": [{"lane", "pid", "memory", "cpu", "started", "deaths", "job", "chunk", "since"}]}], "maps": [{"id",
    "function", "queue", "status", "chunks_waiting", "chunks_claimed", "done", "failed", "total", "sealed", "rate",
    "seconds_left"}], "refused": {reason: count}, "versions": [text: what is wrong with the versions that work
    here]}. Memory is in bytes, cpu and seconds_left in seconds, times in Unix time.

    \b
    Examples:
      taskq status
      taskq status --json
    """
    with reached(url) as connection:
        queues = backlog.read_queues(connection)
        infos = services.live(connection)
        doing = {one.name: one for one in activity.live(connection)}
        refused = refusals.counted(connection)
        now = clock.ask(connection)
        versions = version.notes(connection, infos)
    if as_json:
        put_json({**_document(queues, infos, doing), "refused": refused, "versions": versions})
        return
    show(queues_table(queues), services_table(infos, doing, now), maps_table(queues))
    for info in infos:
        if info.trouble:
            show(f"Not well: {info.name} on {info.host}: {info.trouble}")
    if refused:
        unsigned, unwanted = refused[refusals.SIGNATURE], refused[refusals.IMPORT]
        show(f"Refused jobs and chunks: {unsigned} not signed, {unwanted} not allowed by --allow-import")
    for note in versions:
        show(f"Versions: {note}")


_STATUSES = ("queued", "started", "finished", "failed", "deferred", "scheduled")


def queues_table(queues: list[QueueLine]) -> Table:
    rows = [(one.name, *(one.jobs[name] for name in _STATUSES), one.waiting + one.claimed, *_wait(one))
            for one in queues]  # fmt: skip
    return table("Queues", _QUEUES, rows)


def _wait(queue: QueueLine) -> tuple[str, str]:
    """How long the next job has waited, and what is before it."""
    return (duration(queue.wait.seconds), queue.wait.behind) if queue.wait else ("", "")


def services_table(infos: list[ServiceInfo], doing: dict[str, Activity], now: float) -> Table:
    rows = []
    for info in infos:
        one = doing.get(info.name)
        told = ("", "", "")
        if one is not None:
            memory = one.memory + sum(process.memory for process in one.processes)
            told = str(one.busy), megabytes(memory), str(sum(process.deaths for process in one.processes))
        up = duration(now - info.started)
        rows.append((info.name, info.host, info.pid, info.processes, " ".join(info.queues), *told, up))
    return table("Services", _SERVICES, rows)


def maps_table(queues: list[QueueLine]) -> Table:
    return table("Maps", _MAPS, (_map_row(one) for queue in queues for one in queue.maps))


def _map_row(one: MapLine) -> tuple[object, ...]:
    progress = one.progress
    left = "" if progress.seconds_left is None else duration(progress.seconds_left)
    return (
        short(one.id), one.name, one.queue, one.status, progress.done, progress.failed, progress.total_text,
        f"{progress.rate:,.1f}", left, one.waiting + one.claimed,
    )  # fmt: skip


def _document(
    queues: list[QueueLine], infos: list[ServiceInfo], doing: dict[str, Activity]
) -> dict[str, list[dict[str, Any]]]:
    return {
        "queues": [
            {
                "name": one.name,
                "jobs": one.jobs,
                "chunks_waiting": one.waiting,
                "chunks_claimed": one.claimed,
                "next_waited": one.wait.seconds if one.wait else None,
                "next_behind": one.wait.behind if one.wait else "",
            }
            for one in queues
        ],
        "services": [_service(info, doing.get(info.name)) for info in infos],
        "maps": [_map(one) for queue in queues for one in queue.maps],
    }


def _service(info: ServiceInfo, one: Activity | None) -> dict[str, Any]:
    """A service that has just started has told nothing yet: zeros, and no pool."""
    return {
        "name": info.name,
        "host": info.host,
        "pid": info.pid,
        "queues": info.queues,
        "processes": info.processes,
        "started": info.started,
        "schema": info.schema,
        "build": info.build,
        "trouble": info.trouble,
        "busy": one.busy if one else 0,
        "memory": one.memory if one else 0,
        "cpu": one.cpu if one else 0.0,
        "pool": [asdict(process) for process in one.processes] if one else [],
    }


def _map(one: MapLine) -> dict[str, Any]:
    return {
        "id": one.id,
        "function": one.name,
        "queue": one.queue,
        "status": one.status,
        "chunks_waiting": one.waiting,
        "chunks_claimed": one.claimed,
        "done": one.progress.done,
        "failed": one.progress.failed,
        "total": one.progress.total,
        "sealed": one.progress.sealed,
        "rate": one.progress.rate,
        "seconds_left": one.progress.seconds_left,
    }
