"""The timeline and the throughput of a map as shapes of an SVG; numbers only, the template makes the text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from taskq.views.counted import counted
from taskq.views.timeline import OK, WORDS, TimelineEntry
from taskq_workers.report.read import MapReport, ProcessRow

WIDTH = 1000.0  # units of the SVG
ROW = 22.0
BAR = 16.0  # height of a chunk in its row
CHART = 120.0
BUCKETS = 100
TICKS = 7
LEAST = 0.6  # width of the narrowest shape; narrower chunks beside each other become one


@dataclass(frozen=True)
class Shape:
    """A chunk in its row, or several too short to be told apart."""

    x: float
    y: float
    width: float
    kind: str  # "ok", "odd" (every other one, to tell neighbours apart), "again", "failed", "killed"
    chunks: int
    title: str


@dataclass(frozen=True)
class Drawing:
    """Everything that is drawn; ``ticks`` are places and seconds since the start."""

    height: float
    shapes: list[Shape]
    ticks: list[tuple[float, float]]
    throughput: str  # an SVG path
    highest: float  # items per second


def draw(report: MapReport) -> Drawing | None:
    """The drawing; None if the timeline holds nothing of the map."""
    entries = report.entries
    if not entries:
        return None
    start = min(entry.start for entry in entries)
    end = max(start + 0.001, *(entry.end for entry in entries))
    scale = WIDTH / (end - start)
    shapes = [
        shape
        for number, row in enumerate(report.rows)
        for shape in _merged(_shapes(row, number * ROW, start, scale))
    ]
    path, highest = _throughput(entries, start, end)
    step = _step(end - start)
    ticks = [(scale * step * n, step * n) for n in range(int((end - start) / step) + 1)]
    return Drawing(ROW * len(report.rows), shapes, ticks, path, highest)


def _step(seconds: float) -> float:
    """Between two ticks: 1, 2 or 5 times a power of ten, so that there are no more than ``TICKS``."""
    exact = seconds / TICKS
    power = 10.0 ** math.floor(math.log10(exact))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= exact)


def _shapes(row: ProcessRow, y: float, start: float, scale: float) -> Iterator[Shape]:
    for number, entry in enumerate(sorted(row.entries, key=lambda entry: entry.start)):
        x, width = (entry.start - start) * scale, max(LEAST, (entry.end - entry.start) * scale)
        title = f"chunk {entry.chunk}: {counted(entry.items, 'item')}, {entry.end - entry.start:.3f} s"
        if entry.outcome != OK:
            died = WORDS.get(entry.outcome, entry.outcome)
            yield Shape(x, y, max(width, 2.0), "killed", 1, f"chunk {entry.chunk}: {died}")
        elif entry.failed:
            yield Shape(x, y, width, "failed", 1, f"{title}, {entry.failed} failed")
        elif entry.deaths:
            died = counted(entry.deaths, "process or service", "processes or services")
            yield Shape(x, y, width, "again", 1, f"{title}; before, {died} had died with it")
        else:
            yield Shape(x, y, width, "odd" if number % 2 else "ok", 1, title)


def _merged(shapes: Iterable[Shape]) -> Iterator[Shape]:
    """The same with neighbours made one that are too narrow to be seen apart; what went wrong is never merged."""
    last: Shape | None = None
    for shape in shapes:
        narrow = shape.width < 2 * LEAST and shape.kind in ("ok", "odd")
        if last and narrow and last.kind == "ok" and last.width < 20 and shape.x - (last.x + last.width) < LEAST:  # noqa: PLR2004
            chunks = last.chunks + 1
            last = Shape(
                last.x, last.y, max(shape.x + shape.width - last.x, last.width), "ok", chunks, f"{chunks:,} chunks"
            )
            continue
        if last:
            yield last
        last = Shape(shape.x, shape.y, shape.width, "ok" if narrow else shape.kind, 1, shape.title)
    if last:
        yield last


def _throughput(entries: list[TimelineEntry], start: float, end: float) -> tuple[str, float]:
    """Items per second over time: each chunk's items, spread evenly over the time it ran."""
    width = (end - start) / BUCKETS
    rates = [0.0] * BUCKETS
    for entry in entries:
        seconds = max(entry.end - entry.start, width / 100)
        first = int((entry.start - start) / width)
        for bucket in range(first, min(BUCKETS, int((entry.start + seconds - start) / width) + 1)):
            overlap = min(entry.start + seconds, start + (bucket + 1) * width) - max(
                entry.start, start + bucket * width
            )
            rates[bucket] += max(0.0, overlap) / seconds * entry.items / width
    highest = max(rates)
    step = WIDTH / BUCKETS
    heights = [CHART * (1 - rate / highest) if highest else CHART for rate in rates]
    points = " ".join(f"L{step * n:.1f} {y:.1f}L{step * (n + 1):.1f} {y:.1f}" for n, y in enumerate(heights))
    return f"M0 {CHART:.0f}{points}L{WIDTH:.0f} {CHART:.0f}Z", highest
