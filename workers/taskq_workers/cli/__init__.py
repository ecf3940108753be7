"""The command ``taskq``; one file for each subcommand."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from taskq import __version__
from taskq.errors import TaskqError, VersionError
from taskq.views.escaped import escaped
from taskq_workers.cli import exits
from taskq_workers.cli.completion import completion
from taskq_workers.cli.control import cancel, limit, pause, resume, retry
from taskq_workers.cli.dashboard import dashboard
from taskq_workers.cli.demo import demo
from taskq_workers.cli.doctor import doctor
from taskq_workers.cli.health import health
from taskq_workers.cli.jobs import jobs
from taskq_workers.cli.map import attach, map_command
from taskq_workers.cli.memo import memo_group
from taskq_workers.cli.report import report
from taskq_workers.cli.results import results
from taskq_workers.cli.server import server
from taskq_workers.cli.shell import shell
from taskq_workers.cli.show import show_command
from taskq_workers.cli.status import status
from taskq_workers.cli.top import top
from taskq_workers.cli.worker import worker
from taskq_workers.cli.worker_pool import worker_pool


class _Message(click.ClickException):
    """How click shows an error of taskq's own: the message, and no traceback."""

    def show(self, file: Any = None) -> None:
        click.echo(escaped(f"taskq: {self.message}", lines=True), err=True, file=file)


class _OtherVersion(_Message):
    exit_code = exits.OTHER_VERSION


class _Group(click.Group):
    """Turns what may go wrong anywhere into a message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TaskqError as error:
            kind = _OtherVersion if isinstance(error, VersionError) else _Message
            raise kind(str(error)) from error
        except KeyboardInterrupt:
            ctx.exit(exits.INTERRUPTED)
        except BrokenPipeError:  # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(exits.PIPE_CLOSED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """multiprocessing.Pool.map made durable: on a Redis queue, by supervised workers, on all cores.

    \b
    See it work, with nothing installed:   taskq demo
    Start a Redis server, and workers:     taskq worker --embedded
    Start workers on all cores:            taskq worker --url redis://localhost:6379/0
    Push maps from a Python shell:         taskq shell
    Push a map from any other shell:       taskq map math:sqrt 4 9 16
    See what runs:                         taskq top

    Data goes to stdout, messages and progress to stderr; `taskq COMMAND --help` has examples.
    """


for command in (
    worker, worker_pool, server, demo, shell, map_command, attach, status, top, jobs, show_command, results,
    cancel, retry, pause, resume, limit, memo_group, health, doctor, dashboard, report, completion,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """Entry point."""
    cli()
