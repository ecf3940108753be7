"""``taskq health``."""

from __future__ import annotations

import click

from taskq.errors import ServerError
from taskq_workers.cli import exits
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import reached
from taskq_workers.cli.said import put, put_json
from taskq_workers.manager import health as checks


@click.command()
@url_option
@click.option("--services", type=click.IntRange(min=1), default=1, envvar="TASKQ_SERVICES", show_envvar=True,
              show_default=True, help="How many services must be alive on this host.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def health(ctx: click.Context, url: str, services: int, as_json: bool) -> None:
    """Say whether this host's services are well: exit code 0, or 1. For Docker's and Kubernetes' probes.

    Well means: Redis answers, and as many services as there should be are registered by this host, their
    processes are there, and their leases fresh. With --json: {"healthy", "services", "problems": [text]}.

    \b
    Examples:
      taskq health
      taskq health --services 2 --json
    """
    try:
        with reached(url) as connection:
            found = checks.look(connection, services)
    except ServerError as error:
        found = checks.Health(0, [str(error)])
    if as_json:
        put_json({"healthy": found.healthy, "services": found.services, "problems": found.problems})
    else:
        put(found)
    ctx.exit(exits.OK if found.healthy else exits.ERROR)
