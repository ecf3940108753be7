"""The items of ``taskq map``: from the command line, a range, or stdin."""

from __future__ import annotations

import csv
import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

import click

from taskq.errors import UsageError

_NEGATIVE = re.compile(r"-\d+(\.\d+)?([eE][+-]?\d+)?")  # as JSON has it


class NegativeItems(click.Command):
    """A command whose arguments may be negative numbers, which click takes for options."""

    ignore_unknown_options = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's, but that only what looks like no number is an unknown option."""
        known = {name for one in self.get_params(ctx) for name in (*one.opts, *one.secondary_opts)}
        for word in args[: args.index("--")] if "--" in args else args:
            name = word.partition("=")[0]
            if word.startswith("-") and word != "-" and name not in known and not _NEGATIVE.fullmatch(word):
                raise click.NoSuchOption(name, possibilities=difflib.get_close_matches(name, known), ctx=ctx)
        return super().parse_args(ctx, args)


def items_of(arguments: tuple[str, ...], count: int | None, form: str | None, stdin: TextIO) -> Iterable[Any]:
    """The items, from the one source that was given.

    Args:
        arguments: Each is read as JSON where it is JSON, else taken as text.
        count: For ``range(count)``.
        form: How stdin is written: ``json``, ``lines`` or ``csv``.
        stdin: Read as the items are taken: never all of it is in memory.

    Raises:
        click.UsageError: If there is no source, or more than one.
    """
    sources = [name for name, given in (("ITEMS", arguments), ("--range", count is not None), ("--stdin", form))
               if given]  # fmt: skip
    if len(sources) != 1:
        found = " and ".join(sources) or "none"
        raise click.UsageError(f"items come from either ITEMS, --range or --stdin; here there is {found}")
    if arguments:
        return [value_of(argument) for argument in arguments]
    if count is not None:
        return range(count)
    readers: dict[str, Callable[[TextIO], Iterable[Any]]]
    readers = {"json": json_lines, "lines": text_lines, "csv": csv_rows}
    return readers[form or ""](stdin)


def value_of(argument: str) -> Any:
    """``4`` is a number, ``"4"`` with its quotes a text, ``[1, 2]`` a list, ``abc`` a text."""
    try:
        return json.loads(argument)
    except ValueError:
        return argument


def json_lines(stdin: TextIO) -> Iterator[Any]:
    """One JSON value a line; empty lines don't count."""
    for number, line in _numbered(stdin):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise UsageError(
                    f"line {number} of stdin is not JSON: {error}. One value a line is wanted; "
                    "`jq -c '.[]'` makes that of a list, and --stdin lines takes plain text."
                ) from error


def text_lines(stdin: TextIO) -> Iterator[str]:
    """The lines, without their ends."""
    for _number, line in _numbered(stdin):
        yield line.rstrip("\r\n")


def csv_rows(stdin: TextIO) -> Iterator[dict[str, str]]:
    """A dictionary for each row, by the names in the first one."""
    reader = csv.DictReader((line for _number, line in _numbered(stdin)), strict=True)
    try:
        named = reader.fieldnames or ()
        twice = [name for at, name in enumerate(named) if name in named[:at]]
        if twice:
            raise UsageError(f"the first line of stdin names {twice[0]!r} twice: an item has one field of a name")
        for row in reader:
            if None in row or None in row.values():
                raise UsageError(
                    f"line {reader.line_num} of stdin has not as many fields as the first, "
                    f"which names {len(reader.fieldnames or ())}"
                )
            yield row
    except csv.Error as error:
        raise UsageError(f"line {reader.line_num} of stdin is not CSV: {error}") from error


def _numbered(stdin: TextIO) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, line in enumerate(stdin, 1):
            yield number, line
    except UnicodeDecodeError as error:
        raise UsageError(f"stdin is not UTF-8 after line {number}: {error}") from error
