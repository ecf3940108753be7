"""``taskq report``: one map as one self-contained HTML file, to be sent around and kept.

``read.py`` reads the map, ``drawing.py`` turns its timeline into shapes, ``report.html.jinja`` is the page. No
script, nothing loaded from anywhere, and everything that comes from Redis is escaped.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from taskq.views.error_groups import Frame
from taskq.views.escaped import escaped
from taskq_workers.report.drawing import draw
from taskq_workers.report.read import MapReport, read

if TYPE_CHECKING:  # jinja2 is loaded by who renders: the command line imports all of this
    from jinja2 import Template

__all__ = ["MapReport", "render"]


def render(connection: Any, map_id: str) -> str:
    """The report of one map, as HTML.

    Raises:
        UsageError: If the job is no map.
        ResultsGoneError: If there is no such map (any more).
    """
    report = read(connection, map_id)
    # What stands in Redis gets into it as text, of which HTML makes nothing, and a terminal neither.
    return escaped(_page().render(report=report, drawing=draw(report)), lines=True)


@cache
def _page() -> Template:
    """Compiled once, which takes ten times as long as a report."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(clock=_clock, seconds=_seconds, count=_count, frame=_frame)
    return environment.from_string(files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8"))


def _frame(frame: Frame) -> str:
    """Where an exception was raised, in few words; the traceback has the whole path."""
    return f"{frame.file.rpartition('/')[2]}:{frame.line} in {frame.function}" if frame.file else ""


def _clock(moment: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "not yet"


def _seconds(seconds: float) -> str:
    """A length of time, as people write it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else f"{seconds * 1e6:.0f} µs"  # noqa: PLR2004
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _count(number: float) -> str:
    """A number with thin spaces between thousands."""
    return f"{number:,.0f}".replace(",", "\u202f") if number >= 10 or number == int(number) else f"{number:.1f}"  # noqa: PLR2004
