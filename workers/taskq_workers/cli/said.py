"""What subcommands print: all of it passes here, or is a table of ``tables.py``."""

from __future__ import annotations

from typing import Any

import click

from taskq.views.escaped import escaped
from taskq_workers.json_lines import to_json


def say(text: object) -> None:
    """A message to stderr."""
    click.echo(escaped(str(text), lines=True), err=True)


def put(text: object, *, end: str = "\n") -> None:
    """Data to stdout."""
    click.echo(escaped(str(text), lines=True) + end, nl=False)


def put_json(value: Any) -> None:
    """Data to stdout, as a line of JSON."""
    put_line(to_json(value))


def put_line(line: str) -> None:
    """A line of JSON to stdout, which holds nothing that a terminal would obey."""
    print(line)
