"""``taskq results``."""

from __future__ import annotations

import click

from taskq_workers.cli.follow import Following, follow_options, start_option
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import complete_id, find_map, reached


@click.command()
@click.argument("job_id", metavar="ID", shell_complete=complete_id)
@url_option
@follow_options
@start_option
@click.pass_context
def results(ctx: click.Context, job_id: str, url: str, as_completed: bool, values: bool, start: int) -> None:
    """Print the results that a map has by now, as `taskq map` does, and do not wait for more.

    Of a map that still runs, those items are passed over that have no outcome yet. Exit code 3: items have
    failed, 4: the map ended before all were tried.

    \b
    Examples:
      taskq results ID
      taskq results ID --values > results.jsonl
      taskq results ID --start 1000
    """
    with reached(url) as connection:
        ctx.exit(Following(as_completed, values, wait=False, start=start).run(find_map(connection, job_id)))
