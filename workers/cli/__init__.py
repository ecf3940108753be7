"""The command ``taskq``; one file for each subcommand."""

from __future__ import annotations

import sys

import click

from taskq import __version__
from taskq.errors import TaskqError
from workers.cli.demo import demo
from workers.cli.shell import shell
from workers.cli.status import status
from workers.cli.worker import worker


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """multiprocessing.Pool.map made durable: on a Redis queue, by supervised workers, on all cores.

    \b
    See it work, with nothing installed:   taskq demo
    Start workers on all cores:            taskq worker --url redis://localhost:6379/0
    Push maps from a Python shell:         taskq shell
    """


for command in (worker, demo, shell, status):
    cli.add_command(command)


def main() -> None:
    """Entry point: an error of taskq's own is a message and exit code 1, not a traceback."""
    try:
        cli()
    except TaskqError as error:
        click.echo(f"taskq: {error}", err=True)
        sys.exit(1)
