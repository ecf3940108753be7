"""``taskq dashboard``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from taskq.errors import OptionError, UsageError
from taskq.payload import signing
from taskq_workers import logs, signals
from taskq_workers.cli.options import url_option
from taskq_workers.dashboard.settings import PORT, DashboardSettings


def _not_here(_ctx: click.Context, option: click.Parameter, given: str | None) -> None:
    """Refuse a secret on the command line.

    Raises:
        click.BadParameter: If there is one.
    """
    if given is not None:
        name = str(option.name)
        raise click.BadParameter(
            "a command line can be seen by all on this machine. Put it into a file, and give "
            f"--{name.replace('_', '-')}-file; or into the variable TASKQ_DASHBOARD_{name.upper()}"
        )


def _secret(variable: str, option: str, path: str | None) -> str:
    """What the file holds, else the variable; empty if there is neither.

    Args:
        variable: Holds it.
        option: Names the file; so does another variable, which click has read.
        path: The file.

    Raises:
        OptionError: If both are there, the file can't be read, or what there is is blank: the page was to ask
            for it.
    """
    given = os.environ.get(variable)
    if path is None and f"{variable}_FILE" in os.environ:
        raise OptionError(f"{variable}_FILE is blank: it names no file")  # click takes that for none
    if path is not None and given is not None:
        raise OptionError(f"{variable} and a file ({option}, {variable}_FILE) are both set: unset one")
    if path is not None:
        try:
            given = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise OptionError(f"{path!r} can't be read: {error}") from error
    if given is not None and not given.strip():
        raise OptionError(f"{variable if path is None else repr(path)} is blank: the page would ask for nothing")
    return (given or "").strip()


@click.command(context_settings={"show_default": True})
@url_option
@click.option("--host", default="127.0.0.1", envvar="TASKQ_DASHBOARD_HOST", show_envvar=True,
              help="The address to listen on.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, envvar="TASKQ_DASHBOARD_PORT",
              show_envvar=True, help="0: any free one.")  # fmt: skip
@click.option("--token-file", type=click.Path(), envvar="TASKQ_DASHBOARD_TOKEN_FILE", show_envvar=True,
              help="Ask for the token in this file: in a form, or as Authorization: Bearer.")  # fmt: skip
@click.option("--basic-auth-file", type=click.Path(), envvar="TASKQ_DASHBOARD_BASIC_AUTH_FILE", show_envvar=True,
              help="Ask for the user and password in this file: user:password.")  # fmt: skip
@click.option("--token", hidden=True, callback=_not_here)
@click.option("--basic-auth", hidden=True, callback=_not_here)
@click.option("--allow-actions", is_flag=True, envvar="TASKQ_DASHBOARD_ALLOW_ACTIONS", show_envvar=True,
              help="Let the page cancel and retry; without, it only shows.")  # fmt: skip
@click.option("--allow-host", multiple=True, envvar="TASKQ_DASHBOARD_ALLOW_HOST", show_envvar=True, metavar="NAME",
              help="A further name by which browsers reach it; may be repeated.")  # fmt: skip
@click.option("--no-auth", is_flag=True, envvar="TASKQ_DASHBOARD_NO_AUTH", show_envvar=True,
              help="Listen on other addresses than this machine's own without token or password.")  # fmt: skip
def dashboard(
    url: str, host: str, port: int, token_file: str | None, basic_auth_file: str | None, allow_actions: bool,
    allow_host: tuple[str, ...], no_auth: bool, **_: None,
) -> None:  # fmt: skip
    """Serve a page that shows queues, maps, cores and errors, live.

    A token (or user:password) is read from a file, or from TASKQ_DASHBOARD_TOKEN (TASKQ_DASHBOARD_BASIC_AUTH): a
    command line can be seen by all on this machine.

    \b
      taskq dashboard                          # http://127.0.0.1:8700, read-only
      taskq dashboard --allow-actions          # cancel and retry, too
      taskq dashboard --host 0.0.0.0 --token-file /run/secrets/token
    """
    token = _secret("TASKQ_DASHBOARD_TOKEN", "--token-file", token_file)
    basic_auth = _secret("TASKQ_DASHBOARD_BASIC_AUTH", "--basic-auth-file", basic_auth_file)
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
