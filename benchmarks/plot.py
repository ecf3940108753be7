"""The table as a picture: one row of bars for each work, the better the longer, and the time of growing maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Findings
from benchmarks.history import Entry, beside
from benchmarks.peers import System
from benchmarks.report import OURS, middle, number
from benchmarks.works import Work

_COLUMNS = 3
_ACROSS = 4  # pictures of releases, beside each other
_OURS, _OTHERS, _TEXT = "#c2410c", "#94a3b8", "#334155"
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "taskq", "font.size": 8, "text.color": _TEXT,
          "axes.labelcolor": _TEXT, "xtick.color": _TEXT, "ytick.color": _TEXT}  # fmt: skip


def draw(findings: Mapping[System, Findings], works: Sequence[Work], path: Path) -> None:
    """Write the picture, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        last, used = divmod(len(works), _COLUMNS)  # the lines fill what the bars leave of the last row
        figure = Figure(figsize=(11, 2.8 * (last + 1)), layout="constrained", facecolor="white")
        grid = figure.add_gridspec(last + 1, _COLUMNS)
        for number_, work in enumerate(works):
            _bars(figure.add_subplot(grid[divmod(number_, _COLUMNS)]), findings, work)
        _lines(figure.add_subplot(grid[last, used:]), findings)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def draw_releases(entries: Sequence[Entry], works: Sequence[Work], path: Path) -> None:
    """How many times as well as the middle one of the others taskq did, from release to release."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11, 2.2 * -(-len(works) // _ACROSS)), layout="constrained", facecolor="white")
        for number_, work in enumerate(works, 1):
            axes = figure.add_subplot(-(-len(works) // _ACROSS), _ACROSS, number_)
            known = [(one.release, ratio) for one in entries if (ratio := beside(one, work)) is not None]
            axes.plot([name for name, _ in known], [ratio for _, ratio in known], color=_OURS, marker="o")
            for name, ratio in known:
                axes.annotate(number(ratio), (name, ratio), (0, 5), textcoords="offset points", ha="center")
            axes.set_title(f"{work.title}, times the middle one", fontsize=8)
            axes.set_ylim(0, 1.3 * max((ratio for _, ratio in known), default=1.0))
            axes.margins(x=0.3)
            axes.yaxis.set_ticks([])
            _plain(axes)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _bars(axes: Any, findings: Mapping[System, Findings], work: Work) -> None:
    rows = [(system, middle(found, work)) for system, found in reversed(findings.items())]
    known = [value for _, value in rows if value is not None]
    for place, (system, value) in enumerate(rows):
        if value is None:
            axes.text(0.01, place, "no", va="center", transform=axes.get_yaxis_transform())
            continue
        axes.barh(place, value, color=_OURS if system.name == OURS else _OTHERS)
        axes.text(value, place, f" {number(value)}", va="center")
    axes.set_yticks(range(len(rows)), [system.title for system, _ in rows])
    axes.set_title(
        f"{work.title}, {work.unit} ({'more' if work.more_is_better else 'less'} is better)", fontsize=8
    )
    if known:
        axes.set_xscale("log")
        axes.set_xlim(min(known) / 2, max(known) * 8)
        axes.xaxis.set_ticks([])  # each bar says its number
    _plain(axes)


def _lines(axes: Any, findings: Mapping[System, Findings]) -> None:
    for system, found in findings.items():
        if found.growth:
            items = [step.items for step in found.growth]
            each = [step.seconds / step.items * 1e6 for step in found.growth]
            ours = system.name == OURS
            color = _OURS if ours else _OTHERS
            axes.plot(items, each, color=color, marker="o", markersize=3, linewidth=2 if ours else 1)
            axes.annotate(system.title, (items[-1], each[-1]), (5, 0), textcoords="offset points", va="center")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(x=0.15)
    axes.set_title("time of an item in a map of no-op items, µs, by the number of items", fontsize=8)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.minorticks_off()
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
