"""``taskq jobs``."""

from __future__ import annotations

import click

from taskq.views.listed import STATUSES
from taskq.views.short_ids import SHOWN
from taskq_workers.cli.job_view import JobView, newest
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import reached
from taskq_workers.cli.said import put_json
from taskq_workers.cli.tables import Column, ago, short, show, table

_JOBS = (
    Column("id", long=SHOWN), Column("kind"), Column("status"), Column("queue", long=6),
    Column("description", long=11), Column("items", rare=True, long=6), Column("created"),
)  # fmt: skip


@click.command()
@url_option
@click.option(
    "--status", "statuses", type=click.Choice(STATUSES), multiple=True, help="Only these; may be repeated."
)
@click.option("--queue", "queue_name", help="Only of this queue.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each job.")
def jobs(url: str, statuses: tuple[str, ...], queue_name: str | None, limit: int, as_json: bool) -> None:
    """List jobs, the newest first: maps and plain RQ jobs.

    A line of --json is {"id", "kind": "map" or "plain", "status", "queue", "description", "created_at",
    "enqueued_at", "started_at", "ended_at", "items": {"total", "done", "failed", "sealed": whether
    it gets no more items, "paused", "terms": {option: value}} or null}; times are ISO 8601.

    \b
    Examples:
      taskq jobs
      taskq jobs --status failed --limit 5
      taskq jobs --status started --status queued --json
    """
    with reached(url) as connection:
        found = newest(connection, statuses or STATUSES, queue_name, limit)
    if as_json:
        for view in found:
            put_json(view.to_dict())
    else:
        show(table("Jobs", _JOBS, map(_row, found)))


def _row(view: JobView) -> tuple[object, ...]:
    items = ""
    if view.items is not None:
        failed = f", {view.items.failed} failed" if view.items.failed else ""
        items = f"{view.items.done}/{view.items.total}{'' if view.items.sealed else '+'}{failed}"
    return short(view.id), view.kind, view.status, view.queue, view.description, items, ago(view.created_at)
