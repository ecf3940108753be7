"""Options of ``taskq map`` for what a map may be told; the other ones stand in ``map.py``."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import click

from taskq.errors import ImportRefusedError
from taskq.maps.info import HEAVIEST, LIGHTEST
from taskq.maps.item_retry import Retry
from taskq.payload import imports, names
from taskq_workers import user_path
from taskq_workers.cli.items import value_of

_OF_RETRY = {"backoff": "backoff", "jitter": "jitter", "retry_on": "on", "retry_not_on": "not_on"}
_OF_OPEN = ("buffersize", "orphan")


def told_options(function: Any) -> Any:
    """The options, for a command that takes them as keywords, for ``told``."""
    for option in (
        click.option("--orphan", type=click.Choice(["finish", "cancel"]),
                     help="With --follow, if this command dies: the map ends with the items that it has, or is "
                     "cancelled. [default: finish]"),
        click.option("--buffersize", type=click.IntRange(min=1), metavar="N",
                     help="With --follow: lines that may be unfinished; no more are read then. [default: 1000]"),
        click.option("--memo-changed", type=click.Choice(["keep", "forget"]),
                     help="What becomes of the --memo if FUNCTION has changed. [default: that is an error]"),
        click.option("--memo-ttl", type=float, metavar="SECONDS",
                     help="How long a result in the --memo counts; -1: for ever. [default: 30 days]"),
        click.option("--key", metavar="MODULE:FUNCTION",
                     help="Called here with each item: its key in the --memo, a text. [default: the item itself]"),
        click.option("--memo", metavar="NAME", help="Don't run items whose results are in this memo, and keep the "
                     "others there. [default: none]"),
        click.option("--weight", type=click.FloatRange(LIGHTEST, HEAVIEST), metavar="SHARE",
                     help="Share of its queue's process time beside other maps. [default: 1]"),
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
        click.option("--retry-not-on", multiple=True, metavar="CLASS",
                     help="But not an item that has raised this; may be given again."),
        click.option("--retry-on", multiple=True, metavar="CLASS",
                     help="Try an item again only if it has raised this, such as OSError or MODULE:CLASS; may be "
                     "given again. [default: Exception]"),
        click.option("--jitter", type=click.FloatRange(0, 1), metavar="SHARE",
                     help="By which such a pause is shorter or longer, at random. [default: 0.1]"),
        click.option("--backoff", type=click.FloatRange(min=0), nargs=3, metavar="FIRST FACTOR MOST",
                     help="Seconds before the first of these, times by which each pause is longer than the one "
                     "before, seconds at most. [default: 1 2 60]"),
        click.option("--item-retry", type=click.IntRange(min=1, max=1000), metavar="N",
                     help="How often an item that fails is tried again while the map runs. [default: never]"),
    ):  # fmt: skip
        function = option(function)
    return function


def told(options: dict[str, Any], *, opens: bool = False) -> dict[str, Any]:
    """Those that were given, as ``Queue.map`` takes them.

    Args:
        options: By the names of the command's options.
        opens: Whether it is to be an open map, as ``Queue.open_map`` takes them.

    Raises:
        click.UsageError: If one can't be meant.
    """
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if not opens and (alone := [name for name in _OF_OPEN if name in given]):
        raise click.UsageError(f"--{alone[0]} is of --follow, which is not given")
    if initializer := given.get("initializer"):
        if names.dotted(initializer) is None:
            raise click.UsageError(f"--initializer: {initializer!r} is not of the form MODULE:FUNCTION")
        given["initializer"] = names.dotted(initializer)
    if "initargs" in given:
        given["initargs"] = tuple(map(value_of, given["initargs"]))
    if "key" in given:
        given["key"] = _found("--key", given["key"])
    return _with_retry(given)


def _with_retry(given: dict[str, Any]) -> dict[str, Any]:
    """The same, with those that are about trying items again made one."""
    of_retry = {name: given.pop(name) for name in _OF_RETRY if name in given}
    if "item_retry" not in given:
        if of_retry:
            named = next(iter(of_retry)).replace("_", "-")
            raise click.UsageError(f"--{named} is of --item-retry, which is not given")
        return given
    for name in ("retry_on", "retry_not_on"):
        if name in of_retry:
            option = f"--{name.replace('_', '-')}"
            of_retry[name] = tuple(_found(option, one) for one in of_retry[name])
    parts = {_OF_RETRY[name]: value for name, value in of_retry.items()}
    given["item_retry"] = Retry(given["item_retry"], **parts)
    return given


def _found(option: str, path: str) -> Any:
    """What stands at MODULE:NAME, or is Python's own of this name.

    Raises:
        click.UsageError: If there is nothing.
    """
    if path.isidentifier() and hasattr(builtins, path):
        return getattr(builtins, path)
    dotted = names.dotted(path)
    if dotted is None:
        raise click.UsageError(f"{option}: {path!r} is not of the form MODULE:NAME")
    try:
        with user_path.in_front([str(Path.cwd())]):
            return imports.resolve(dotted)
    except (ImportError, ImportRefusedError) as error:
        raise click.UsageError(f"{option}: {error}") from error
