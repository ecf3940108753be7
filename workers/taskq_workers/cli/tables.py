"""How tables are shown on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from taskq.views.escaped import escaped

_WIDE = 200  # columns where nobody looks, so that names stay whole
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def show(*parts: Any) -> None:
    """Print tables and texts; wide enough where stdout is no terminal."""
    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    for part in parts:
        text = escaped(part, lines=True) if isinstance(part, str) else part
        console.print(text, markup=False, soft_wrap=isinstance(part, str))


def table(title: str, *columns: str, fold: bool = True) -> Table:
    """``fold``: what does not fit goes on in the next line; else it is cut."""
    made = Table(title=title, title_justify="left")
    for column in columns:
        made.add_column(column, overflow="fold" if fold else "ellipsis", no_wrap=not fold)
    return made


def add_rows(made: Table, rows: Iterable[Iterable[object]]) -> Table:
    for row in rows:
        made.add_row(*map(_text, row))
    return made


def _text(value: object) -> Any:
    from rich.text import Text

    if hasattr(value, "__rich_console__") or hasattr(value, "__rich__"):
        return value  # of our own making
    return Text(escaped(str(value), lines=True))


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
