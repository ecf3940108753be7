"""Options of ``taskq map`` for what a map may be told; the other ones stand in ``map.py``."""

from __future__ import annotations

from typing import Any

import click

from taskq.payload import names
from taskq_workers.cli.items import value_of


def told_options(function: Any) -> Any:
    """The options, for a command that takes them as keywords, for ``told``."""
    for option in (
        click.option("--initarg", "initargs", multiple=True, metavar="VALUE",
                     help="An argument for it, read as an item is; may be given again."),
        click.option("--initializer", metavar="MODULE:FUNCTION",
                     help="Called once in each process before its first item. [default: none]"),
        click.option("--first", type=click.IntRange(min=1), metavar="N",
                     help="So many results are enough: then the map has finished. [default: all]"),
        click.option("--results", type=click.Choice(["keep", "discard"]),
                     help="discard: results are only counted, and lines are those of errors. [default: keep]"),
    ):  # fmt: skip
        function = option(function)
    return function


def told(options: dict[str, Any]) -> dict[str, Any]:
    """Those that were given, as ``Queue.map`` takes them.

    Raises:
        click.UsageError: If one can't be meant.
    """
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if initializer := given.get("initializer"):
        if names.dotted(initializer) is None:
            raise click.UsageError(f"--initializer: {initializer!r} is not of the form MODULE:FUNCTION")
        given["initializer"] = names.dotted(initializer)
    if "initargs" in given:
        given["initargs"] = tuple(map(value_of, given["initargs"]))
    return given
