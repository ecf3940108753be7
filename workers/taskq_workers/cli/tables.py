"""How tables are shown on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from taskq.views.escaped import escaped
from taskq.views.short_ids import shortened

_WIDE = 200  # columns where nobody looks, so that names stay whole
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_NOTHING = ("", "0")


@dataclass(frozen=True)
class Column:
    """One of a table.

    Args:
        name: Its heading.
        number: Its cells stand at the right, and are never broken.
        rare: On a terminal it is left out where each of its cells says nothing: is empty, or 0.
        long: If it is not 0, it is the first to be made narrower, down to so many columns, and goes on in the next
            line.
    """

    name: str
    number: bool = False
    rare: bool = False
    long: int = 0


def looked_at() -> bool:
    """Whether stdout is a terminal, which is narrow, and whose reader needs no more than what tells jobs apart."""
    return sys.stdout.isatty()


def short(job_id: str) -> str:
    """The id as it stands in a table: whole where no one looks, but something may read it."""
    return shortened(job_id) if looked_at() else job_id


def show(*parts: Any) -> None:
    """Print tables and texts; wide enough where stdout is no terminal."""
    console = Console(width=None if looked_at() else _WIDE, highlight=False)
    for part in parts:
        text = escaped(part, lines=True) if isinstance(part, str) else part
        console.print(text, markup=False, soft_wrap=isinstance(part, str))


def table(title: str, columns: Iterable[Column], rows: Iterable[Iterable[object]]) -> Table:
    """A table that can be read in 80 columns, as far as what stands in it allows that.

    Args:
        title: Above it.
        columns: In order.
        rows: Of each a cell for each column, a text or something of rich's.
    """
    cells = [list(row) for row in rows]
    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=0)
    kept = []
    for number, column in enumerate(columns):
        if column.rare and looked_at() and all(str(row[number]) in _NOTHING for row in cells):
            continue
        kept.append(number)
        made.add_column(
            column.name, justify="right" if column.number else "left", no_wrap=not column.long, overflow="fold",
            min_width=column.long or None,
        )  # fmt: skip
    for row in cells:
        made.add_row(*(_text(row[number]) for number in kept))
    return made


def _text(value: object) -> Any:
    if hasattr(value, "__rich_console__") or hasattr(value, "__rich__"):
        return value  # of our own making
    return Text(escaped(str(value), lines=True))


def cut(text: str) -> Text:
    """A cell of a long column of which one line is shown, whatever does not fit into it."""
    return Text(escaped(text), no_wrap=True, overflow="ellipsis")


def duration(seconds: float) -> str:
    """Short, to two units: ``42 s``, ``3 m 05 s``, ``2 h 10 m``, ``4 d 03 h``."""
    whole = max(0, round(seconds))
    for unit, size, smaller, part in (("d", _DAY, "h", _HOUR), ("h", _HOUR, "m", _MINUTE), ("m", _MINUTE, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part:02} {smaller}"
    return f"{whole} s"


def megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"


def ago(iso: str | None) -> str:
    """An ISO date as the time since then; "" if there is none, or it is no date."""
    try:
        when = datetime.fromisoformat(iso or "")
    except ValueError:
        return ""
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return f"{duration((datetime.now(UTC) - when).total_seconds())} ago"
