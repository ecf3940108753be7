"""``taskq dashboard``."""

from __future__ import annotations

import sys

import click

from taskq.errors import UsageError
from taskq.payload import signing
from taskq_workers import logs, signals
from taskq_workers.cli.options import url_option
from taskq_workers.dashboard.settings import PORT, DashboardSettings


@click.command(context_settings={"show_default": True})
@url_option
@click.option("--host", default="127.0.0.1", envvar="TASKQ_DASHBOARD_HOST", show_envvar=True,
              help="The address to listen on.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, envvar="TASKQ_DASHBOARD_PORT",
              show_envvar=True, help="0: any free one.")  # fmt: skip
@click.option("--token", default="", envvar="TASKQ_DASHBOARD_TOKEN", show_envvar=True, show_default=False,
              help="Ask for this token: in a form, or as Authorization: Bearer.")  # fmt: skip
@click.option("--basic-auth", default="", envvar="TASKQ_DASHBOARD_BASIC_AUTH", show_envvar=True,
              show_default=False, metavar="USER:PASSWORD", help="Ask for this user and password.")  # fmt: skip
@click.option("--allow-actions", is_flag=True, envvar="TASKQ_DASHBOARD_ALLOW_ACTIONS", show_envvar=True,
              help="Let the page cancel and retry; without, it only shows.")  # fmt: skip
@click.option("--allow-host", multiple=True, envvar="TASKQ_DASHBOARD_ALLOW_HOST", show_envvar=True, metavar="NAME",
              help="A further name by which browsers reach it; may be repeated.")  # fmt: skip
@click.option("--no-auth", is_flag=True, envvar="TASKQ_DASHBOARD_NO_AUTH", show_envvar=True,
              help="Listen on other addresses than this machine's own without token or password.")  # fmt: skip
def dashboard(
    url: str, host: str, port: int, token: str, basic_auth: str, allow_actions: bool, allow_host: tuple[str, ...],
    no_auth: bool,
) -> None:  # fmt: skip
    """Serve a page that shows queues, maps, cores and errors, live.

    Options given on the command line can be seen by others on this machine: prefer the environment for secrets.

    \b
      taskq dashboard                          # http://127.0.0.1:8700, read-only
      taskq dashboard --allow-actions          # cancel and retry, too
      TASKQ_DASHBOARD_TOKEN=secret taskq dashboard --host 0.0.0.0
    """
    settings = DashboardSettings(url, host, port, token, basic_auth, allow_actions, allow_host, no_auth)
    signing.keyring()  # one that is of no use is an error now, and not at the first download
    logs.to_stderr(logs.LogOptions())
    try:
        from taskq_workers.dashboard.app import Dashboard
        from taskq_workers.dashboard.server import Server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise UsageError(
            f"the dashboard needs {error.name}, which is not installed: pip install 'taskq-pool[dashboard]'"
        ) from error
    server = Server(settings, Dashboard(settings))
    signals.end_quietly()
    server.run()
    if not server.started:
        sys.exit(1)  # uvicorn has said why
