"""Options of ``taskq map`` for what a map may be told; the other ones stand in ``map.py``."""

from __future__ import annotations

from typing import Any

import click

from taskq.maps.item_retry import Retry
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
        click.option("--rate", metavar="N/UNIT",
                     help="Items that may begin within any second, minute or hour, over all workers: 5/s, 300/m, "
                     "1000/h. [default: any number]"),
        click.option("--max-running", type=click.IntRange(min=1), metavar="N",
                     help="Items that may run at once, over all workers. [default: any number]"),
        click.option("--speculate", is_flag=True, default=None,
                     help="What takes much longer than the others may run a second time where nothing else is to "
                     "be done; the first of the two counts. [default: it does not]"),
        click.option("--backoff", type=click.FloatRange(min=0), nargs=3, metavar="FIRST FACTOR MOST",
                     help="Seconds before the first of these, times by which each pause is longer than the one "
                     "before, seconds at most. [default: 1 2 60]"),
        click.option("--item-retry", type=click.IntRange(min=1, max=1000), metavar="N",
                     help="How often an item that fails is tried again while the map runs. [default: never]"),
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
    backoff = given.pop("backoff", None)
    if "item_retry" in given:
        given["item_retry"] = Retry(given["item_retry"], backoff) if backoff else Retry(given["item_retry"])
    elif backoff:
        raise click.UsageError("--backoff is of --item-retry, which is not given")
    if "initargs" in given:
        given["initargs"] = tuple(map(value_of, given["initargs"]))
    return given
