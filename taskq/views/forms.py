"""What a notebook shows of maps, their errors and result lists: HTML, with nothing to load or to run."""

from __future__ import annotations

import html
import reprlib
from collections.abc import Callable, Iterable, Sequence

from taskq.payload.outcome import ItemFailure
from taskq.views.error_groups import ErrorGroup
from taskq.views.escaped import escaped
from taskq.views.progress import Progress

SHOWN = 10
"""Errors, or elements of a list, that are shown."""

_DONE, _FAILED, _OPEN = "#2e8b57", "#c0392b", "#8884"  # seen on white and on black
_LEFT = ' style="text-align:left"'


def safely(one: object, make: Callable[[], str]) -> str:
    """What is made; or, whatever that raises, the repr of what is shown: to show something must not raise."""
    try:
        return make()
    except Exception:  # noqa: BLE001 - see above; the repr says what it is
        return f"<code>{_text(repr(one))}</code>"


def bar(progress: Progress) -> str:
    """A bar: what is done, and in red what has failed."""
    total = max(1, progress.total)
    done, failed = (100 * count / total for count in (progress.done, progress.failed))
    part = '<span style="display:inline-block;height:100%;width:{:.2f}%;background:{}"></span>'
    return (
        f'<span role="progressbar" aria-valuenow="{progress.ended}" aria-valuemax="{total}" style="display:'
        f"inline-block;width:16em;height:0.9em;line-height:0;vertical-align:middle;background:{_OPEN}"
        f'">{part.format(done, _DONE)}{part.format(failed, _FAILED) if failed else ""}</span>'
    )


def line(name: str, progress: Progress) -> str:
    """A bar between what is in progress and its numbers."""
    elapsed = f" after {progress.elapsed:.1f} s" if progress.elapsed else ""
    return f"<div>{_text(name)} {bar(progress)} {_text(progress)}{elapsed}</div>"


def of_map(map_id: str, name: str, status: str, progress: Progress, groups: Sequence[ErrorGroup]) -> str:
    """A map: how far it is, and what has failed of it."""
    head = f"<div>map <code>{_text(map_id)}</code>: {_text(status)}</div>{line(name, progress)}"
    rows = [(one.count, one.type, one.frame, one.sample.index, one.sample.message) for one in groups[:SHOWN]]
    columns = ("items", "exception", "where", "sample item", "message")
    return head + (_table(columns, rows) + _more(len(groups), "kinds of errors") if rows else "")


def of_failures(shown: Sequence[ItemFailure], count: int) -> str:
    """Errors of items, of ``count`` in all."""
    rows = [(one.index, one.type, one.message, one.attempts, one.host) for one in shown]
    return _table(("item", "exception", "message", "attempts", "host"), rows) + _more(count, "errors")


def of_list(key: str, shown: Sequence[object], count: int) -> str:
    """A list, with its first elements."""
    rows = [(number, reprlib.repr(value)) for number, value in enumerate(shown)]
    return f"<div>list <code>{_text(key)}</code></div>" + _table(("", "value"), rows) + _more(count, "values")


def _more(count: int, what: str) -> str:
    return f"<div>... {count:,} {what} in all</div>" if count > SHOWN else ""


def _table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = "".join(f"<th{_LEFT}>{_text(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td{_LEFT}>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    return html.escape(escaped(str(value)))
