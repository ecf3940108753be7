"""``taskq report``."""

from __future__ import annotations

import click

from taskq.views import short_ids
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import complete_id, reached
from taskq_workers.cli.said import put


@click.command()
@click.argument("job_id", metavar="ID", shell_complete=complete_id)
@url_option
def report(job_id: str, url: str) -> None:
    """Write a report about one map to stdout: timeline, throughput, errors; one HTML file, with nothing to load.

    \b
    Examples:
      taskq report ID > report.html
    """
    from taskq_workers.report import render

    with reached(url) as connection:
        put(render(connection, short_ids.whole(connection, job_id)), end="")
