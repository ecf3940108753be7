"""The command ``taskq``; one file for each subcommand."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from taskq import __version__
from taskq.errors import TaskqError, VersionError
from taskq.views.escaped import escaped
from taskq_workers.cli import exits


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


class _Commands(dict[str, Any]):
    """Name -> command, each imported when it is asked for: a worker starts without what draws tables.

    A command is in the module that has its name, or else says ``_ELSEWHERE``.
    """

    def __getitem__(self, name: str) -> click.Command:
        if not super().__getitem__(name):
            module, attribute = _ELSEWHERE.get(name, (name.replace("-", "_"), name.replace("-", "_")))
            self[name] = getattr(import_module(f"{__name__}.{module}"), attribute)
        command: click.Command = super().__getitem__(name)
        return command

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 - that would be this very method

    def values(self) -> Any:
        return [self[name] for name in self]

    def items(self) -> Any:
        return [(name, self[name]) for name in self]


_ELSEWHERE = {
    **{name: ("control", name) for name in ("cancel", "limit", "pause", "resume", "retry")},
    "map": ("map", "map_command"),
    "attach": ("map", "attach"),
    "memo": ("memo", "memo_group"),
    "show": ("show", "show_command"),
}
"""Name -> module and attribute."""


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


cli.commands = _Commands(
    (name, "")
    for name in (
        "worker", "worker-pool", "server", "demo", "shell", "map", "attach", "status", "top", "jobs", "show",
        "results", "cancel", "retry", "pause", "resume", "limit", "memo", "health", "doctor", "dashboard",
        "report", "completion",
    )
)  # fmt: skip


def main() -> None:
    """Entry point."""
    cli()
