"""Shows a map's progress on stderr: a bar on a terminal, HTML in a notebook, or plain lines if asked for.

The notebook form is IPython's own display protocol and HTML: it needs no widgets, which rich and tqdm both do,
works in every front end, and what it showed last stays in the saved notebook.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from taskq.errors import OptionError
from taskq.views import forms
from taskq.views.escaped import escaped
from taskq.views.progress import Progress
from taskq.views.said import Unminded, put

Show = bool | Literal["always"]
Move = Callable[[Progress], None]

_PACE = 0.2  # seconds between two changes in a notebook; each is a message to the browser
_LINE_PACE = 5.0  # seconds between two plain lines
_ROUND = 10  # items/s from which on no decimals are shown


@contextmanager
def bar(name: str, show: Show = True) -> Iterator[Move]:
    """The function that moves a progress bar, which is there for the length of the block.

    Args:
        name: What is in progress.
        show: True: only where somebody looks, that is in a notebook, or if stderr is a terminal. ``"always"``:
            elsewhere, too, as a line every five seconds (for a log). False: nowhere.

    Raises:
        OptionError: If it is anything else.
    """
    if show not in (True, False, "always"):
        raise OptionError(f'progress must be True, False or "always", not {show!r}')
    name = escaped(name)
    if not show:
        yield lambda _progress: None
    elif _in_notebook():
        yield from _last_shown(_notebook(name), _PACE)
    elif _is_terminal(sys.stderr):
        yield from _terminal(name)
    elif show == "always":
        yield from _last_shown(lambda now: put(f"{name}: {now}"), _LINE_PACE)
    else:
        yield lambda _progress: None


def _is_terminal(stream: Any) -> bool:
    return stream is not None and Unminded(stream).isatty()


def _last_shown(write: Move, pace: float) -> Iterator[Move]:
    """Passes on no more often than each ``pace`` seconds; the last state always."""
    shown: Progress | None = None
    latest: Progress | None = None
    due = 0.0

    def move(progress: Progress) -> None:
        nonlocal shown, latest, due
        latest = progress
        if time.monotonic() >= due:
            due = time.monotonic() + pace
            shown = progress
            write(progress)

    yield move
    if latest is not None and latest != shown:
        write(latest)


def _in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel (and not in IPython's shell on a terminal)."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def _notebook(name: str) -> Move:
    from IPython.display import display

    handle: Any = None

    def write(progress: Progress) -> None:
        nonlocal handle
        text = f"{name} {progress}"
        bundle = {"text/plain": text, "text/html": forms.line(name, progress)}
        if handle is None:
            handle = display(bundle, raw=True, display_id=True)
        else:
            handle.update(bundle, raw=True)

    return write


def _terminal(name: str) -> Iterator[Move]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[red]{task.fields[failed]}"),
        TextColumn("{task.fields[rate]} items/s"),
        TextColumn("{task.fields[cores]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console: Any = Console(file=Unminded(sys.stderr))  # type: ignore[arg-type]
    # What is printed meanwhile goes above the bar; but not if it goes elsewhere: it may be somebody's data.
    above = _is_terminal(sys.stdout)
    with RichProgress(*columns, console=console, redirect_stdout=above, redirect_stderr=True) as shown:
        task = shown.add_task(name, total=None, rate="-", failed="", cores="")

        def move(progress: Progress) -> None:
            shown.update(
                task,
                completed=progress.ended,
                total=progress.total if progress.sealed else None,
                rate=f"{progress.rate:,.0f}" if progress.rate >= _ROUND else f"{progress.rate:.1f}",
                failed=f"{progress.failed} failed" if progress.failed else "",
                cores=f"{progress.busy}/{progress.cores} cores" if progress.cores else "",
            )

        yield move
